"""Where a tar's bytes come from: the chunks of a stream, or a source that can be read anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol


class Feed(Protocol):
    """The bytes of a tar, forward only."""

    def read(self) -> bytes:
        """Give the next bytes, as many as are handy; nothing at the end."""

    def skip(self, count: int) -> int:
        """Drop `count` bytes and say how many there were: fewer only at the end."""


class ChunkFeed:
    """The chunks of a stream as a Feed: what is skipped is still drawn from the stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self) -> bytes:
        """Give what a skip left of a chunk, else the next chunk."""
        chunk, self._rest = self._rest, b""
        while not chunk:
            following = next(self._chunks, None)
            if following is None:
                return b""
            chunk = following
        return chunk

    def skip(self, count: int) -> int:
        """Draw chunks until `count` bytes are gone."""
        left = count
        while left:
            chunk = self.read()
            if not chunk:
                break
            if len(chunk) > left:
                self._rest = chunk[left:]
                return count
            left -= len(chunk)
        return count - left


class SeekFeed:
    """A source that can be read anywhere as a Feed: what is skipped is never read.

    The window grows while headers follow each other closely and shrinks after a long hop, so that an
    archive of small files costs few calls and one of large files few bytes.
    """

    _LEAST, _MOST = 1 << 12, 1 << 18

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._position = 0
        self._window = self._LEAST

    def read(self) -> bytes:
        """Read the next window."""
        chunk = self._read_at(self._position, min(self._window, self._size - self._position))
        self._position += len(chunk)
        self._window = min(self._window * 2, self._MOST)
        return chunk

    def skip(self, count: int) -> int:
        """Move on without reading."""
        dropped = min(count, self._size - self._position)
        self._position += dropped
        if count > self._window:
            self._window = self._LEAST
        return dropped
