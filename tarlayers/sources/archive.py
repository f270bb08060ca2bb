"""The thing we were given as named blobs: a seekable tar, a directory, or a stream that passes once.

Names are cleaned (`./blobs//sha256/x` is `blobs/sha256/x`), links between members are followed, and of two
members with one name the last counts, as for Docker, which unpacks the archive before it reads it.
"""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tarlayers.errors import ContentAbsent, LimitExceeded, ReadFailed, TarlayersError, UnsupportedInput
from tarlayers.formats import tar
from tarlayers.formats.whiteout import clean_path
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

# Hashing is fastest with chunks that stay in the second-level cache; larger ones cost page faults.
CHUNK = 1 << 18
_LINK_HOPS = 40  # ELOOP of Linux
_DIRECTORY_DEPTH = 4
_LINKED_DIRECTORIES = frozenset(("blobs", "sha256", "sha512"))


class Origin(NamedTuple):
    """Where bytes are and when they were last written: what has the same origin now as before has not changed."""

    device: int
    inode: int
    file_size: int
    mtime_ns: int
    ctime_ns: int
    """Nobody can set it, as they can the time of modification."""
    offset: int
    size: int


class Blob(NamedTuple):
    """Stored bytes that can be read anywhere, any number of times, from several threads."""

    name: str
    size: int
    read_at: Callable[[int, int], bytes]
    """(offset, count) -> bytes, fewer only at the end."""
    stat: Callable[[], os.stat_result] | None = None
    """The status, now, of the file that the bytes are in; OSError where there is none any more."""
    start: int = 0
    """The offset in that file."""

    @property
    def origin(self) -> Origin | None:
        """Where the bytes are, as the file system has it now; None where that cannot be told."""
        try:
            status = self.stat() if self.stat is not None else None
        except OSError:
            return None
        if status is None:
            return None
        return Origin(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, self.start, self.size
        )

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the blob, or a part of it, from front to back. A source that has become shorter is ReadFailed."""
        position = start
        stop = self.size if stop is None else stop
        while position < stop:
            chunk = self.read_at(position, min(CHUNK, stop - position))
            if not chunk:
                raise ReadFailed("the source ends before the blob does", place=self.name, offset=position)
            position += len(chunk)
            yield chunk


class MemberTable(NamedTuple):
    """The regular files of an archive, links resolved."""

    blobs: Mapping[str, Blob]
    aliases: Mapping[str, str]
    """Of each link the file that it leads to."""
    duplicates: Mapping[str, int]
    """How many members have the same name, where there are several."""
    end_mark: bool
    """Whether a tar ends as it has to: in two zero blocks and at a block boundary."""


class Archive:
    """Named blobs with random access. Use it as a context manager, or let it be collected."""

    def __init__(self, kind: str, path: str, size: int, table: MemberTable, whole: Blob | None) -> None:
        self.kind = kind
        """`tar` or `directory`."""
        self.path = path
        self.size = size
        self.blobs = table.blobs
        self.aliases = table.aliases
        self.duplicates = table.duplicates
        self.end_mark = table.end_mark
        self.whole = whole
        """The tar itself, which may turn out to be a bare layer."""

    def blob(self, name: str) -> Blob:
        """Give the blob; ContentAbsent when the archive has none of that name."""
        try:
            return self.blobs[name]
        except KeyError:
            raise ContentAbsent("not in the archive", place=name) from None

    def documents(self, limits: Limits = DEFAULT_LIMITS) -> Documents:
        """Give the JSON members, read when asked for."""
        return Documents(self.blobs, limits)


class Documents(Mapping[str, bytes]):
    """Those blobs that look like JSON documents, read and kept on first use."""

    def __init__(self, blobs: Mapping[str, Blob], limits: Limits) -> None:
        self._blobs = blobs
        self._limits = limits
        self._kept: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._kept:
            blob = self._blobs[name]
            if not looks_like_json(blob.read_at(0, 64)):
                raise KeyError(name)
            if blob.size > self._limits.document_bytes:
                raise oversized(name, blob.size, self._limits)
            self._kept[name] = b"".join(blob.chunks())
        return self._kept[name]

    def __contains__(self, name: object) -> bool:
        blob = self._blobs.get(name) if isinstance(name, str) else None
        return blob is not None and looks_like_json(blob.read_at(0, 64))

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._blobs if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def oversized(name: str, size: int, limits: Limits) -> LimitExceeded:
    """The error for a document that is too large to be kept, by itself or with the others."""
    limit = "document_bytes" if size > limits.document_bytes else "documents_bytes"
    return limit_exceeded(limits, limit, f"a document of {size} bytes", place=name)


def looks_like_json(head: bytes) -> bool:
    """Say whether bytes start as a JSON object or array, or are the `null` of a `manifest.json` without images."""
    text = head.strip(b" \t\r\n\xef\xbb\xbf")
    return text[:1] in (b"{", b"[") or text == b"null"


def open_tar(path: str, descriptor: int, limits: Limits = DEFAULT_LIMITS) -> Archive:
    """Read the member table of an uncompressed tar by hopping over its contents.

    The archive owns `descriptor` from here on. MalformedInput when it is no tar, or is cut short.
    """
    size = os.fstat(descriptor).st_size

    def read_at(offset: int, count: int) -> bytes:
        return read_descriptor(descriptor, offset, count, path)

    whole = Blob(path, size, read_at, partial(os.fstat, descriptor))
    try:
        table = _member_table(whole, limits)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(read_at, os.close, descriptor)  # every blob holds it, whatever becomes of the archive
    return Archive("tar", path, size, table, whole)


def read_descriptor(descriptor: int, offset: int, count: int, place: str) -> bytes:
    """Read from anywhere in an open file; ReadFailed where the device or the network refuses."""
    try:
        return os.pread(descriptor, count, offset)
    except OSError as error:
        raise ReadFailed(f"cannot be read: {error.strerror or error}", place=place, offset=offset) from error


def read_stream(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield a stream in chunks, as they come; ReadFailed where it cannot be read on."""
    while True:
        try:
            chunk = read(CHUNK)
        except OSError as error:
            raise ReadFailed(f"cannot be read: {error.strerror or error}") from error
        if not chunk:
            return
        yield chunk


def _member_table(whole: Blob, limits: Limits) -> MemberTable:
    walker = tar.Walker(tar.SeekFeed(whole.read_at, whole.size), limits=limits)
    blobs: dict[str, Blob] = {}
    links: dict[str, tuple[str, ...]] = {}
    duplicates: dict[str, int] = {}
    for member in count_members(walker, limits):
        name = clean_name(member.name)
        if blobs.pop(name, None) is not None or links.pop(name, None) is not None:
            duplicates[name] = duplicates.get(name, 1) + 1
        if member.typeflag in b"12":
            links[name] = link_targets(name, member)
        elif member.typeflag in b"07S" and member.stored:
            blobs[name] = _member_blob(name, member, walker.data_offset, whole)
        elif member.typeflag in b"07S":
            blobs[name] = Blob(name, 0, lambda _offset, _count: b"")
    aliases = resolve_links(links, blobs)
    for name, target in aliases.items():
        blobs[name] = blobs[target]
    top = find_top(blobs)
    return MemberTable(
        {name[len(top) :]: blob for name, blob in blobs.items()},
        {name[len(top) :]: target[len(top) :] for name, target in aliases.items()},
        {name.removeprefix(top): count for name, count in duplicates.items()},
        ends_whole(walker, whole.size),
    )


def count_members(members: Iterable[tar.Member], limits: Limits) -> Iterator[tar.Member]:
    """Pass members on, and refuse more of them than an archive may have: it may be one layer."""
    for count, member in enumerate(members, 1):
        if count > limits.entries:
            raise limit_exceeded(limits, "entries", "one member more than is allowed", offset=member.offset)
        yield member


def ends_whole(walker: tar.Walker, size: int) -> bool:
    """Say whether a tar that has been walked ends in its end mark and at a block boundary."""
    return walker.end_mark and size % tar.BLOCK == 0


def _member_blob(name: str, member: tar.Member, start: int, whole: Blob) -> Blob:
    size = member.stored
    if member.sparse is not None:

        def refuse(_offset: int, _count: int) -> bytes:
            raise UnsupportedInput("a sparse member of the archive; pack it again without --sparse", place=name)

        return Blob(name, member.size, refuse)

    def read_member(offset: int, count: int) -> bytes:
        return whole.read_at(start + offset, max(0, min(count, size - offset)))

    return Blob(name, size, read_member, whole.stat, start)


def clean_name(name: bytes) -> str:
    """Give the cleaned name of an archive member, without a leading slash."""
    return clean_path(name.decode("utf-8", "surrogateescape"))[1:]


def link_targets(name: str, member: tar.Member) -> tuple[str, ...]:
    """Give the names that a link may mean: a symlink's is relative to its directory, but some exporters
    write it relative to the archive; a hard link's is always the latter.
    """
    target = member.linkname.decode("utf-8", "surrogateescape")
    whole = clean_path(target)[1:]
    if member.typeflag == b"1" or target.startswith("/"):
        return (whole,)
    return clean_path(f"{name.rpartition('/')[0]}/{target}")[1:], whole


def resolve_links(links: Mapping[str, tuple[str, ...]], blobs: Mapping[str, object]) -> dict[str, str]:
    """Map each link to the blob that it leads to, over several hops; dangling ones and loops are left out."""
    found: dict[str, str] = {}
    for name in links:
        at: str | None = name
        for _ in range(_LINK_HOPS):
            if at is None or at in blobs:
                break
            at = next((t for t in links.get(at, ()) if t in blobs or t in links), None)
        if at is not None and at in blobs:
            found[name] = at
    return found


def find_top(names: Mapping[str, object]) -> str:
    """Give the directory, with its slash, that holds a whole archive: a directory was packed, not its contents.

    The empty string where there is none.
    """
    top = next(iter(names), "").partition("/")[0] + "/"
    documents = any(f"{top}{name}" in names for name in ("manifest.json", "index.json", "repositories"))
    return top if documents and all(name.startswith(top) for name in names) else ""


def open_directory(path: str) -> Archive:
    """List the files of an image directory, to the depth that any layout has. Nothing is read yet."""
    blobs: dict[str, Blob] = {}
    root = Path(path)
    total = 0
    for directory, subdirectories, files in os.walk(root, followlinks=True):
        below = Path(directory).relative_to(root)
        deep = len(below.parts) >= _DIRECTORY_DEPTH
        # Blobs that layouts share are linked into each of them, the directory as a whole or file by file. Other
        # links to directories lead elsewhere.
        subdirectories[:] = sorted(
            name
            for name in subdirectories
            if not deep and (name in _LINKED_DIRECTORIES or not (Path(directory) / name).is_symlink())
        )
        for name in sorted(files):
            blob = _file_blob(str(below / name), Path(directory) / name)
            if blob is not None:
                blobs[blob.name] = blob
                total += blob.size
    return Archive("directory", path, total, MemberTable(blobs, {}, {}, end_mark=True), None)


def _file_blob(name: str, path: Path) -> Blob | None:
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    opened: list[int] = []

    def read_at(offset: int, count: int) -> bytes:
        try:
            if not opened:
                opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                weakref.finalize(read_at, os.close, opened[0])
            return os.pread(opened[0], count, offset)
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=str(path)) from error

    return Blob(name, status.st_size, read_at, lambda: os.fstat(opened[0]) if opened else path.stat())


class PassingMember(NamedTuple):
    """One member of a stream's tar. Its content has to be drawn before the next member is."""

    name: str
    member: tar.Member
    content: Iterator[bytes]


def scan_stream(chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[PassingMember]:
    """Yield the members of an uncompressed tar stream as they pass, then read it to its end."""
    walker = tar.Walker(tar.ChunkFeed(chunks), limits=limits)
    for member in count_members(walker, limits):
        yield PassingMember(clean_name(member.name), member, walker.content())
    walker.drain()


def place_error(error: TarlayersError, name: str) -> TarlayersError:
    """Name the member in an error that came up while it was read."""
    return error if name in error.place else error.inside(name)
