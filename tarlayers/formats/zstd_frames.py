"""Frames of zstd (RFC 8878), decoded a few blocks at a time, so that what a piece expands to has a bound."""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from tarlayers.errors import MalformedInput, UnsupportedInput
from tarlayers.formats.magic import ZSTD_MAGIC
from tarlayers.formats.stored import PLAIN_CHUNK, StoredBytes

# MaxWindowSize of klauspost/compress, with which containerd and podman read; `zstd --ultra --long=29`.
_WINDOW = 1 << 29
_BLOCK = 128 << 10
_RLE, _RESERVED = 1, 3


def make_context() -> zstandard.ZstdDecompressor:
    """Give what decodes frames, one after the other: making one costs more than decoding a small frame."""
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW)


class _FrameBlocks:
    """The blocks of one frame, its magic already read, as a source that gives a few of them at a time.

    A block of four bytes can stand for 128 KiB (RFC 8878, 3.1.1.2), so that a stored piece tells nothing of what it
    expands to. So many blocks fit into the room that is given, and nothing of them is left inside for the next time.
    """

    def __init__(self, stored: StoredBytes) -> None:
        self._stored = stored
        self._header, self._has_checksum = _frame_header(stored)
        self.ended = False

    def read(self, _size: int) -> bytes | memoryview:
        """Give the next blocks, the last with the frame's checksum; nothing after that."""
        if self.ended:
            return b""
        size, self.ended = _measure_blocks(self._stored)
        blocks = self._stored.take(size + (4 if self.ended and self._has_checksum else 0))
        header, self._header = self._header, b""
        return header + blocks if header else blocks


def decode_frame(stored: StoredBytes, context: zstandard.ZstdDecompressor) -> Iterator[bytes]:
    """Decode one frame into bytes of its own: decompressobj() copies each once more, a seventh of the time."""
    blocks = _FrameBlocks(stored)
    reader = context.stream_reader(blocks)  # type: ignore[arg-type] # it asks for no more than read
    while not blocks.ended:
        try:
            plain = reader.read1(PLAIN_CHUNK)
        except zstandard.ZstdError as error:
            raise MalformedInput(f"corrupt data: {error}", offset=stored.offset) from error
        if plain:
            yield plain


def _measure_blocks(stored: StoredBytes) -> tuple[int, bool]:
    """The stored size of the next block and of those at hand behind it, and whether the frame's last is in it."""
    stored.peek(3)
    view = stored.at_hand()
    end = 0
    for _ in range(PLAIN_CHUNK // _BLOCK):
        bits = int.from_bytes(view[end : end + 3], "little")
        kind, size = bits >> 1 & 3, bits >> 3
        following = end + 3 + (1 if kind == _RLE else size)
        if end and following > len(view):
            break
        if kind == _RESERVED or size > _BLOCK:
            raise MalformedInput("corrupt data: impossible zstd block header", offset=stored.offset + end)
        end = following
        if bits & 1:
            return end, True
    return end, False


def _frame_header(stored: StoredBytes) -> tuple[bytes, bool]:
    """The frame header, magic included, and whether a checksum ends the frame."""
    start = stored.offset
    descriptor = stored.take(1)
    single_segment, checksum = bool(descriptor[0] & 0x20), bool(descriptor[0] & 0x04)
    id_size = (0, 1, 2, 4)[descriptor[0] & 3]
    content_size = (int(single_segment), 2, 4, 8)[descriptor[0] >> 6]
    fields = stored.take((not single_segment) + id_size + content_size)
    base = 1 << (10 + (fields[0] >> 3))
    window = base + base // 8 * (fields[0] & 7)
    if single_segment:
        window = int.from_bytes(fields[id_size:], "little")
    if window > _WINDOW:
        raise UnsupportedInput(f"zstd window of {window} bytes is larger than {_WINDOW}", offset=start)
    if any(fields[not single_segment :][:id_size]):
        raise UnsupportedInput("zstd frame needs a dictionary", offset=start)
    return ZSTD_MAGIC.to_bytes(4, "little") + descriptor + fields, checksum
