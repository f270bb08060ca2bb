"""The contents of a layer's files: from a directory that the layer was unpacked into, or from its tar.

What tar-split leaves out comes from here, by the names that the tar gives its files.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tarlayers.errors import ContentAbsent, naming
from tarlayers.formats import tar
from tarlayers.formats.assembly import OpenContent
from tarlayers.formats.compression import open_plain
from tarlayers.formats.magic import SNIFF_BYTES, sniff
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.linux import MAX_SYMLINKS
from tarlayers.sources.blob import CHUNK, read_file_at, read_stream
from tarlayers.sources.members import clean_name, clean_names

# -- directories ---------------------------------------------------------------------------------------


@contextmanager
def open_unpacked(path: str) -> Iterator[OpenContent]:
    """Give the files below a directory; nothing outside it is ever opened, whatever links it holds.

    A symlink on the way is followed as if the directory were the root, as an engine does that unpacks. What is
    there but is no regular file, or cannot be read, is ContentAbsent with the reason.
    """
    unpacked = _Unpacked(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        yield unpacked.open_content
    finally:
        unpacked.close()


class _Unpacked:
    """A directory tree, entered step by step through descriptors. The last directory stays open: files of a tar
    mostly come directory by directory.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._parent = ""
        self._descriptor = root

    def close(self) -> None:
        """Let go of all descriptors."""
        self._forget()
        os.close(self._root)

    def _forget(self) -> None:
        if self._descriptor != self._root:
            os.close(self._descriptor)
        self._descriptor, self._parent = self._root, ""

    def open_content(self, name: bytes) -> Iterator[bytes | int]:
        """Read one file."""
        path = clean_name(name)
        try:
            descriptor = self._open_file(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ContentAbsent(f"cannot be read: {reason}", place=path) from error
        try:
            yield from _read_file(descriptor)
        except OSError as error:
            raise ContentAbsent(f"cannot be read: {error.strerror or error}", place=path) from error
        finally:
            os.close(descriptor)

    def _open_file(self, path: str) -> int:
        parent, _, base = path.rpartition("/")
        if parent != self._parent:
            self._forget()
            self._descriptor = _open_parent(self._root, os.fsencode(parent))
            self._parent = parent
        # Opening a device or a pipe could do something, so it is looked at before and after.
        if not stat.S_ISREG(os.stat(os.fsencode(base), dir_fd=self._descriptor, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(os.fsencode(base), flags, dir_fd=self._descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        return descriptor


def _open_parent(root: int, path: bytes) -> int:
    """Open the directory at `path` below `root`, where `root` is the root that links and `..` end at."""
    waiting = deque(path.split(b"/"))
    entered: list[int] = [os.dup(root)]
    hops = 0
    try:
        while waiting:
            part = waiting.popleft()
            if part == b"..":
                if len(entered) > 1:
                    os.close(entered.pop())
            elif part not in (b"", b"."):
                target = _read_link(part, entered[-1])
                if target is None:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    entered.append(os.open(part, flags, dir_fd=entered[-1]))
                    continue
                hops += 1
                if hops > MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                while target.startswith(b"/") and len(entered) > 1:
                    os.close(entered.pop())
                waiting.extendleft(reversed(target.split(b"/")))
        return entered.pop()
    finally:
        for descriptor in entered:
            os.close(descriptor)


def _read_link(name: bytes, directory: int) -> bytes | None:
    """The target of a symlink; None for anything else."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _read_file(descriptor: int) -> Iterator[bytes | int]:
    """The content, with the holes that the file system knows of as their lengths."""
    status = os.fstat(descriptor)
    if status.st_blocks * 512 >= status.st_size:
        while chunk := os.read(descriptor, CHUNK):
            yield chunk
        return
    position = 0
    while position < status.st_size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no data from here to the end
                raise
            start = status.st_size
        yield start - position
        position = start
        if position < status.st_size:
            end = os.lseek(descriptor, position, os.SEEK_HOLE)
            while position < end and (chunk := os.pread(descriptor, min(CHUNK, end - position), position)):
                yield chunk
                position += len(chunk)


# -- tars ----------------------------------------------------------------------------------------------


@contextmanager
def open_layer(path: str, limits: Limits = DEFAULT_LIMITS) -> Iterator[OpenContent]:
    """Give the files of a layer's tar, of whatever compression and in whatever order.

    A compressed tar, or one from a pipe, is kept uncompressed in a temporary file without a name. Where a name
    occurs several times each call gives the next of them.
    """
    with Path(path).open("rb", buffering=0) as stored, tempfile.TemporaryFile() as spool:
        plain = stored.fileno()
        with naming(path):
            if not stored.seekable() or sniff(os.pread(plain, SNIFF_BYTES, 0)) != "none":
                for chunk in open_plain(read_stream(stored.read), limits):
                    spool.write(chunk)
                spool.flush()
                plain = spool.fileno()
            table = _Table(plain, path, limits)
        yield table.open_content


class _Place(NamedTuple):
    """Where a content is in a tar."""

    offset: int
    size: int
    regions: tuple[tuple[int, int], ...] | None
    """Those of a sparse file."""


class _Table:
    """The contents of an uncompressed tar by name, found by hopping over them."""

    def __init__(self, descriptor: int, path: str, limits: Limits) -> None:
        self._descriptor = descriptor
        self._path = path
        self._places: dict[str, _Place] = {}
        self._repeated: dict[str, deque[_Place]] = {}
        walker = tar.Walker(tar.SeekFeed(self._read_at, os.fstat(descriptor).st_size), limits=limits)
        for stretch in walker.gather():
            tar.check_stretch(stretch, walker.weight, limits)
            if isinstance(stretch, list):
                for name, (_, tail, size, _, _, offset) in zip(clean_names(stretch), stretch, strict=True):
                    if tail.typeflag == b"0":
                        self._add(name, _Place(offset + tar.BLOCK, size, None))
            elif stretch.typeflag not in tar.HEADER_ONLY and stretch.typeflag != b"g":
                self._add(clean_name(stretch.name), _Place(walker.data_offset, stretch.size, stretch.sparse))

    def _add(self, name: str, place: _Place) -> None:
        first = self._places.setdefault(name, place)
        if first is not place:
            self._repeated.setdefault(name, deque((first,))).append(place)

    def _read_at(self, offset: int, count: int) -> bytes:
        return read_file_at(self._descriptor, offset, count, self._path)

    def _next_place(self, name: str) -> _Place:
        """Give where the next content of a name is; of the last one as often as it is asked for."""
        repeated = self._repeated.get(name)
        if repeated is not None:
            return repeated.popleft() if len(repeated) > 1 else repeated[0]
        if name not in self._places:
            raise ContentAbsent("is not in the layer", place=name)
        return self._places[name]

    def open_content(self, name: bytes) -> Iterator[bytes | int]:
        """Read one file."""
        offset, size, regions = self._next_place(clean_name(name))
        position = 0
        for start, length in ((0, size),) if regions is None else regions:
            yield start - position
            for done in range(0, length, CHUNK):
                yield self._read_at(offset + done, min(CHUNK, length - done))
            offset += length
            position = start + length
        yield size - position
