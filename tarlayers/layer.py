"""A layer's entries: one pass over its tar, names decoded, markers told apart.

Nothing is merged or resolved here: entries stand as the tar has them, in its order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tarlayers.digest import Digest, Meter
from tarlayers.errors import MalformedInput
from tarlayers.formats import tar
from tarlayers.formats.compression import Decompressor, sniff_chunks
from tarlayers.formats.toc import FOOTER_SIZES, STARGZ_MEMBER, StoredToc, find_chunked, read_behind
from tarlayers.formats.whiteout import clean_path, role_of
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

_TYPES = {
    b"0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "dir",
    b"6": "fifo",
    b"7": "file",
    b"S": "file",
    b"g": "global",
}
_FLAGS = {flag: flag.decode() for flag in _TYPES}
_LINKS = frozenset(("symlink", "hardlink"))
_DEVICES = frozenset(("char", "block"))
_SCHILY = b"SCHILY.xattr."
_TOC_PATH = f"/{STARGZ_MEMBER}"


class Entry(NamedTuple):
    """One decoded member of a layer.

    Strings are UTF-8 with surrogate escapes, so `os.fsencode` gives the exact bytes back.
    """

    path: str
    """The cleaned absolute path (`/etc/passwd`); the root is the empty string."""
    type: str
    """`file dir symlink hardlink char block fifo`, `unknown` (no engine unpacks it), or `global` (a PAX
    global header: not a file, but engines let it displace an earlier entry of its name)."""
    mode: int
    """The low twelve bits."""
    uid: int
    gid: int
    size: int
    """Bytes that a reader of the content would get: sparse files expanded; 0 for all but files."""
    mtime: int | None
    """Nanoseconds since the epoch; None where no entry says it (an implied directory)."""
    link: str | None
    """The verbatim target of a symlink or hard link."""
    rdev: tuple[int, int] | None
    xattrs: Mapping[str, bytes] | None
    """From SCHILY.xattr records, all namespaces; None when there are none."""
    role: str
    """`entry`, `whiteout` or `opaque`, by the base name alone."""
    name: str | None
    """The member's name as the tar gives it; None where it is `path` without its leading slash."""
    offset: int
    """Of the member's own header block in the uncompressed tar."""
    typeflag: str
    sha256: bytes | None
    """Of the content of a file, where content digests were asked for."""


@dataclass(frozen=True, slots=True)
class LayerIndex:
    """What one pass over a layer blob found. Digests are None where hashing was not asked for."""

    digest: Digest | None
    """Of the blob as stored: sha256, or what was asked for."""
    size: int
    """Stored bytes."""
    compression: str
    """`none gzip zstd xz bzip2`, by magic."""
    diff_id: Digest | None
    """sha256 of the uncompressed tar to its very last byte."""
    plain_size: int
    """Uncompressed bytes."""
    entries: tuple[Entry, ...]
    """In tar order, markers and global headers included."""
    contents: bool
    """Whether files carry content digests."""
    trailing: int
    """Bytes after the end-of-archive mark that are not zero padding (engines ignore them)."""
    toc: StoredToc | None = None
    """The table of contents for lazy pulling, by content; its bytes are kept where hashing was asked for."""
    member_digests: Mapping[int, bytes] = field(default_factory=dict)
    """sha256 of files by the offset of their headers, for layers with a table of contents: they are computed
    in passing where a blob is of several compressed members, as only such tables need."""
    behind_gzip: int = 0
    """Stored bytes after the last gzip member, zero padding included: engines ignore or refuse them (L7)."""
    skippable_first: bool = False
    """A zstd blob starts with a skippable frame, which some engines refuse (L8)."""

    @property
    def census(self) -> Census:
        """Count what the layer holds."""
        return count_entries(self.entries)


class Census(NamedTuple):
    """How many of what a layer holds. Markers are entries, global headers are not."""

    entries: int
    files: int
    dirs: int
    links: int
    """Symlinks and hard links."""
    whiteouts: int
    opaques: int
    content_size: int
    """Bytes of file content, holes included; every entry counts, also one that a later entry of its layer replaces."""


def count_entries(entries: Iterable[Entry]) -> Census:
    """Count entries by what they are."""
    roles = {"entry": 0, "whiteout": 0, "opaque": 0}
    types: dict[str, int] = {}
    content_size = 0
    for entry in entries:
        if entry.type == "global":
            continue
        roles[entry.role] += 1
        if entry.role == "entry":
            types[entry.type] = types.get(entry.type, 0) + 1
            content_size += entry.size
    return Census(
        entries=sum(roles.values()),
        files=types.get("file", 0),
        dirs=types.get("dir", 0),
        links=types.get("symlink", 0) + types.get("hardlink", 0),
        whiteouts=roles["whiteout"],
        opaques=roles["opaque"],
        content_size=content_size,
    )


def unpacked_size(entries: Iterable[Entry]) -> int:
    """Bytes that `docker history` shows for a layer of these entries, which are in tar order.

    Docker's overlay2 driver measures the directory that it unpacked the layer into (pkg/directory, Size): holes
    included, of two entries of one name the last, names of one file once, and symlinks by the length of their target.
    """
    last = {entry.path: entry for entry in entries if entry.role == "entry" and entry.type != "global"}
    return sum(_target_size(e) if e.type == "symlink" else e.size for e in last.values())


def _target_size(entry: Entry) -> int:
    return len((entry.link or "").encode("utf-8", "surrogateescape"))


def index_layer(
    chunks: Iterable[bytes],
    *,
    hashed: bool = True,
    contents: bool = False,
    algorithm: str = "sha256",
    limits: Limits = DEFAULT_LIMITS,
) -> LayerIndex:
    """Read a layer blob, compressed or not, from its first stored byte to its last.

    With `hashed` both digests are computed (the blob's by `algorithm`), with `contents` that of every file.
    MalformedInput, UnsupportedInput and LimitExceeded name the offset in the uncompressed tar, or in the blob
    where decompression failed.
    """
    stored = Meter(hashed=hashed, algorithm=algorithm)
    return index_metered(stored.watch(chunks), stored, hashed=hashed, contents=contents, limits=limits)


def index_metered(
    chunks: Iterator[bytes], stored: Meter, *, hashed: bool, contents: bool, limits: Limits = DEFAULT_LIMITS
) -> LayerIndex:
    """Index a blob whose bytes `stored` already watches, so that its digest survives a failure here."""
    compression, blob = sniff_chunks(chunks)
    keep = limits.toc_bytes if hashed else 0
    if compression == "none" and stored.algorithm == "sha256":
        plain, plain_chunks, unpacker = stored, blob, None
    else:
        plain = Meter(hashed=hashed)
        unpacker = Decompressor(compression, limits, keep_skippable=max(keep, *FOOTER_SIZES))
        plain_chunks = plain.watch(unpacker.run(blob))
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    contents_passing = _Contents(walker, unpacker, contents=contents, keep=keep)
    entries = tuple(decode_entries(walker, contents_passing.take, limits))
    trailing, behind = read_behind(walker.tail(), keep)
    chunked = find_chunked(unpacker.skippable, limits) if unpacker else None
    toc = chunked or contents_passing.toc_member(entries) or behind
    return LayerIndex(
        digest=stored.digest(),
        size=stored.size,
        compression=compression,
        diff_id=plain.digest(),
        plain_size=plain.size,
        entries=entries,
        contents=contents,
        trailing=trailing + (unpacker.trailing if unpacker else 0),
        toc=toc,
        member_digests=contents_passing.digests if toc else {},
        behind_gzip=unpacker.padding + unpacker.trailing if unpacker else 0,
        skippable_first=unpacker.skippable_first if unpacker else False,
    )


def hop_layer(read_at: Callable[[int, int], bytes], size: int, *, limits: Limits = DEFAULT_LIMITS) -> LayerIndex:
    """Read the headers alone of an uncompressed layer of `size` bytes: no digest is known afterwards."""
    walker = tar.Walker(tar.SeekFeed(read_at, size), limits=limits)
    entries = tuple(decode_entries(walker, None, limits))
    trailing, behind = read_behind(walker.tail(), 0)
    return LayerIndex(
        digest=None,
        size=size,
        compression="none",
        diff_id=None,
        plain_size=size,
        entries=entries,
        contents=False,
        trailing=trailing,
        toc=behind or find_toc_member(entries),
    )


def hash_contents(walker: tar.Walker, offsets: Collection[int]) -> dict[int, bytes]:
    """Give the sha256 of the contents of those files whose headers stand at `offsets`, and read no further than
    to the last of them. MalformedInput for an offset where no member starts.
    """
    found: dict[int, bytes] = {}
    for member in walker:
        if member.offset in offsets:
            hasher = hashlib.sha256()
            for piece in walker.content():
                hasher.update(piece)
            found[member.offset] = hasher.digest()
            if len(found) == len(offsets):
                return found
    for offset in sorted(set(offsets) - found.keys()):
        raise MalformedInput("no member starts here", offset=offset)
    return found


def decode_entries(
    walker: tar.Walker, take: Callable[[Entry], Entry] | None, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Entry]:
    """Turn the members of a layer's tar into entries, in their order, as they are read.

    `take` is called with each file before its content passes, and gives the entry that stands for it.
    """
    for count, member in enumerate(walker, 1):
        if count > limits.entries:
            raise limit_exceeded(limits, "entries", "one entry more than is allowed", offset=member.offset)
        entry = decode_entry(member, limits)
        if take is not None and entry.type == "file":
            entry = take(entry)
        yield entry


class _Contents:
    """What is taken of the files' contents as a layer passes: digests, and a table of contents of eStargz."""

    def __init__(self, walker: tar.Walker, unpacker: Decompressor | None, *, contents: bool, keep: int) -> None:
        self._walker = walker
        self._unpacker = unpacker
        self._contents = contents
        self._keep = keep
        self._toc = StoredToc("estargz", None)
        self.digests: dict[int, bytes] = {}

    def take(self, entry: Entry) -> Entry:
        is_toc = self._keep > 0 and entry.path == _TOC_PATH
        if not (self._contents or is_toc or (self._keep and self._starts_member())):
            return entry
        hasher = hashlib.sha256()
        kept: list[bytes] | None = [] if is_toc and entry.size <= self._keep else None
        for piece in self._walker.content():
            hasher.update(piece)
            if kept is not None:
                kept.append(piece)
        if is_toc:
            data = b"".join(kept) if kept is not None else None
            self._toc = StoredToc("estargz", data, limit=self._keep if data is None else None)
        if self._contents:
            return entry._replace(sha256=hasher.digest())
        self.digests[entry.offset] = hasher.digest()
        return entry

    def _starts_member(self) -> bool:
        """Say whether the file's content is not in the blob's first compressed member.

        Lazy pullers need each file in a member of its own; what docker and podman compress is one member.
        """
        unpacker = self._unpacker
        return unpacker is not None and (unpacker.members > 0 or unpacker.produced == self._walker.data_offset)

    def toc_member(self, entries: tuple[Entry, ...]) -> StoredToc | None:
        """Give the table if the layer's last member is one."""
        return self._toc if find_toc_member(entries) else None


def find_toc_member(entries: Sequence[Entry]) -> StoredToc | None:
    """Recognise a layer of eStargz by its last member, which nobody has read."""
    last = entries[-1] if entries else None
    return StoredToc("estargz", None) if last and last.path == _TOC_PATH and last.type == "file" else None


def decode_entry(member: tar.Member, limits: Limits = DEFAULT_LIMITS) -> Entry:
    """Decode one member: its name cleaned, its role told, its content not looked at."""
    raw, typeflag, linkname, size, mode, uid, gid, mtime, devmajor, devminor, pax, offset, _, _ = member
    name = raw.decode("utf-8", "surrogateescape")
    # A name of so many components has as many bytes at least.
    if len(raw) >= limits.path_depth or len(raw) > limits.path_bytes or len(linkname) > limits.path_bytes:
        _check_names(raw, linkname, offset, limits)
    kind = _TYPES.get(typeflag, "unknown")
    path = "/" + (name[:-1] if kind == "dir" and name[-1:] == "/" else name)
    if "/." in path or "//" in path or path[-1] == "/":
        path = clean_path(name)
    return tuple.__new__(
        Entry,
        (
            path,
            kind,
            mode & 0o7777,
            uid,
            gid,
            size if kind == "file" else 0,
            mtime,
            linkname.decode("utf-8", "surrogateescape") if kind in _LINKS else None,
            (devmajor, devminor) if kind in _DEVICES else None,
            _xattrs(pax) if pax else None,
            role_of(path.rpartition("/")[2]) if "/.wh." in path else "entry",
            None if len(name) == len(path) - 1 and path.endswith(name) else name,
            offset,
            _FLAGS[typeflag] if typeflag in _FLAGS else typeflag.decode("latin-1"),
            None,
        ),
    )


def _check_names(name: bytes, linkname: bytes, offset: int, limits: Limits) -> None:
    for what, text in (("name", name), ("link target", linkname)):
        if len(text) > limits.path_bytes:
            raise limit_exceeded(limits, "path_bytes", f"a {what} of {len(text)} bytes", offset=offset)
    depth = name.count(b"/") + 1
    if depth > limits.path_depth:
        raise limit_exceeded(limits, "path_depth", f"a name of {depth} components", offset=offset)


def _xattrs(pax: Mapping[bytes, bytes]) -> Mapping[str, bytes] | None:
    """Extended attributes stand in SCHILY.xattr records alone; LIBARCHIVE's are not read by engines."""
    found = {
        key[len(_SCHILY) :].decode("utf-8", "surrogateescape"): value
        for key, value in pax.items()
        if key.startswith(_SCHILY)
    }
    return found or None


def read_heads(
    plain_chunks: Iterable[bytes], size: int, wanted: Callable[[Entry], bool], limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[Entry, bytes]]:
    """Yield each file that is `wanted` with the first `size` bytes of its content as stored (holes left out)."""
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    for entry in decode_entries(walker, None, limits):
        if entry.type != "file" or not wanted(entry):
            continue
        pieces: list[bytes] = []
        missing = size
        for piece in walker.payload():
            pieces.append(piece[:missing])
            missing -= len(piece)
            if missing <= 0:
                break
        yield entry, b"".join(pieces)


def read_content(plain_chunks: Iterable[bytes], offset: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the content of the member whose header is at `offset` of an uncompressed layer, holes filled."""
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    for member in walker:
        if member.offset == offset:
            yield from walker.content()
            return
    raise MalformedInput("no member starts here", offset=offset)
