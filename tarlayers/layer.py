"""A layer's entries: one pass over its tar, names decoded, markers told apart.

Nothing is merged or resolved here: entries stand as the tar has them, in its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.digest import Digest


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
