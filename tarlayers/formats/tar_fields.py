"""The fields of tar headers: numbers, checksums, PAX records, sparse maps. Bytes in, values out.

Go's `archive/tar` (strconv.go, reader.go) is the reference for what is accepted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zlib import adler32

BLOCK = 512

_INT = re.compile(rb"[+-]?[0-9]+")
_OCTAL = re.compile(rb"[0-7]+")
_COMMON_OCTAL = re.compile(rb"[ \0]*([0-7]{1,20})(?:\0|[ \0]*\Z)")  # nearly all fields, at half the price
_INT64 = 1 << 63
_DIGITS = 20  # of 64 bits, with a sign
_ZEROS = re.compile(rb"\A([+-]?)0+(?=[0-9])")
_NO_HEADER = "bad checksum: this is not a tar header"


class FieldError(Exception):
    """A field that cannot be read; the walker adds the offset."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyRegions(FieldError):
    """A sparse map that passes a bound, which the walker names."""


def parse_octal(field: bytes) -> int:
    """Octal digits between blanks and NULs; an empty field is 0."""
    digits = field.partition(b"\0")[0]
    if digits.isdigit():  # what nearly all programs write, at a third of the price
        try:
            return int(digits, 8)
        except ValueError:  # the digits 8 and 9
            pass
    if common := _COMMON_OCTAL.match(field):
        return int(common[1], 8)
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if not _OCTAL.fullmatch(digits) or (value := int(digits, 8)) >= 1 << 64:
        raise FieldError(f"{field!r} is not an octal number")
    return value - (1 << 64) if value >= _INT64 else value


def parse_numeric(field: bytes) -> int:
    """Octal, or base-256 (two's complement, big endian) when the top bit is set; 63 bits at most."""
    if not field[0] & 0x80:
        return parse_octal(field)
    value = int.from_bytes(field, "big") & ((1 << (len(field) * 8 - 1)) - 1)
    if field[0] & 0x40:
        value -= 1 << (len(field) * 8 - 1)
    if not -_INT64 <= value < _INT64:
        raise FieldError(f"{field!r} does not fit into 63 bits")
    return value


def check_signed_sum(block: bytes) -> None:
    """Accept a header whose checksum was made over signed bytes, as some old tars did."""
    signed = sum(struct.unpack("512b", block)) - sum(struct.unpack("8b", block[148:156])) + 256
    if signed != parse_octal(block[148:156]):
        raise FieldError(_NO_HEADER)


def sum_bytes(data: bytes) -> int:
    """Add up to 256 bytes: adler32's low half is one more, at C speed."""
    return (adler32(data) & 0xFFFF) - 1


def verify_sum(block: bytes) -> None:
    """Raise FieldError unless the block's checksum is right, as unsigned or signed sum."""
    try:
        expected = parse_octal(block[148:156])
    except FieldError as error:
        raise FieldError(_NO_HEADER) from error
    if sum(block) - sum(block[148:156]) + 256 != expected:
        check_signed_sum(block)


SCHILY = b"SCHILY.xattr."
"""What the names of extended attributes stand behind."""


class ParsedPax(NamedTuple):
    """An extended header. A value is None (or empty) where the main header's stands."""

    records: dict[bytes, bytes]
    path: bytes
    linkpath: bytes
    uid: int | None
    gid: int | None
    size: int | None
    mtime: int | None
    sparse: str
    """`1.0` (map in the content), `0.1` (map in the records, 0.0 included) or nothing."""
    sparse_name: bytes
    sparse_size: int | None


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Read the records of an extended or global header: of repeated keys the last wins."""
    return _merge_records(_split_records(data))


def weigh_records(data: bytes) -> int:
    """Say as how many entries the extended attributes of a header count: each as one, and what 512 bytes there are."""
    attributes = data.count(SCHILY)  # no fewer than there are, and most headers have none
    return attributes and attributes + len(data) // BLOCK


def read_records(records: dict[bytes, bytes]) -> ParsedPax:
    """Read what records say of the entry that follows; an empty value keeps what its header says."""
    sparse = _sparse_version(records)
    size = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
    for key in (b"atime", b"ctime"):
        _time(records.get(key))
    return ParsedPax(
        records=records,
        path=records.get(b"path", b""),
        linkpath=records.get(b"linkpath", b""),
        uid=_integer(records.get(b"uid")),
        gid=_integer(records.get(b"gid")),
        size=_integer(records.get(b"size")),
        mtime=_time(records.get(b"mtime")),
        sparse=sparse,
        sparse_name=records.get(b"GNU.sparse.name", b"") if sparse else b"",
        sparse_size=_integer(size) if sparse else None,
    )


def _split_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    r"""Yield key and value of each `LENGTH KEY=VALUE\n`; the length counts the whole record."""
    position, end = 0, len(data)
    while position < end:
        blank = data.find(b" ", position)
        length = parse_decimal(data[position:blank]) if blank > 0 else None
        if length is None:
            raise FieldError("PAX record without a length")
        stop = position + length
        if length < 5 or stop > end or stop <= blank + 1 or data[stop - 1] != 0x0A:
            raise FieldError(f"PAX record length {length} does not fit")
        key, equals, value = data[blank + 1 : stop - 1].partition(b"=")
        if not equals or not key or _has_nul(key, value):
            raise FieldError(f"malformed PAX record {data[blank + 1 : stop - 1][:40]!r}")
        yield key, value
        position = stop


def _has_nul(key: bytes, value: bytes) -> bool:
    return b"\0" in (value if key in (b"path", b"linkpath", b"uname", b"gname") else key)


def _merge_records(pairs: Iterator[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Give the records as a dict; the repeated offset and numbytes of sparse 0.0 become a 0.1 map."""
    records: dict[bytes, bytes] = {}
    regions: list[bytes] = []
    for key, value in pairs:
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            expected = b"GNU.sparse.numbytes" if len(regions) % 2 else b"GNU.sparse.offset"
            if key != expected or b"," in value:
                raise FieldError("sparse 0.0 records out of order")
            regions.append(value)
        else:
            records[key] = value
    if regions:
        records[b"GNU.sparse.map"] = b",".join(regions)
    return records


def parse_decimal(text: bytes) -> int | None:
    """As Go's `strconv.ParseInt` of 64 bits: a sign, any number of zeros, and digits. None for what it refuses."""
    if len(text) > _DIGITS:
        text = _ZEROS.sub(rb"\1", text)
    if len(text) > _DIGITS or not _INT.fullmatch(text):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def _integer(value: bytes | None) -> int | None:
    if not value:
        return None
    number = parse_decimal(value)
    if number is None:
        raise FieldError(f"{value[:30]!r} is not a number")
    return number


def _time(value: bytes | None) -> int | None:
    """Seconds with a fraction to nanoseconds; digits beyond nine are cut."""
    if not value:
        return None
    whole, _, fraction = value.partition(b".")
    seconds = _integer(whole)
    if seconds is None or (fraction and not fraction.isdigit()):
        raise FieldError(f"{value[:30]!r} is not a time")
    nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    return seconds * 1_000_000_000 + (-nanoseconds if whole.startswith(b"-") else nanoseconds)


def _sparse_version(records: dict[bytes, bytes]) -> str:
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    if version in ((b"0", b"0"), (b"0", b"1")):
        return "0.1"
    if version == (b"1", b"0"):
        return "1.0"
    return "0.1" if version == (b"", b"") and records.get(b"GNU.sparse.map") else ""


# -- sparse maps -----------------------------------------------------------------------------------


def sparse_stored(regions: list[tuple[int, int]], size: int) -> int:
    """Check that regions are in order and inside the file; give the bytes that they store."""
    end = stored = 0
    for offset, length in regions:
        if offset < end or length < 0 or offset + length > size:
            raise FieldError("the sparse map's regions overlap or leave the file")
        end = offset + length
        stored += length
    if size < 0:
        raise FieldError("negative size of a sparse file")
    return stored


def parse_sparse_blocks(block: bytes, following: Callable[[], bytes], most: int) -> list[tuple[int, int]]:
    """Old GNU: four regions in the header, then blocks of 21 while the flag behind them says so."""
    regions: list[tuple[int, int]] = []
    table, count = block[386:], 4
    while True:
        for i in range(0, count * 24, 24):
            if not table[i]:
                break
            regions.append((parse_numeric(table[i : i + 12]), parse_numeric(table[i + 12 : i + 24])))
        if len(regions) > most:
            raise TooManyRegions("a sparse file of more regions than are allowed")
        if not table[count * 24]:
            return regions
        table, count = following(), 21


def parse_sparse_0x1(pax: ParsedPax, most: int) -> list[tuple[int, int]]:
    """PAX 0.0 and 0.1: the map is a record."""
    count = _integer(pax.records.get(b"GNU.sparse.numblocks"))
    text = pax.records.get(b"GNU.sparse.map", b"")
    numbers = text.split(b",") if text else []
    if count is None or count < 0 or len(numbers) != 2 * count:
        raise FieldError("the sparse map has another length than it claims")
    if count > most:
        raise TooManyRegions(f"a sparse file of {count} regions")
    return _pairs(numbers)


def parse_sparse_map(blocks: Iterator[bytes], most: int) -> list[tuple[int, int]]:
    """PAX 1.0: decimal lines at the front of the content, padded to a block."""
    text, count = b"", -1
    lines = 0
    pieces: list[bytes] = []
    for block in blocks:
        pieces.append(block)
        lines += block.count(b"\n")
        if count < 0 and lines:
            count = _integer(b"".join(pieces).partition(b"\n")[0]) or 0
            if count > most:
                raise TooManyRegions(f"a sparse file of {count} regions")
            if count < 0:
                raise FieldError("a sparse map of less than no regions")
        if count >= 0 and lines >= 1 + 2 * count:
            text = b"".join(pieces)
            return _pairs(text.split(b"\n", 1 + 2 * count)[1:-1])
        if len(pieces) > most:
            break
    raise FieldError("the sparse map is cut short")


def _pairs(numbers: list[bytes]) -> list[tuple[int, int]]:
    values = [_integer(number) for number in numbers]
    if any(value is None for value in values):
        raise FieldError("the sparse map has an empty number")
    flat = [value or 0 for value in values]
    return list(zip(flat[::2], flat[1::2], strict=True))
