"""Where a tar's bytes come from: the chunks of a stream, or a source that can be read anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tarlayers.errors import ReadFailed


class Feed(Protocol):
    """The bytes of a tar, forward only."""

    def read(self) -> tuple[bytes, int]:
        """Give the next bytes, as many as are handy, as a chunk and where in it they start; nothing at the end."""

    def back(self, count: int) -> None:
        """Take back the last `count` bytes of the chunk that was read last."""

    def skip(self, count: int) -> int:
        """Drop `count` bytes and say how many there were: fewer only at the end."""


class ChunkFeed:
    """The chunks of a stream as a Feed: what is skipped is still drawn from the stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._next = 0  # what a skip leaves of a chunk is not copied: that cost a third of a walk

    def read(self) -> tuple[bytes, int]:
        """Give what a skip left of a chunk, else the next chunk."""
        while self._next == len(self._chunk):
            following = self._draw()
            if following is None:
                return b"", 0
            self._chunk, self._next = following, 0
        start, self._next = self._next, len(self._chunk)
        return self._chunk, start

    def back(self, count: int) -> None:
        """Give the end of the chunk once more with the next read."""
        self._next -= count

    def skip(self, count: int) -> int:
        """Draw chunks until `count` bytes are gone."""
        left = count
        while left:
            chunk, start = self.read()
            if not chunk:
                break
            left -= len(chunk) - start
            if left < 0:
                self.back(-left)
                return count
        return count - left

    def _draw(self) -> bytes | None:
        return next(self._chunks, None)


class SeekFeed:
    """A source that can be read anywhere as a Feed: what is skipped is never read.

    The window grows while headers follow each other closely and shrinks after a long hop, so that an
    archive of small files costs few calls and one of large files few bytes.
    """

    _LEAST, _MOST = 1 << 12, 1 << 18
    _WHOLE = 1 << 17  # bytes of a source that is read at once: the dozen calls that hopping takes cost more

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._position = 0
        self._window = size if size <= self._WHOLE else self._LEAST

    def read(self) -> tuple[bytes, int]:
        """Read the next window."""
        wanted = min(self._window, self._size - self._position)
        chunk = self._read_at(self._position, wanted)
        if wanted and not chunk:
            raise ReadFailed("the source ends before it should: it has become shorter", offset=self._position)
        self._position += len(chunk)
        self._window = min(self._window * 2, self._MOST)
        return chunk, 0

    def back(self, count: int) -> None:
        """Read the end of the window once more."""
        self._position -= count

    def skip(self, count: int) -> int:
        """Move on without reading."""
        dropped = min(count, self._size - self._position)
        self._position += dropped
        if count > self._window:
            self._window = self._LEAST
        return dropped
