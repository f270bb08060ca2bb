"""Tar headers from values: ustar where the fields fit, a PAX extended header where one does not.

POSIX pax format (IEEE 1003.1, pax, "pax Interchange Format"), extended attributes as SCHILY.xattr records, which
GNU tar, libarchive, Go and star read. Equal values give equal bytes: there is no clock and no user name in them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from tarlayers.errors import UnsupportedInput
from tarlayers.formats.tar_fields import BLOCK, sum_bytes

END_OF_ARCHIVE = bytes(2 * BLOCK)

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_SECOND = 1_000_000_000
_NAME = 100
_OCTAL_7, _OCTAL_11 = 0o7777777, 0o77777777777


class Fields(NamedTuple):
    """What a member's header says."""

    name: bytes
    """Relative; of a directory with a slash at its end."""
    typeflag: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    """Nanoseconds since the epoch."""
    linkname: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] | None = None


def encode_header(fields: Fields) -> bytes:
    """Give the header block of a member, with the extended header it may need in front."""
    if _fits_a_block(fields):
        return _block(fields, frozenset())
    records = _records(fields)
    block = _block(fields, frozenset(records))
    data = b"".join(_record(key, value) for key, value in records.items())
    extension = Fields(b"PaxHeaders/" + fields.name[: _NAME - 11].rstrip(b"/"), b"x", 0o644, 0, 0, len(data), 0)
    return _block(extension, frozenset()) + data + padding(len(data)) + block


def padding(size: int) -> bytes:
    """What fills the last block of `size` bytes of content."""
    return bytes(-size % BLOCK)


def _fits_a_block(fields: Fields) -> bool:
    """Say whether a ustar header holds all, which then costs 0.6 of looking for what it does not hold."""
    name, _, _, uid, gid, size, mtime, linkname, _, xattrs = fields
    seconds, fraction = divmod(mtime, _SECOND)
    return not (fraction or xattrs) and (
        len(name) <= _NAME
        and len(linkname) <= _NAME
        and 0 <= uid <= _OCTAL_7
        and 0 <= gid <= _OCTAL_7
        and 0 <= size <= _OCTAL_11
        and 0 <= seconds <= _OCTAL_11
    )


def _records(fields: Fields) -> dict[bytes, bytes]:
    """The values that a ustar header cannot hold."""
    records: dict[bytes, bytes] = {}
    seconds, fraction = divmod(fields.mtime, _SECOND)
    if fraction or not 0 <= seconds <= _OCTAL_11:
        records[b"mtime"] = _time(fields.mtime)
    for key, value, most in (
        (b"uid", fields.uid, _OCTAL_7), (b"gid", fields.gid, _OCTAL_7), (b"size", fields.size, _OCTAL_11),
    ):  # fmt: skip
        if not 0 <= value <= most:
            records[key] = b"%d" % value
    names = {b"path": fields.name, b"linkpath": fields.linkname}
    records |= {key: text for key, text in names.items() if len(text) > _NAME}
    for name, content in sorted((fields.xattrs or {}).items()):
        records[b"SCHILY.xattr." + name.encode("utf-8", "surrogateescape")] = content
    if any(not _is_utf8(records.get(key, b"")) for key in (b"path", b"linkpath")):
        # Without it a reader would take these bytes for UTF-8.
        records = {b"hdrcharset": b"BINARY", **records}
    return records


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _time(nanoseconds: int) -> bytes:
    """Decimal seconds; of a negative time the fraction counts down too, as in every PAX time."""
    sign, (seconds, fraction) = "-" if nanoseconds < 0 else "", divmod(abs(nanoseconds), _SECOND)
    return f"{sign}{seconds}.{fraction:09d}".rstrip("0").rstrip(".").encode()


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _block(fields: Fields, elsewhere: frozenset[bytes]) -> bytes:
    """One ustar header block; what stands in the extended header is 0, or cut, in it."""
    name, typeflag, mode, uid, gid, size, mtime, linkname, (major, minor), _ = fields
    seconds = mtime // _SECOND
    if not (0 <= major <= _OCTAL_7 and 0 <= minor <= _OCTAL_7):
        raise UnsupportedInput(f"device numbers {major},{minor} do not fit a tar header", place=repr(fields.name))
    if elsewhere:
        uid, gid = 0 if b"uid" in elsewhere else uid, 0 if b"gid" in elsewhere else gid
        size = 0 if b"size" in elsewhere else size
    block = _HEADER.pack(
        name[:_NAME], b"%07o\0" % mode, b"%07o\0" % uid, b"%07o\0" % gid, b"%011o\0" % size,
        b"%011o\0" % (seconds if 0 <= seconds <= _OCTAL_11 else 0), b" " * 8, typeflag,
        linkname[:_NAME], b"ustar\x0000", b"", b"", b"%07o\0" % major, b"%07o\0" % minor, b"",
    )  # fmt: skip
    return block[:148] + b"%06o\0 " % (sum_bytes(block[:256]) + sum_bytes(block[256:])) + block[156:]
