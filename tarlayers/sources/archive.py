"""The thing we were given as named blobs that can be read anywhere: a seekable tar, or a directory."""

from __future__ import annotations

import os
import re
import stat
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tarlayers.errors import ContentAbsent, LimitExceeded, ReadFailed
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded
from tarlayers.sources.blob import Blob, read_file_at
from tarlayers.sources.members import MemberTable, list_blobs, read_members

_DIRECTORY_DEPTH = 4
_LAYOUT_DIRECTORY = re.compile(r"\.|blobs(/sha(256|512))?|[0-9a-f]{64}")  # others of their parent may be anybody's
_LINKED_DIRECTORIES = frozenset(("blobs", "sha256", "sha512"))


class Archive:
    """Named blobs with random access. Use it as a context manager, or let it be collected."""

    def __init__(self, kind: str, path: str, size: int, table: MemberTable, whole: Blob | None) -> None:
        self.kind = kind
        """`tar` or `directory`."""
        self.path = path
        self.size = size
        self.blobs = table.blobs
        self.sizes = table.sizes
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

    def as_layer(self) -> Archive:
        """Give the tar alone: nothing is kept of members once it has turned out that none is a blob."""
        return Archive(self.kind, self.path, self.size, MemberTable({}, {}, {}, {}, self.end_mark), self.whole)

    def documents(self, limits: Limits) -> Documents:
        """Give the JSON members, read when asked for."""
        return Documents(self.blobs, limits)


class Documents(Mapping[str, bytes]):
    """Those blobs that look like JSON documents, read and kept on first use."""

    def __init__(self, blobs: Mapping[str, Blob], limits: Limits) -> None:
        self._blobs = blobs
        self._limits = limits
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0

    def __getitem__(self, name: str) -> bytes:
        if name not in self._kept:
            blob = self._blobs[name]
            if not looks_like_json(blob.read_at(0, 64)):
                raise KeyError(name)
            room = min(self._limits.document_bytes, self._limits.documents_bytes - self._kept_bytes)
            if blob.size > room:
                raise oversized(name, blob.size, self._limits)
            self._kept[name] = b"".join(blob.chunks())
            self._kept_bytes += blob.size
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
        return read_file_at(descriptor, offset, count, path)

    whole = Blob(path, size, read_at, partial(os.fstat, descriptor))
    try:
        table = read_members(whole, limits)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(read_at, os.close, descriptor)  # every blob holds it, whatever becomes of the archive
    return Archive("tar", path, size, table, whole)


def open_directory(path: str) -> Archive:
    """List the files of an image directory, to the depth that any layout has. Nothing is read yet. ReadFailed where
    what a layout has is there and may not be looked at: it is not absent.
    """
    blobs: dict[str, Blob] = {}
    root, absolute = Path(path), Path(path).absolute()
    total = 0

    def refuse(error: OSError) -> None:
        if _LAYOUT_DIRECTORY.fullmatch(str(Path(error.filename).relative_to(root))):
            raise _forbid(error) from error

    for directory, subdirectories, files in os.walk(root, onerror=refuse, followlinks=True):
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
            blob = _file_blob(str(below / name), Path(directory) / name, absolute / below / name)
            if blob is not None:
                blobs[blob.name] = blob
                total += blob.size
    return Archive("directory", path, total, list_blobs(blobs), None)


def _forbid(error: OSError) -> ReadFailed:
    return ReadFailed(f"cannot be read: {error.strerror}", place=str(error.filename))


def _file_blob(name: str, path: Path, absolute: Path) -> Blob | None:
    """Give a file's blob. Errors name its `path`, which is read later, where this process may be elsewhere."""
    try:
        status = path.stat()
    except OSError as error:  # else it is a link that leads nowhere
        if isinstance(error, PermissionError) and _LAYOUT_DIRECTORY.fullmatch(str(Path(name).parent)):
            raise _forbid(error) from error
        return None
    if not stat.S_ISREG(status.st_mode):
        return None

    def read_at(offset: int, count: int) -> bytes:
        # Opened anew each time, for 7 microseconds: a layout may have more blobs than a process may have descriptors.
        try:
            descriptor = os.open(absolute, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, count, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=str(path)) from error

    return Blob(name, status.st_size, read_at, absolute.stat)
