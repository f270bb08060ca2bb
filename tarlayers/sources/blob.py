"""Stored bytes: read anywhere, any number of times, or once as they pass."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tarlayers.errors import ReadFailed

# Hashing is fastest with chunks that stay in the second-level cache; larger ones cost page faults.
CHUNK = 1 << 18


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


def read_file_at(descriptor: int, offset: int, count: int, place: str) -> bytes:
    """Read from anywhere in an open file; ReadFailed where the device or the network refuses."""
    try:
        return os.pread(descriptor, count, offset)
    except OSError as error:
        raise ReadFailed(f"cannot be read: {error.strerror or error}", place=place, offset=offset) from error


def read_stream(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    """Yield a stream in chunks, as they come; ReadFailed where it cannot be read on."""
    while True:
        try:
            chunk = read(CHUNK)
        except OSError as error:
            raise ReadFailed(f"cannot be read: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:  # of a stream that decompresses, as gzip.open gives
            raise ReadFailed(f"cannot be read: {error}") from error
        if chunk is None:
            raise ReadFailed("cannot be read: the stream does not wait for what is not there yet")
        if not chunk:
            return
        yield chunk
