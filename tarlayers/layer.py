"""A layer's entries: one pass over its tar, names decoded, markers told apart.

Nothing is merged or resolved here: entries stand as the tar has them, in its order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.digest import Digest, Meter
from tarlayers.errors import LimitExceeded, MalformedInput
from tarlayers.formats import tar
from tarlayers.formats.compression import Decompressor, sniff_chunks
from tarlayers.formats.whiteout import clean_path, role_of
from tarlayers.limits import DEFAULT_LIMITS, Limits

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
    """sha256 of the blob as stored."""
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
    """Bytes of file content, holes included, as `docker history` counts them."""


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


def index_layer(
    chunks: Iterable[bytes], *, hashed: bool = True, contents: bool = False, limits: Limits = DEFAULT_LIMITS
) -> LayerIndex:
    """Read a layer blob, compressed or not, from its first stored byte to its last.

    With `hashed` both digests are computed, with `contents` that of every file. MalformedInput,
    UnsupportedInput and LimitExceeded name the offset in the uncompressed tar, or in the blob where
    decompression failed.
    """
    stored = Meter(hashed=hashed)
    return index_metered(stored.watch(chunks), stored, hashed=hashed, contents=contents, limits=limits)


def index_metered(
    chunks: Iterator[bytes], stored: Meter, *, hashed: bool, contents: bool, limits: Limits = DEFAULT_LIMITS
) -> LayerIndex:
    """Index a blob whose bytes `stored` already watches, so that its digest survives a failure here."""
    compression, blob = sniff_chunks(chunks)
    if compression == "none":
        plain, plain_chunks, unpacker = stored, blob, None
    else:
        plain = Meter(hashed=hashed)
        unpacker = Decompressor(compression, limits)
        plain_chunks = plain.watch(unpacker.run(blob))
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    entries = tuple(decode_entries(walker, contents=contents, limits=limits))
    trailing = walker.drain() + (unpacker.trailing if unpacker else 0)
    return LayerIndex(
        digest=stored.digest(),
        size=stored.size,
        compression=compression,
        diff_id=plain.digest(),
        plain_size=plain.size,
        entries=entries,
        contents=contents,
        trailing=trailing,
    )


def hop_layer(read_at: Callable[[int, int], bytes], size: int, *, limits: Limits = DEFAULT_LIMITS) -> LayerIndex:
    """Read the headers alone of an uncompressed layer of `size` bytes: no digest is known afterwards."""
    walker = tar.Walker(tar.SeekFeed(read_at, size), limits=limits)
    entries = tuple(decode_entries(walker, contents=False, limits=limits))
    return LayerIndex(
        digest=None,
        size=size,
        compression="none",
        diff_id=None,
        plain_size=size,
        entries=entries,
        contents=False,
        trailing=0,
    )


def decode_entries(walker: tar.Walker, *, contents: bool, limits: Limits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """Turn the members of a layer's tar into entries, in their order, as they are read."""
    for count, member in enumerate(walker, 1):
        if count > limits.entries:
            raise LimitExceeded(f"more than {limits.entries} entries (limit entries)", offset=member.offset)
        entry = decode_entry(member, limits)
        if contents and entry.type == "file":
            hasher = hashlib.sha256()
            for piece in walker.content():
                hasher.update(piece)
            entry = entry._replace(sha256=hasher.digest())
        yield entry


def decode_entry(member: tar.Member, limits: Limits = DEFAULT_LIMITS) -> Entry:
    """Decode one member: its name cleaned, its role told, its content not looked at."""
    raw, typeflag, linkname, size, mode, uid, gid, mtime, devmajor, devminor, pax, offset, _, _ = member
    name = raw.decode("utf-8", "surrogateescape")
    if len(raw) > limits.path_bytes:
        raise LimitExceeded(f"a name of {len(raw)} bytes (limit path_bytes)", offset=offset)
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


def _xattrs(pax: Mapping[bytes, bytes]) -> Mapping[str, bytes] | None:
    """Extended attributes stand in SCHILY.xattr records alone; LIBARCHIVE's are not read by engines."""
    found = {
        key[len(_SCHILY) :].decode("utf-8", "surrogateescape"): value
        for key, value in pax.items()
        if key.startswith(_SCHILY)
    }
    return found or None


def read_content(plain_chunks: Iterable[bytes], offset: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the content of the member whose header is at `offset` of an uncompressed layer, holes filled."""
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    for member in walker:
        if member.offset == offset:
            yield from walker.content()
            return
    raise MalformedInput("no member starts here", offset=offset)
