"""Every compression, in every cut of the input, whole, cut short, corrupt, and hostile."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import tracemalloc
import zlib

import pytest
import zstandard

from tarlayers.errors import LimitExceeded, MalformedInput, TarlayersError, UnsupportedInput
from tarlayers.formats.compression import Decompressor
from tarlayers.formats.magic import SNIFF_BYTES, sniff
from tarlayers.formats.stored import StoredBytes
from tarlayers.limits import Limits

PLAIN = random.Random(1).randbytes(700) + b"container layer " * 40
FEXTRA, FNAME, FCOMMENT, FHCRC = 4, 8, 16, 2


def gz(plain: bytes = PLAIN, flags: int = 0, extra: bytes = b"eStargz tail") -> bytes:
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    if flags & FEXTRA:
        head += struct.pack("<H", len(extra)) + extra
    head += b"layer.tar\0" if flags & FNAME else b""
    head += b"a comment\0" if flags & FCOMMENT else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if flags & FHCRC else b""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return head + deflate.compress(plain) + deflate.flush() + struct.pack("<II", zlib.crc32(plain), len(plain))


def zst(plain: bytes = PLAIN, **options) -> bytes:
    return zstandard.ZstdCompressor(**{"write_checksum": True, **options}).compress(plain)


def zst_stream(plain: bytes = PLAIN, blocks: int = 5) -> bytes:
    """A frame without content size, with a window descriptor and several blocks."""
    encoder = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    step = len(plain) // blocks + 1
    parts = [
        encoder.compress(plain[at : at + step]) + encoder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for at in range(0, len(plain), step)
    ]
    return b"".join(parts) + encoder.flush()


def skippable(content: bytes = b"zstd:chunked", nibble: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + nibble, len(content)) + content


def rle_frame(blocks: int, size: int = 128 << 10) -> bytes:
    """A frame of `blocks` times `size` zeros, four bytes each; its window is 128 MiB."""
    block = (size << 3 | 2).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x88" + block * blocks + b"\x01\0\0"


def cuts(data: bytes, how: str) -> list[bytes]:
    if how == "whole":
        return [data]
    if how == "bytes":
        return [data[at : at + 1] for at in range(len(data))]
    rng, parts = random.Random(how), []
    while data:
        size = rng.choice((0, 1, 2, 3, 7, 100, 1000))
        parts.append(data[:size])
        data = data[size:]
    return parts


def decode(
    compression: str, data: bytes, how: str = "whole", limits: Limits | None = None
) -> tuple[bytes, Decompressor]:
    decompressor = Decompressor(compression, limits or Limits())
    chunks = list(decompressor.run(cuts(data, how)))
    assert all(chunks)
    plain = b"".join(chunks)
    assert decompressor.produced == len(plain)
    return plain, decompressor


TWICE = PLAIN * 2
# name: compression, stored, plain, members, trailing
GOOD = {
    "gzip": ("gzip", gz(), PLAIN, 1, 0),
    "gzip of nothing": ("gzip", gz(b""), b"", 1, 0),
    "gzip members": ("gzip", gz() + gz(b"") + gz(), TWICE, 3, 0),
    "gzip header fields": ("gzip", gz(flags=FEXTRA | FNAME | FCOMMENT | FHCRC) * 2, TWICE, 2, 0),
    "gzip FEXTRA alone": ("gzip", gz() + gz(b"", FEXTRA), PLAIN, 2, 0),
    "gzip FEXTRA empty": ("gzip", gz(flags=FEXTRA | FNAME, extra=b""), PLAIN, 1, 0),
    "gzip FHCRC": ("gzip", gz(flags=FHCRC), PLAIN, 1, 0),
    "gzip zero padding": ("gzip", gz() + bytes(1500), PLAIN, 1, 0),
    "gzip trailing": ("gzip", gz() + b"trailing\0\0", PLAIN, 1, 10),
    "gzip trailing half magic": ("gzip", gz() + b"\x1f\x8c", PLAIN, 1, 2),
    "gzip padding, then trailing": ("gzip", gz() + bytes(9) + b"xyz", PLAIN, 1, 3),
    "gzip member behind padding": ("gzip", gz() + bytes(9) + gz(b""), PLAIN, 1, len(gz(b""))),
    "gzip big": ("gzip", gzip.compress(PLAIN * 2000), PLAIN * 2000, 1, 0),
    "zstd": ("zstd", zst(), PLAIN, 1, 0),
    "zstd of nothing": ("zstd", zst(b""), b"", 1, 0),
    "zstd no checksum": ("zstd", zst(write_checksum=False), PLAIN, 1, 0),
    "zstd no content size": ("zstd", zst(write_content_size=False), PLAIN, 1, 0),
    "zstd stream": ("zstd", zst_stream(), PLAIN, 1, 0),
    "zstd many blocks": ("zstd", zst_stream(blocks=60), PLAIN, 1, 0),
    "zstd frames": ("zstd", zst() + zst(b"") + zst_stream(), TWICE, 3, 0),
    "zstd skippable only": ("zstd", skippable(), b"", 0, 0),
    "zstd skippable everywhere": (
        "zstd",
        skippable() + zst() + skippable(b"", 15) * 2 + zst_stream() + skippable(bytes(3000), 7),
        TWICE,
        2,
        0,
    ),
    "zstd incompressible": (
        "zstd",
        zst(random.Random(2).randbytes(300_000)),
        random.Random(2).randbytes(300_000),
        1,
        0,
    ),
    "zstd big": ("zstd", zst(PLAIN * 2000), PLAIN * 2000, 1, 0),
    "zstd rle": ("zstd", rle_frame(20), bytes(20 << 17), 1, 0),
    "xz": ("xz", lzma.compress(PLAIN), PLAIN, 1, 0),
    "xz streams and padding": ("xz", lzma.compress(PLAIN) + bytes(8) + lzma.compress(PLAIN) + bytes(4), TWICE, 2, 0),
    "bzip2": ("bzip2", bz2.compress(PLAIN), PLAIN, 1, 0),
    "bzip2 streams": ("bzip2", bz2.compress(PLAIN) + bz2.compress(b"") + bz2.compress(PLAIN), TWICE, 3, 0),
    "none": ("none", PLAIN, PLAIN, 0, 0),
    "none of nothing": ("none", b"", b"", 0, 0),
}


@pytest.mark.parametrize("how", ["whole", "bytes", "short reads 1", "short reads 2"])
@pytest.mark.parametrize("name", GOOD)
def test_decodes_however_the_input_is_cut(name: str, how: str) -> None:
    compression, stored, plain, members, trailing = GOOD[name]
    result, decompressor = decode(compression, stored, how)
    assert result == plain
    assert (decompressor.members, decompressor.trailing) == (members, trailing)
    assert decompressor.consumed == len(stored)


@pytest.mark.parametrize("name", [name for name in GOOD if len(GOOD[name][1]) > 4])
def test_sniff_agrees_with_the_table(name: str) -> None:
    compression, stored, *_ = GOOD[name]
    assert sniff(stored[:SNIFF_BYTES]) == compression


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"", "none"),
        (b"\x1f", "none"),
        (b"BZh9", "none"),
        (b"BZh91AY&SY", "bzip2"),
        (b"BZh01AY&SY", "none"),
        (b"BZhello.txt", "none"),
        (bz2.compress(b""), "bzip2"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
        (b"\x60\x2a\x4d\x18", "none"),
        (b"\x28\xb5\x2f", "none"),
    ],
)
def test_sniff(prefix: bytes, expected: str) -> None:
    assert sniff(prefix) == expected


# name: compression, members in order
PARTS = {
    "gzip": ("gzip", [gz(b"abc"), gz(b"defg" * 9, FEXTRA | FNAME | FCOMMENT | FHCRC), gz(b"")]),
    "zstd": (
        "zstd",
        [skippable(), zst(b"abc"), zst_stream(b"defg" * 9, 3), skippable(b""), zst(b"", write_checksum=False)],
    ),
    "xz": ("xz", [lzma.compress(b"abc"), lzma.compress(b"defg")]),
    "bzip2": ("bzip2", [bz2.compress(b"abc"), bz2.compress(b"defg" * 9)]),
}


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize("name", PARTS)
def test_truncation_anywhere_is_an_error_at_the_cut(name: str, how: str) -> None:
    compression, parts = PARTS[name]
    stored = b"".join(parts)
    boundaries = {sum(map(len, parts[: count + 1])) for count in range(len(parts))}
    for end in range(len(stored)):
        if end in boundaries:
            decode(compression, stored[:end], how)
            continue
        with pytest.raises(MalformedInput) as caught:
            decode(compression, stored[:end], how)
        assert caught.value.offset == end, (end, caught.value)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "bzip2"])
def test_no_flipped_bit_yields_other_plain_bytes(compression: str) -> None:
    plain = b"layers of layers " * 9
    encode = {"gzip": gz, "zstd": zst_stream, "xz": lzma.compress, "bzip2": bz2.compress}[compression]
    stored = encode(plain)
    errors = 0
    for bit in range(len(stored) * 8):
        broken = bytearray(stored)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            result, _ = decode(compression, bytes(broken))
        except TarlayersError as error:
            errors += 1
            assert 0 <= (error.offset or 0) <= len(stored)
        else:
            # MTIME, XFL, OS and unused flags of gzip, the window size and an unused bit of zstd.
            assert result == plain, bit
    assert errors > len(stored) * 8 * 0.7


BAD = {
    "gzip of nothing at all": ("gzip", b"", MalformedInput),
    "gzip foreign": ("gzip", b"PK\x03\x04", MalformedInput),
    "gzip zeros in front": ("gzip", b"\0" + gz(), MalformedInput),
    "gzip method": ("gzip", b"\x1f\x8b\x07" + gz()[3:], UnsupportedInput),
    "gzip second member corrupt": ("gzip", gz() + b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 20, MalformedInput),
    "gzip FHCRC": ("gzip", gz(flags=FHCRC)[:10] + b"zz" + gz(flags=FHCRC)[12:], MalformedInput),
    "gzip CRC": ("gzip", gz()[:-8] + b"\0\0\0\0" + gz()[-4:], MalformedInput),
    "gzip ISIZE": ("gzip", gz()[:-4] + b"\0\0\0\0", MalformedInput),
    "gzip endless name": ("gzip", b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 300_000, MalformedInput),
    "zstd of nothing at all": ("zstd", b"", MalformedInput),
    "zstd trailing": ("zstd", zst() + b"trailing", MalformedInput),
    "zstd trailing zeros": ("zstd", zst() + bytes(4), MalformedInput),
    "zstd checksum": ("zstd", zst()[:-4] + b"\0\0\0\0", MalformedInput),
    "zstd reserved block": ("zstd", b"\x28\xb5\x2f\xfd\x00\x58\x07\0\0", MalformedInput),
    "zstd reserved descriptor bit": ("zstd", b"\x28\xb5\x2f\xfd\x08\x58\x01\0\0", MalformedInput),
    "zstd window of 1 GiB": ("zstd", b"\x28\xb5\x2f\xfd\x00\xa0\x01\0\0", UnsupportedInput),
    "zstd dictionary": ("zstd", b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\0\0", UnsupportedInput),
    "xz uneven padding": ("xz", lzma.compress(b"a") + bytes(3), MalformedInput),
    "xz uneven padding between": ("xz", lzma.compress(b"a") + bytes(5) + lzma.compress(b"b"), MalformedInput),
    "xz trailing": ("xz", lzma.compress(b"a") + b"trailing", MalformedInput),
    "bzip2 trailing": ("bzip2", bz2.compress(b"a") + b"trailing", MalformedInput),
    "bzip2 zeros": ("bzip2", bz2.compress(b"a") + bytes(8), MalformedInput),
}


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str, how: str) -> None:
    compression, stored, kind = BAD[name]
    with pytest.raises(kind) as caught:
        decode(compression, stored, how)
    assert caught.value.offset is not None
    assert caught.value.offset <= len(stored)


def test_a_window_of_512_mib_is_read() -> None:
    assert decode("zstd", b"\x28\xb5\x2f\xfd\x00\x98\x09\0\0x")[0] == b"x"


def test_a_decoder_error_is_the_cause() -> None:
    for compression, stored in (("gzip", gz()[:-1] + b"\xff"), ("zstd", zst()[:-1] + b"\xff")):
        with pytest.raises(MalformedInput) as caught:
            decode(compression, stored)
        assert caught.value.__cause__ is not None


def test_xz_memory_is_bounded() -> None:
    # The dictionary size is one byte of the block header: 40 is 4 GiB - 1. The header's CRC32 follows it.
    stored = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]))
    block = stored[12 : 12 + (stored[12] + 1) * 4]
    at = block.index(b"\x21\x01") + 2
    block[at] = 40
    block[-4:] = zlib.crc32(block[:-4]).to_bytes(4, "little")
    stored[12 : 12 + len(block)] = block
    with pytest.raises(UnsupportedInput):
        decode("xz", bytes(stored))


def bomb(compression: str) -> bytes:
    """At least 1 GiB of zeros, or 256 MiB where the encoder is slow."""
    if compression == "zstd":
        return rle_frame(1 << 14)
    encoder = {
        "gzip": zlib.compressobj(9, zlib.DEFLATED, 31),
        "xz": lzma.LZMACompressor(preset=0),
        "bzip2": bz2.BZ2Compressor(),
    }[compression]
    count = {"gzip": 256, "xz": 128, "bzip2": 64}[compression]
    return b"".join([*(encoder.compress(bytes(1 << 20)) for _ in range(count)), encoder.flush()])


@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "bzip2"])
def test_a_bomb_costs_little_memory(compression: str) -> None:
    stored = bomb(compression)
    decompressor = Decompressor(compression)
    tracemalloc.start()
    try:
        largest = max(len(chunk) for chunk in decompressor.run([stored]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert largest <= 1 << 20
    assert decompressor.produced >= 64 << 20
    assert peak < 16 << 20


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize(
    ("limits", "named", "most"),
    [
        (Limits(plain_bytes=5 << 20), "plain_bytes", 5 << 20),
        (Limits(ratio=100, ratio_grace_bytes=40 << 20), "ratio", 41 << 20),
    ],
)
def test_a_bomb_hits_the_limit(compression: str, limits: Limits, named: str, most: int) -> None:
    decompressor = Decompressor(compression, limits)
    handed_out = 0
    with pytest.raises(LimitExceeded, match=named):
        for chunk in decompressor.run([bomb(compression)]):
            handed_out += len(chunk)
    assert most - (2 << 20) <= handed_out <= most


def test_limits_are_not_hit_at_the_bound_itself() -> None:
    plain = bytes(1 << 20)
    limits = Limits(plain_bytes=len(plain), ratio=1, ratio_grace_bytes=len(plain))
    assert decode("gzip", gz(plain), "short reads 1", limits)[0] == plain
    with pytest.raises(LimitExceeded, match="plain_bytes"):
        decode("none", plain + b"x", limits=limits)


def test_the_ratio_is_of_plain_to_stored_bytes() -> None:
    plain = bytes(1 << 20)
    stored = gz(plain)
    ratio = len(plain) // len(stored)
    assert decode("gzip", stored, limits=Limits(ratio=ratio + 1, ratio_grace_bytes=0))[0] == plain
    with pytest.raises(LimitExceeded, match="ratio"):
        decode("gzip", stored, limits=Limits(ratio=ratio - 1, ratio_grace_bytes=0))


def test_many_tiny_members_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # A decoder copies what lies behind its member: all of the input for each of them would be 25 GB.
    copied = []
    unread = StoredBytes.unread
    monkeypatch.setattr(StoredBytes, "unread", lambda self, size: (copied.append(size), unread(self, size)))
    assert decode("gzip", gz(b"") * 20_000)[1].members == 20_000
    assert sum(copied) < 20_000 * 1024


def test_reads_and_decodes_lazily() -> None:
    read = []

    def chunks():
        for number, chunk in enumerate([zst(), zst(), zst()]):
            read.append(number)
            yield chunk

    stream = Decompressor("zstd").run(chunks())
    assert read == []
    next(stream)
    assert read == [0]


def test_none_passes_the_very_chunks() -> None:
    chunks = [b"a" * 100, b"", b"b" * (3 << 20)]
    out = list(Decompressor("none").run(chunks))
    assert out[0] is chunks[0]
    assert out[1] is chunks[2]


def test_unknown_compression_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="lz4"):
        Decompressor("lz4")
