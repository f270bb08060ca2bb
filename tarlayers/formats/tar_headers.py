"""The headers of a tar, many at a time: what they say, before extended headers and contents are looked at.

Most headers of a layer have most of their fields in common with others, so fields are decoded once and looked up.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias
from zlib import adler32

from tarlayers.formats.tar_fields import BLOCK, FieldError, check_signed_sum, parse_numeric, parse_octal, sum_bytes
from tarlayers.formats.tar_member import HEADER_ONLY, Member

ZERO_BLOCK = bytes(BLOCK)
HEADER_NAME_BYTES = 256
"""The longest name that a header alone can give: 100 bytes, a slash, and a prefix of 155."""

_HEADER = struct.Struct("100s24s12s12s8s356s")
# How many fields a cache keeps. A distribution has some 15,000 checksums and sizes; tails have 356 bytes each.
_SMALL, _LARGE = 1 << 15, 1 << 12
_PLAIN = frozenset((b"0", *HEADER_ONLY))
_TO_NEXT = 2 * BLOCK - 1  # the block itself, and what fills the last block of content


class HeaderRun(NamedTuple):
    """Headers that follow each other, and where the last of them is."""

    headers: list[Header]
    """All of them; the last or none where they were only counted."""
    number: int
    at: int
    """Of the last header's block in the buffer."""
    stored: int
    """Bytes of content behind it, padding not counted."""
    plain: bool
    """It says all itself. Otherwise it is the only one, and `stored` does not hold."""


class _Cache(dict[bytes, Any]):
    """Decoded fields: most repeat from header to header, and a look-up costs a fraction of a decode."""

    def __init__(self, decode: Callable[[bytes], Any], most: int) -> None:
        super().__init__()
        self._decode = decode
        self._most = most

    def __missing__(self, field: bytes) -> Any:  # noqa: ANN401 # the values of one cache are of one type
        if len(self) >= self._most:
            self.clear()
        value = self[field] = self._decode(field)
        return value


class HeaderCaches:
    """What a walk, or several of them, decoded: by the tail of the header (all behind the checksum), by mode and owner
    in one field, by single numbers, by times, and by checksum field.
    """

    def __init__(self) -> None:
        self.tails: dict[bytes, Tail] = _Cache(parse_tail, _LARGE)
        self.owners: dict[bytes, tuple[int, int, int]] = _Cache(_parse_owner, _LARGE)
        self.numbers: dict[bytes, int] = _Cache(parse_numeric, _SMALL)
        self.times: dict[bytes, int] = _Cache(_parse_seconds, _LARGE)
        self.sums: dict[bytes, int] = _Cache(_parse_expected_sum, _SMALL)

    def is_sum(self, field: bytes, summed: int) -> bool:
        """Say whether a checksum field is that of a header whose bytes add up so. FieldError where it is none."""
        if field != b"%06o\0 " % (summed + 255):  # as nearly all programs write it: a third of what reading it takes
            return self.sums[field] == summed
        if len(self.sums) >= _SMALL:
            self.sums.clear()
        self.sums[field] = summed
        return True


class Tail(NamedTuple):
    """What a header says behind its checksum."""

    typeflag: bytes
    linkname: bytes
    devmajor: int
    devminor: int
    prefix: bytes
    """Of the name; empty where the format has none."""
    gnu: bool
    """The format is GNU's."""
    plain: bool
    """By its type the header says all itself."""
    sum: int
    """Of the tail's own bytes."""


# Name, what stands behind the checksum, size, (mode, uid, gid), time in nanoseconds, offset of the block.
# A Member of each took a sixth of the time that an entry takes, and nobody reads half of it.
Header: TypeAlias = tuple[bytes, Tail, int, tuple[int, int, int], int, int]


def parse_tail(tail: bytes) -> Tail:
    """Decode the 356 bytes from the type flag on, by the magic that stands among them."""
    magic = tail[101:107]
    major = minor = 0
    prefix = b""
    gnu = magic == b"ustar " and tail[107:109] == b" \0"
    if gnu or magic == b"ustar\0":
        major, minor = parse_numeric(tail[173:181]), parse_numeric(tail[181:189])
        prefix = _gnu_prefix(tail[189:344]) if gnu else _ustar_prefix(tail[189:344], star=tail[352:] == b"tar\0")
    return Tail(
        tail[:1],
        tail[1:101].partition(b"\0")[0],
        major,
        minor,
        prefix,
        gnu,
        tail[:1] in _PLAIN,
        sum_bytes(tail[:178]) + sum_bytes(tail[178:]),
    )


def _ustar_prefix(prefix: bytes, *, star: bool) -> bytes:
    """Star's prefix is 131 bytes, then access and change time, which have to be numbers."""
    if star:
        parse_numeric(prefix[131:143])
        parse_numeric(prefix[143:155])
        prefix = prefix[:131]
    return prefix.partition(b"\0")[0]


def _gnu_prefix(field: bytes) -> bytes:
    """GNU keeps access and change time where ustar has the prefix; Go before 1.8 wrote a prefix there."""
    try:
        for time in (field[:12], field[12:24]):
            if time[0]:
                parse_numeric(time)
    except FieldError:
        text = field.partition(b"\0")[0]
        return text if text.isascii() else b""
    return b""


def _parse_owner(field: bytes) -> tuple[int, int, int]:
    return parse_numeric(field[:8]), parse_numeric(field[8:16]), parse_numeric(field[16:])


def _parse_seconds(field: bytes) -> int:
    """Give nanoseconds. Entries share the number, which has 32 bytes."""
    return parse_numeric(field) * 1_000_000_000


def _parse_expected_sum(field: bytes) -> int:
    """What the walker's sum has to be: the field itself counts as eight blanks, adler32 starts at 1."""
    return parse_octal(field) - 255


def decode_headers(buf: bytes, pos: int, base: int, caches: HeaderCaches, most: int, *, every: bool) -> HeaderRun:
    """Decode the header at `pos` and those plain ones that follow it in `buf`, `most` at the most.

    A run ends in front of a header that is not plain, or wrong, unless that is the first: then it is FieldError. `base`
    is the offset in the tar of `buf`. Without `every` headers are checked and counted, and the last alone is kept; not
    that one either where something else follows it in `buf`.
    """
    unpack, tails, owners = _HEADER.unpack_from, caches.tails, caches.owners
    numbers, times, known_sum = caches.numbers, caches.times, caches.sums.get
    headers: list[Header] = []
    end, at, stored = len(buf) - BLOCK, pos, 0
    same_tail = same_owner = same_mtime = b""  # a comparison costs a fifth of a look-up, and most are equal
    for number in range(most):
        if pos > end:
            break
        name, owner_field, size_field, mtime_field, chksum, tail_field = unpack(buf, pos)
        try:
            if tail_field != same_tail:
                tail = tails[tail_field]
                flag, _, _, _, prefix, _, plain, tail_sum = tail
                same_tail, filled = tail_field, flag == b"0"
            # adler32's low half is 1 + the sum of up to 256 bytes: a checksum at C speed.
            summed = (adler32(buf[pos : pos + 148]) & 0xFFFF) + tail_sum
            if known_sum(chksum) != summed and not caches.is_sum(chksum, summed):
                if buf[pos : pos + BLOCK] == ZERO_BLOCK:
                    break
                check_signed_sum(buf[pos : pos + BLOCK])
            if owner_field != same_owner:
                owner = owners[owner_field]
                same_owner = owner_field
            size = numbers[size_field]
            if mtime_field != same_mtime:
                mtime = times[mtime_field]
                same_mtime = mtime_field
        except FieldError:
            if number:
                break
            raise
        if size < 0 or not plain:
            if number:
                break
            return HeaderRun([(_join_name(prefix, name), tail, size, owner, mtime, base + pos)], 1, pos, 0, False)
        if every:
            name = name.partition(b"\0")[0]
            headers.append((prefix + b"/" + name if prefix else name, tail, size, owner, mtime, base + pos))
        at, stored = pos, size if filled else 0
        pos += stored + _TO_NEXT & -BLOCK
    else:
        number = most
    if not every and (pos > end or number == most):
        headers.append((_join_name(prefix, name), tail, size, owner, mtime, base + at))
    return HeaderRun(headers, number, at, stored, True)


def _join_name(prefix: bytes, field: bytes) -> bytes:
    name = field.partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def spell_names(headers: Sequence[Header]) -> tuple[list[str], bool]:
    """Give the names behind a slash, and say whether any has a component that is empty or starts with a dot."""
    text = "/" + b"\0/".join([header[0] for header in headers]).decode("utf-8", "surrogateescape")
    return text.split("\0"), "/." in text or "//" in text


def make_member(header: Header) -> Member:
    """Give the member that a header is, of which nothing else speaks."""
    name, tail, size, (mode, uid, gid), mtime, offset = header
    flag, linkname, devmajor, devminor, *_ = tail
    stored = size if flag == b"0" else 0
    fields = (name, flag, linkname, size, mode, uid, gid, mtime, devmajor, devminor, None, offset, stored, None)
    return tuple.__new__(Member, fields)
