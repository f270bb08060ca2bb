"""The headers of a tar, many at a time: what they say, before extended headers and contents are looked at.

Most headers of a layer have most of their fields in common with others, so fields are decoded once and looked up.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from zlib import adler32

from tarlayers.formats.tar_fields import FieldError, check_signed_sum, parse_numeric, parse_octal
from tarlayers.formats.tar_member import HEADER_ONLY, Member

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
HEADER_NAME_BYTES = 256
"""The longest name that a header alone can give: 100 bytes, a slash, and a prefix of 155."""

_HEADER = struct.Struct("100s24s12s12s8s356s")
_HEAD = struct.Struct("100s24s12s12s")  # what stands before the checksum
# How many fields a cache keeps. A distribution has some 15,000 checksums and sizes; tails have 356 bytes each.
_SMALL, _LARGE = 1 << 15, 1 << 12
_PLAIN = frozenset((b"0", *HEADER_ONLY))


class HeaderRun(NamedTuple):
    """Headers that follow each other, and where the last of them is."""

    members: list[Member]
    """All of them; none where they were only counted."""
    number: int
    at: int
    """Of the last header's block in the buffer."""
    stored: int
    """Bytes of content behind it, padding not counted."""
    plain: bool
    """It says all itself. Otherwise it is the only one, and `stored` does not hold."""
    gnu: bool
    """It is in GNU's format."""


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
    """The caches of one walk: by the tail of the header (all behind the checksum), by mode and owner in one
    field, by single numbers, by times, and by checksum field.
    """

    def __init__(self) -> None:
        self.tails: dict[bytes, Tail] = _Cache(parse_tail, _LARGE)
        self.owners: dict[bytes, tuple[int, int, int]] = _Cache(_parse_owner, _LARGE)
        self.numbers: dict[bytes, int] = _Cache(parse_numeric, _SMALL)
        self.times: dict[bytes, int] = _Cache(_parse_seconds, _LARGE)
        self.sums: dict[bytes, int] = _Cache(_parse_expected_sum, _SMALL)


class Tail(NamedTuple):
    """What a header says behind its checksum."""

    typeflag: bytes
    linkname: bytes
    devmajor: int
    devminor: int
    prefix: bytes
    """Of the name; empty where the format has none."""
    gnu: bool
    sum: int
    """Of the tail's own bytes."""


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
        _sum_bytes(tail[:178]) + _sum_bytes(tail[178:]),
    )


def _sum_bytes(data: bytes) -> int:
    """Add up to 256 bytes: adler32's low half is one more, at C speed."""
    return (adler32(data) & 0xFFFF) - 1


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


class PassedHeaders:
    """Plain headers that follow each other, checked but not made into members yet.

    One takes 206 bytes so, where the entry that would be made of it takes 316 (a layer of a million files).
    """

    def __init__(self, offset: int) -> None:
        self._offset = offset  # of the first of them in the tar
        self.heads: list[bytes] = []
        """What stands before the checksum."""
        self.tails: list[Tail] = []
        """What stands behind it; of many headers it is the same."""

    def __len__(self) -> int:
        return len(self.heads)

    def drop_last(self) -> None:
        """Forget the last of them."""
        del self.heads[-1], self.tails[-1]

    def members(self, caches: HeaderCaches) -> Iterator[Member]:
        """Make the members after all."""
        offset = self._offset
        for head, tail in zip(self.heads, self.tails, strict=True):
            field, owner, size_field, mtime_field = _HEAD.unpack(head)
            name = field.partition(b"\0")[0]
            size = caches.numbers[size_field]
            stored = size if tail.typeflag == b"0" else 0
            yield Member(
                tail.prefix + b"/" + name if tail.prefix else name,
                tail.typeflag,
                tail.linkname,
                size,
                *caches.owners[owner],
                caches.times[mtime_field],
                tail.devmajor,
                tail.devminor,
                None,
                offset,
                stored,
                None,
            )
            offset += BLOCK + stored + -stored % BLOCK


def decode_headers(
    buf: bytes,
    pos: int,
    base: int,
    caches: HeaderCaches,
    most: int,
    *,
    every: bool,
    passed: PassedHeaders | None = None,
) -> HeaderRun:
    """Decode the header at `pos` and those plain ones that follow it in `buf`, `most` at the most.

    A run ends in front of a header that is not plain, or wrong, unless that is the first: then it is FieldError. `base`
    is the offset in the tar of `buf`. Without `every` plain headers are checked and counted, and no member made of
    them; `passed` takes them in then.
    """
    unpack, new = _HEADER.unpack_from, tuple.__new__
    tails, owners, numbers, times, sums = caches.tails, caches.owners, caches.numbers, caches.times, caches.sums
    members: list[Member] = []
    end, left, known, at = len(buf) - BLOCK, most, b"", pos
    stored, gnu = 0, False
    while pos <= end and left:
        name, owner, size_field, mtime_field, chksum, tail = unpack(buf, pos)
        if not name[0] and buf[pos : pos + BLOCK] == ZERO_BLOCK:
            break
        try:
            if tail != known:  # a comparison costs a tenth of a look-up, and most are equal
                told = tails[tail]
                flag, link, devmajor, devminor, prefix, gnu, tail_sum = told
                known = tail
            # adler32's low half is 1 + the sum of up to 256 bytes: a checksum at C speed.
            head = buf[pos : pos + 148]
            if (adler32(head) & 0xFFFF) + tail_sum != sums[chksum]:
                check_signed_sum(buf[pos : pos + BLOCK])
            mode, uid, gid = owners[owner]
            size = numbers[size_field]
            mtime = times[mtime_field]
        except FieldError:
            if left < most:
                break
            raise
        plain = flag in _PLAIN and size >= 0
        if not plain and left < most:
            break
        at, stored = pos, size if flag == b"0" else 0
        left -= 1
        if every or not plain:
            name = name.partition(b"\0")[0]
            if prefix:
                name = prefix + b"/" + name
            fields = (
                name, flag, link, size, mode, uid, gid, mtime, devmajor, devminor, None, base + pos, stored, None,
            )  # fmt: skip
            members.append(new(Member, fields))
            if not plain:
                return HeaderRun(members, 1, at, 0, False, gnu)
        elif passed is not None:
            passed.heads.append(head)
            passed.tails.append(told)
        pos += BLOCK + stored + -stored % BLOCK
    return HeaderRun(members, most - left, at, stored, True, gnu)
