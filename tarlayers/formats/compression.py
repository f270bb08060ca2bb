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

from isal import igzip_lib

from tarlayers.errors import MalformedInput, UnsupportedInput
from tarlayers.formats.magic import SNIFF_BYTES, ZSTD_MAGIC, ZSTD_SKIPPABLE, sniff
from tarlayers.formats.stored import FIRST_PIECE, LARGEST_PIECE, PLAIN_CHUNK, StoredBytes
from tarlayers.formats.zstd_frames import decode_frame, make_context
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

# OSError is what bz2 raises for corrupt data; no decoder does any input or output.
_DECODER_ERRORS: tuple[type[Exception], ...] = (igzip_lib.IsalError, lzma.LZMAError, OSError)  # type: ignore[assignment]

_GZIP_FEXTRA, _GZIP_FNAME, _GZIP_FCOMMENT, _GZIP_FHCRC = 4, 8, 16, 2
_GZIP_RESERVED = 0xE0  # RFC 1952 has decoders refuse these; unpigz does, and Go does not
# RFC 1952 bounds FEXTRA by its two length bytes and the strings by nothing. Go stops at 511 bytes a string.
_GZIP_HEADER_BYTES = 256 << 10
# The xz format allows dictionaries of 4 GiB; `xz -9` needs 65 MiB to decode.
_XZ_MEMORY = 1 << 30

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

    `odd_header` says that a gzip header has flags that mean nothing, or that the first zstd frame is a skippable one.
    `skippable` holds the content of the skippable frames that follow the last zstd data frame, by its stored offset:
    the newest of them, together at most `keep_skippable` bytes.
    """

    def __init__(self, compression: str, limits: Limits = DEFAULT_LIMITS, *, keep_skippable: int = 0) -> None:
        if compression not in {"none", "zstd", *_CODECS}:
            raise ValueError(f"unknown compression {compression!r}")
        self.compression = compression
        self.produced = 0
        self.trailing = 0
        self.padding = 0
        self.odd_header = False
        self.members = 0
        self.skippable: dict[int, bytes] = {}
        self._keep_skippable = keep_skippable
        self._limits = limits
        self._stored = StoredBytes((), compression)

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
        self._stored = StoredBytes(chunks, self.compression)
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
            if codec.read_header:
                flags = codec.read_header(self._stored)
                self.odd_header = self.odd_header or bool(flags & _GZIP_RESERVED)
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
        context = make_context()
        stored = self._stored
        while stored.peek(1) or not stored.offset:
            start = stored.offset
            magic = int.from_bytes(stored.take(4), "little")
            if magic & ~0xF == ZSTD_SKIPPABLE:
                self.odd_header = self.odd_header or not start
                self._skip_frame(int.from_bytes(stored.take(4), "little"))
            elif magic == ZSTD_MAGIC:
                self.skippable.clear()
                yield from decode_frame(stored, context)
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
    read_header: Callable[[StoredBytes], int] | None = None
    """Passes a header; gives its flags."""
    padding: int = 0  # zero bytes may follow a member, in multiples of this; 0 forbids them
    lenient: bool = False  # other bytes may follow the last member


def _decode_member(stored: StoredBytes, codec: _Codec) -> Iterator[bytes]:
    decoder = codec.new()
    piece_size = FIRST_PIECE
    while not decoder.eof:
        piece = memoryview(b"")
        if decoder.needs_input:
            if not (piece := stored.some(piece_size)):
                raise stored.cut_short()
            piece_size = min(piece_size * 4, LARGEST_PIECE)
        try:
            plain = decoder.decompress(piece, PLAIN_CHUNK)
        except _DECODER_ERRORS as error:
            kind = UnsupportedInput if "Memory usage limit" in str(error) else MalformedInput
            raise kind(f"cannot decode: {error}", offset=stored.offset) from error
        if plain:
            yield plain
    stored.unread(len(decoder.unused_data))


def _read_gzip_header(stored: StoredBytes) -> int:
    """Pass a member's header; give its flags. ISA-L reads it too, but fails where FEXTRA or FHCRC comes in pieces."""
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
    return flags


_GZIP_DECODER = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP_NO_HDR_VER)
_XZ_DECODER = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
_CODECS = {
    "gzip": _Codec(b"\x1f\x8b", _GZIP_DECODER, _read_gzip_header, padding=1, lenient=True),
    "xz": _Codec(b"\xfd7zXZ\0", _XZ_DECODER, padding=4),
    "bzip2": _Codec(b"BZh", bz2.BZ2Decompressor),
}
