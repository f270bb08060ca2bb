"""Where a walker stands in the bytes of a tar: what is at hand, what is left of the current member's content."""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.errors import MalformedInput
from tarlayers.formats.tar_feed import Feed
from tarlayers.formats.tar_fields import BLOCK
from tarlayers.formats.tar_headers import Header
from tarlayers.limits import Limits, limit_exceeded

_HOLE = 1 << 16


class TarBytes:
    """The bytes of one tar, forward only: the Walker's floor, which says what they mean."""

    def __init__(self, feed: Feed, limits: Limits, *, raw: bool) -> None:
        self._feed = feed
        self._limits = limits
        self._raw: bytearray | None = bytearray() if raw else None
        self._buf = b""
        self._pos = 0
        self._base = 0  # offset in the tar of _buf[0]
        self._left = 0  # content of the current member not yet consumed
        self._pad = 0  # padding behind that content, or behind the records of a global header
        self._sparse: tuple[tuple[int, int], ...] | None = None
        self._size = 0
        self._holes = 0  # bytes, of all contents that were drawn

    def _fill(self, count: int) -> int:
        """Have `count` bytes at hand if there are so many; say how many there are, at most `count`."""
        have = len(self._buf) - self._pos
        if have >= count:
            return count
        if not have:
            self._next_chunk()
            have = len(self._buf) - self._pos
            if have >= count:
                return count
        parts = [self._buf[self._pos :]]
        self._base += self._pos
        while have < count:
            chunk, start = self._feed.read()
            if not chunk:
                break
            # What is not needed stays in its chunk: joining the two would copy it.
            stop = min(len(chunk), start + count - have)
            self._feed.back(len(chunk) - stop)
            parts.append(chunk[start:stop])
            have += stop - start
        self._buf, self._pos = b"".join(parts), 0
        return have

    def _next_chunk(self) -> None:
        """Go on to the feed's next bytes; there are none at its end."""
        chunk, start = self._feed.read()
        self._base += self._pos - start
        self._buf, self._pos = chunk, start

    def _block(self) -> bytes:
        """Take one block that has to be there."""
        if self._fill(BLOCK) < BLOCK:
            raise self._error("the archive ends inside a header")
        block = self._buf[self._pos : self._pos + BLOCK]
        self._pos += BLOCK
        if self._raw is not None:
            self._raw += block
        return block

    def _finish_payload(self, pad: int) -> None:
        """Go to the next header where it is not at hand: past the rest of the content, then its padding."""
        if self._raw is not None:
            for _ in self.payload():
                pass
            self._take_padding(pad)
            return
        offset = self._base + len(self._buf)
        missing = self._pos + self._left - len(self._buf)
        if missing > 0:
            dropped = self._feed.skip(missing)
            offset += dropped
            if dropped < missing:
                raise MalformedInput("the archive ends inside a file's content", offset=offset)
        else:
            pad += missing
        if pad:
            offset += self._feed.skip(pad)
        chunk, start = self._feed.read()
        self._base = offset - start
        self._buf, self._pos = chunk, start

    def _take_padding(self, pad: int) -> None:
        """Pass `pad` bytes, or what there is of them at the end of the stream."""
        count = self._fill(pad)
        if self._raw is not None:
            self._raw += self._buf[self._pos : self._pos + count]
        self._pos += count

    def payload(self) -> Iterator[bytes]:
        """Yield what is left of the current member's content as stored (a sparse file's regions only)."""
        while self._left:
            if self._pos == len(self._buf):
                self._next_chunk()
                if not self._buf:
                    raise MalformedInput("the archive ends inside a file's content", offset=self._base)
            piece = self._buf[self._pos : self._pos + self._left]
            self._pos += len(piece)
            self._left -= len(piece)
            yield piece

    def content(self) -> Iterator[bytes]:
        """Yield the current member's content, holes filled with zeros; call it before any `payload`."""
        if self._sparse is None:
            yield from self.payload()
            return
        self._holes += self._size - sum(length for _, length in self._sparse)
        check_holes(self._holes, self._limits, offset=self._base)
        for run in self.runs():
            if isinstance(run, bytes):
                yield run
            else:
                yield from _zeros(run)

    def passed(self, header: Header) -> bytes:
        """Give the content of one of a stretch's headers but the last, until the next stretch: it is at hand."""
        start = header[5] + BLOCK - self._base
        return self._buf[start : start + (header[2] if header[1].typeflag == b"0" else 0)]

    def runs(self) -> Iterator[bytes | int]:
        """Yield the current member's content with the lengths of its holes in their places, which costs nothing
        for a file of terabytes; call it before any `payload`.
        """
        position = 0
        for offset, length in self._sparse or ((0, self._left),):
            yield offset - position
            after = self._left - length
            self._left = length
            yield from self.payload()
            self._left = after
            position = offset + length
        yield self._size - position if self._sparse is not None else 0

    @property
    def data_offset(self) -> int:
        """Where in the tar the current member's stored content starts; ask before it is consumed."""
        return self._base + self._pos

    def take_raw(self) -> bytes:
        """Give, and forget, what is not content since the last call. Only with `raw`."""
        if self._raw is None:
            raise ValueError("this walker does not keep raw bytes")
        taken = bytes(self._raw)
        self._raw.clear()
        return taken

    def drain(self) -> int:
        """Read to the end of the feed. Say how many bytes follow the end of the archive, or 0 if they are
        all zero: engines ignore them, but the diff ID covers them.
        """
        rest, zero = 0, True
        for chunk in self.tail():
            rest += len(chunk)
            zero = zero and chunk.count(0) == len(chunk)
        return 0 if zero else rest

    def tail(self) -> Iterator[bytes]:
        """Yield what follows the end of the archive, once the last member is through; it is not kept as raw."""
        rest = self._buf[self._pos :]
        self._buf, self._pos = b"", 0
        if rest:
            yield rest
        while (piece := self._feed.read())[0]:
            chunk, start = piece
            yield chunk[start:]

    def _error(self, reason: str) -> MalformedInput:
        return MalformedInput(reason, offset=self._base + self._pos)


def check_holes(holes: int, limits: Limits, *, place: str = "", offset: int | None = None) -> None:
    """LimitExceeded for sparse files whose holes are too many bytes."""
    if holes > limits.sparse_bytes:
        what = f"holes of {holes} bytes in sparse files"
        raise limit_exceeded(limits, "sparse_bytes", what, place=place, offset=offset)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        step = min(count, _HOLE)
        yield bytes(step)
        count -= step
