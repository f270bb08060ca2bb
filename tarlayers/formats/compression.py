"""Stored bytes to plain bytes: gzip, zstd, xz, bzip2 or none, told apart by their magic; and gzip back.

A compressed stream is a sequence of members (gzip), frames (zstd) or streams (xz, bzip2), each with its own
header and checksum. All of them are read; a stream that ends inside one is an error, never an end of file.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple, Protocol

import zstandard
from isal import igzip_lib

from tarlayers.errors import MalformedInput, UnsupportedInput
from tarlayers.formats.magic import SNIFF_BYTES, ZSTD_MAGIC, ZSTD_SKIPPABLE, sniff
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

# OSError is what bz2 raises for corrupt data; no decoder does any input or output.
_DECODER_ERRORS: tuple[type[Exception], ...] = (igzip_lib.IsalError, lzma.LZMAError, OSError)  # type: ignore[assignment]

# Larger pieces are page faults: glibc gives each back to the kernel (a fifth of the time to verify 3 GB of gzip).
_PLAIN_CHUNK = 1 << 18
# A decoder copies what it was fed beyond the end of its member. Starting each member with a small piece
# keeps a stream of very many tiny members linear.
_FIRST_PIECE = 512
_LARGEST_PIECE = 256 << 10

_GZIP_FEXTRA, _GZIP_FNAME, _GZIP_FCOMMENT, _GZIP_FHCRC = 4, 8, 16, 2
# RFC 1952 bounds FEXTRA by its two length bytes and the strings by nothing. Go stops at 511 bytes a string.
_GZIP_HEADER_BYTES = 256 << 10
# The xz format allows dictionaries of 4 GiB; `xz -9` needs 65 MiB to decode.
_XZ_MEMORY = 1 << 30

# MaxWindowSize of klauspost/compress, with which containerd and podman read; `zstd --ultra --long=29`.
_ZSTD_WINDOW = 1 << 29
_ZSTD_BLOCK = 128 << 10
_ZSTD_RLE, _ZSTD_RESERVED = 1, 3
_KEPT_FRAMES = 8  # zstd:chunked ends in three: table of contents, tar-split, footer


def sniff_chunks(chunks: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    """Tell the compression by the first bytes, and give the stream back whole."""
    stream, head = iter(chunks), b""
    for chunk in stream:
        head += chunk
        if len(head) >= SNIFF_BYTES:
            break
    return sniff(head), chain((head,) if head else (), stream)


def open_plain(chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the plain bytes of a stream, whatever its compression."""
    compression, stored = sniff_chunks(chunks)
    return stored if compression == "none" else Decompressor(compression, limits).run(stored)


def compress_gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one gzip member without name and time: the same bytes give the same bytes."""
    encoder = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        if compressed := encoder.compress(chunk):
            yield compressed
    yield encoder.flush()


class Decompressor:
    """Reads one stored stream; its counters say what was met, during `run` and after it.

    `produced` counts plain bytes, `members` the gzip members, zstd data frames, or xz and bzip2 streams.
    `trailing` counts what follows the last gzip member, from the first byte that is not zero padding on.
    Such bytes are read to their end and left out of the plain bytes: Go refuses them, unpigz ignores them,
    and container engines use whichever of the two the host has. `padding` counts the zeros before them.

    `skippable_first` says that the first zstd frame is a skippable one. `skippable` holds the content of the
    skippable frames that follow the last zstd data frame, by its stored offset: the newest of them, together at
    most `keep_skippable` bytes.
    """

    def __init__(self, compression: str, limits: Limits = DEFAULT_LIMITS, *, keep_skippable: int = 0) -> None:
        if compression not in {"none", "zstd", *_CODECS}:
            raise ValueError(f"unknown compression {compression!r}")
        self.compression = compression
        self.produced = 0
        self.trailing = 0
        self.padding = 0
        self.skippable_first = False
        self.members = 0
        self.skippable: dict[int, bytes] = {}
        self._keep_skippable = keep_skippable
        self._limits = limits
        self._stored = _Stored((), compression)

    @property
    def consumed(self) -> int:
        """Stored bytes handed to the decoder so far; all of them once `run` has ended."""
        return self._stored.offset

    def run(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Decode lazily, once for each Decompressor: non-empty chunks of at most 256 KiB.

        With `none` the chunks pass as they are. Truncated, corrupt or foreign bytes are MalformedInput at the
        stored offset where that was noticed, a decoder that needs too much memory is UnsupportedInput, and
        passing `plain_bytes` or `ratio` is LimitExceeded. Chunks before the fault may have been handed out.
        """
        self._stored = _Stored(chunks, self.compression)
        for plain in self._decode():
            self.produced += len(plain)
            self._check_limits()
            yield plain

    def _decode(self) -> Iterator[bytes]:
        if self.compression == "none":
            return self._stored.rest()
        if self.compression == "zstd":
            return self._zstd_frames()
        return self._members(_CODECS[self.compression])

    def _check_limits(self) -> None:
        limits = self._limits
        if self.produced > limits.plain_bytes:
            raise limit_exceeded(limits, "plain_bytes", "expands to more bytes than are allowed", offset=self.consumed)
        if self.produced > limits.ratio_grace_bytes and self.produced > limits.ratio * self.consumed:
            raise limit_exceeded(limits, "ratio", "expands by more than is allowed", offset=self.consumed)

    def _members(self, codec: _Codec) -> Iterator[bytes]:
        while self._member_follows(codec):
            if codec.skip_header:
                codec.skip_header(self._stored)
            yield from _decode_member(self._stored, codec)
            self.members += 1

    def _member_follows(self, codec: _Codec) -> bool:
        stored = self._stored
        padding = stored.skip_zeros() if self.members and codec.padding else 0
        uneven = codec.padding and padding % codec.padding
        head = stored.peek(len(codec.magic))
        if codec.lenient:
            self.padding = padding
        if self.members and not head and not uneven:
            return False
        # gzip(1), unpigz and Go do not look for a member behind zero padding.
        if self.members and codec.lenient and (padding or not codec.magic.startswith(head)):
            self.trailing = sum(len(chunk) for chunk in stored.rest())
            return False
        if uneven or not codec.magic.startswith(head):
            raise MalformedInput(f"no {self.compression} header where one has to be", offset=stored.offset)
        if head != codec.magic:
            raise stored.cut_short(len(head))
        return True

    def _zstd_frames(self) -> Iterator[bytes]:
        # One context for all frames: making one costs more than decoding a small frame.
        context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        stored = self._stored
        while stored.peek(1) or not stored.offset:
            start = stored.offset
            magic = int.from_bytes(stored.take(4), "little")
            if magic & ~0xF == ZSTD_SKIPPABLE:
                self.skippable_first = self.skippable_first or not start
                self._skip_frame(int.from_bytes(stored.take(4), "little"))
            elif magic == ZSTD_MAGIC:
                self.skippable.clear()
                yield from _decode_frame(stored, context)
                self.members += 1
            else:
                raise MalformedInput("no zstd header where one has to be", offset=start)

    def _skip_frame(self, size: int) -> None:
        stored = self._stored
        if size > self._keep_skippable:
            for _ in stored.pieces(size):
                pass
            return
        start = stored.offset
        self.skippable[start] = b"".join(stored.pieces(size))
        while len(self.skippable) > _KEPT_FRAMES or sum(map(len, self.skippable.values())) > self._keep_skippable:
            del self.skippable[next(iter(self.skippable))]


class _Stored:
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
        piece_size = _FIRST_PIECE
        while self.peek(1) == b"\0":
            piece = self.some(piece_size)
            self.unread(len(bytes(piece).lstrip(b"\0")))
            piece_size = min(piece_size * 4, _LARGEST_PIECE)
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


class _Decoder(Protocol):
    """What bz2, lzma and isal.igzip_lib share: bounded output, and input that is kept until it is used."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, max_length: int) -> bytes: ...


class _Codec(NamedTuple):
    """How the members of one compression are met, and by what they are decoded."""

    magic: bytes
    new: Callable[[], _Decoder]
    skip_header: Callable[[_Stored], None] | None = None
    padding: int = 0  # zero bytes may follow a member, in multiples of this; 0 forbids them
    lenient: bool = False  # other bytes may follow the last member


def _decode_member(stored: _Stored, codec: _Codec) -> Iterator[bytes]:
    decoder = codec.new()
    piece_size = _FIRST_PIECE
    while not decoder.eof:
        piece = memoryview(b"")
        if decoder.needs_input:
            if not (piece := stored.some(piece_size)):
                raise stored.cut_short()
            piece_size = min(piece_size * 4, _LARGEST_PIECE)
        try:
            plain = decoder.decompress(piece, _PLAIN_CHUNK)
        except _DECODER_ERRORS as error:
            kind = UnsupportedInput if "Memory usage limit" in str(error) else MalformedInput
            raise kind(f"cannot decode: {error}", offset=stored.offset) from error
        if plain:
            yield plain
    stored.unread(len(decoder.unused_data))


def _skip_gzip_header(stored: _Stored) -> None:
    """Read a member's header. ISA-L does so too, but fails where FEXTRA or FHCRC is fed to it in pieces."""
    start = stored.offset
    header = bytearray(stored.take(10))
    flags = header[3]
    if header[2] != zlib.DEFLATED:
        raise UnsupportedInput(f"gzip method {header[2]} is not deflate", offset=start)
    if flags & _GZIP_FEXTRA:
        header += stored.take(2)
        header += stored.take(int.from_bytes(header[-2:], "little"))
    for _ in range(bool(flags & _GZIP_FNAME) + bool(flags & _GZIP_FCOMMENT)):
        header += stored.take(1)
        while header[-1]:
            header += stored.take(1)
            if len(header) > _GZIP_HEADER_BYTES:
                raise MalformedInput("gzip header without an end", offset=start)
    if flags & _GZIP_FHCRC and int.from_bytes(stored.take(2), "little") != zlib.crc32(header) & 0xFFFF:
        raise MalformedInput("gzip header does not match its checksum", offset=start)


_GZIP_DECODER = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP_NO_HDR_VER)
_XZ_DECODER = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
_CODECS = {
    "gzip": _Codec(b"\x1f\x8b", _GZIP_DECODER, _skip_gzip_header, padding=1, lenient=True),
    "xz": _Codec(b"\xfd7zXZ\0", _XZ_DECODER, padding=4),
    "bzip2": _Codec(b"BZh", bz2.BZ2Decompressor),
}


class _FrameBlocks:
    """The blocks of one frame, its magic already read, as a source that gives a few of them at a time.

    A block of four bytes can stand for 128 KiB (RFC 8878, 3.1.1.2), so that a stored piece tells nothing of what it
    expands to. So many blocks fit into the room that is given, and nothing of them is left inside for the next time.
    """

    def __init__(self, stored: _Stored) -> None:
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


def _decode_frame(stored: _Stored, context: zstandard.ZstdDecompressor) -> Iterator[bytes]:
    """Decode one frame into bytes of its own: decompressobj() copies each once more, a seventh of the time."""
    blocks = _FrameBlocks(stored)
    reader = context.stream_reader(blocks)  # type: ignore[arg-type] # it asks for no more than read
    while not blocks.ended:
        try:
            plain = reader.read1(_PLAIN_CHUNK)
        except zstandard.ZstdError as error:
            raise MalformedInput(f"corrupt data: {error}", offset=stored.offset) from error
        if plain:
            yield plain


def _measure_blocks(stored: _Stored) -> tuple[int, bool]:
    """The stored size of the next block and of those at hand behind it, and whether the frame's last is in it."""
    stored.peek(3)
    view = stored.at_hand()
    end = 0
    for _ in range(_PLAIN_CHUNK // _ZSTD_BLOCK):
        bits = int.from_bytes(view[end : end + 3], "little")
        kind, size = bits >> 1 & 3, bits >> 3
        following = end + 3 + (1 if kind == _ZSTD_RLE else size)
        if end and following > len(view):
            break
        if kind == _ZSTD_RESERVED or size > _ZSTD_BLOCK:
            raise MalformedInput("corrupt data: impossible zstd block header", offset=stored.offset + end)
        end = following
        if bits & 1:
            return end, True
    return end, False


def _frame_header(stored: _Stored) -> tuple[bytes, bool]:
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
    if window > _ZSTD_WINDOW:
        raise UnsupportedInput(f"zstd window of {window} bytes is larger than {_ZSTD_WINDOW}", offset=start)
    if any(fields[not single_segment :][:id_size]):
        raise UnsupportedInput("zstd frame needs a dictionary", offset=start)
    return ZSTD_MAGIC.to_bytes(4, "little") + descriptor + fields, checksum
