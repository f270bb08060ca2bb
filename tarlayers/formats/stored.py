"""Stored chunks as decoders take them: any number of bytes at a time, some of them put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tarlayers.errors import MalformedInput

# Larger pieces are page faults: glibc gives each back to the kernel (a fifth of the time to verify 3 GB of gzip).
PLAIN_CHUNK = 1 << 18
# A decoder copies what it was fed beyond the end of its member. Starting each member with a small piece
# keeps a stream of very many tiny members linear.
FIRST_PIECE = 512
LARGEST_PIECE = 256 << 10


class StoredBytes:
    """The stored chunks as one run of bytes, with the offset of the next byte in it."""

    def __init__(self, chunks: Iterable[bytes], compression: str) -> None:
        self.offset = 0
        self._chunks = iter(chunks)
        self._compression = compression
        self._view = memoryview(b"")
        self._next = 0

    def some(self, most: int) -> memoryview:
        """Between 1 and `most` bytes, without a copy; none at the end."""
        while self._next == len(self._view):
            if (chunk := next(self._chunks, None)) is None:
                return memoryview(b"")
            self._view, self._next = memoryview(chunk), 0
        piece = self._view[self._next : self._next + most]
        self._next += len(piece)
        self.offset += len(piece)
        return piece

    def unread(self, size: int) -> None:
        """Put back the last `size` bytes of the last piece."""
        self._next -= size
        self.offset -= size

    def take(self, size: int) -> memoryview:
        """Exactly `size` bytes; MalformedInput where the input ends before."""
        pieces = list(self.pieces(size))
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes as they come; MalformedInput where the input ends before."""
        while size:
            if not (piece := self.some(size)):
                raise self.cut_short()
            size -= len(piece)
            yield piece

    def at_hand(self) -> memoryview:
        """What is left of the current chunk, still to be read."""
        return self._view[self._next :]

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end, still to be read. Meant for the few bytes of a magic."""
        while len(self._view) - self._next < size:
            if (chunk := next(self._chunks, None)) is None:
                break
            self._view, self._next = memoryview(bytes(self.at_hand()) + chunk), 0
        return bytes(self.at_hand()[:size])

    def skip_zeros(self) -> int:
        """Read up to the next byte that is not zero; how many there were."""
        start = self.offset
        piece_size = FIRST_PIECE
        while self.peek(1) == b"\0":
            piece = self.some(piece_size)
            self.unread(len(bytes(piece).lstrip(b"\0")))
            piece_size = min(piece_size * 4, LARGEST_PIECE)
        return self.offset - start

    def rest(self) -> Iterator[bytes]:
        """All that is left; whole chunks pass as the very objects they are."""
        if head := bytes(self.at_hand()):
            self._next = len(self._view)
            self.offset += len(head)
            yield head
        for chunk in self._chunks:
            if chunk:
                self.offset += len(chunk)
                yield chunk

    def cut_short(self, ahead: int = 0) -> MalformedInput:
        """The error for an input that ends inside a member, `ahead` bytes from here."""
        return MalformedInput(f"{self._compression} data is cut short", offset=self.offset + ahead)
