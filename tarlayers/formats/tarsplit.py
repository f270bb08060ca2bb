"""tar-split: a tar as its headers without its contents (vbatts/tar-split, `tar/storage/entry.go`).

A tar-split file is a sequence of JSON objects, one a line. Type 2, a segment, has bytes of the tar: headers with
their extensions, padding, what follows the last entry. Type 1, a file, stands where the content of the entry
before it goes, with its name, size and CRC-64. Segments and contents in their order are the tar to the byte.

Facts: every entry has a file record, with neither size nor checksum where there is no content. A name that is not
UTF-8 is in `name_raw`. The size and checksum of a sparse file are those of the expanded file, while the tar
has the regions between its holes alone. Docker and containers/storage keep the lines gzipped.

    for piece in walk_records(decode_records(plain_chunks)):
        piece.member.name, piece.member.size
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from tarlayers.errors import MalformedInput
from tarlayers.formats.tar import HEADER_ONLY, ChunkFeed, Member, Walker, check_stretch
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

_FILE, _SEGMENT = 1, 2
_CRC_BYTES = 8
_MOST_SIZE = (1 << 63) - 1
_REPLACED = "\ufffd".encode()
# Go's encoder writes these as escapes, for JSON that is put into HTML or JavaScript.
_GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Segment(NamedTuple):
    """Bytes of the tar that are not content."""

    payload: bytes
    position: int


class FileRecord(NamedTuple):
    """The place of a content in the tar."""

    name: bytes
    size: int
    """Of the expanded content; 0 for an entry without content."""
    crc64: int | None
    """CRC-64/ISO of the expanded content; None where there is none."""
    position: int


Record = Segment | FileRecord


class Piece(NamedTuple):
    """One entry of the tar with the bytes before it, or bytes that follow the last entry."""

    raw: bytes
    """All bytes since the last content: padding, extended headers, the header itself."""
    member: Member | None
    record: FileRecord | None
    """None exactly where `member` is."""


# -- lines ---------------------------------------------------------------------------------------------


def decode_records(chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[Record]:
    """Yield the records of a tar-split file, decompressed already, one line in memory at a time.

    A line that is no record, a record of a type that does not exist or out of its position is MalformedInput
    that names the record; a line longer than `record_bytes` is LimitExceeded. The reference ignores a last line
    that is cut short; here it is an error like any other.
    """
    for position, line in enumerate(_lines(chunks, limits)):
        yield _decode_record(line, position)


def _lines(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = number = 0
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            line = b"".join((*parts, end)) if parts else end
            parts, size = [], 0
            _check_line(len(line), limits, number)
            yield line
            number += 1
        if rest:
            parts.append(rest)
            size += len(rest)
            _check_line(size, limits, number)
    if parts:
        yield b"".join(parts)


def _check_line(size: int, limits: Limits, number: int) -> None:
    if size > limits.record_bytes:
        raise limit_exceeded(limits, "record_bytes", "a longer line than is allowed", place=f"record {number}")


def _decode_record(line: bytes, position: int) -> Record:
    try:
        fields = orjson.loads(line)
        if not isinstance(fields, dict):
            raise TypeError("not a JSON object")
        if _integer(fields, "position") != position:
            raise ValueError(f"its position is {fields['position']}")
        kind = _integer(fields, "type")
        if kind == _SEGMENT:
            return Segment(_payload(fields, "payload"), position)
        if kind == _FILE:
            return _decode_file(fields, position)
        raise ValueError(f"of type {kind}, and there are 1 and 2")
    except (ValueError, TypeError) as error:
        raise MalformedInput(f"not a tar-split record: {error}", place=f"record {position}") from error


def _decode_file(fields: dict[str, Any], position: int) -> FileRecord:
    name = _payload(fields, "name_raw")
    if not name:
        text = fields.get("name", "")
        if not isinstance(text, str):
            raise TypeError("name is not text")
        name = text.encode()
    size = _integer(fields, "size", 0)
    if not 0 <= size <= _MOST_SIZE:
        raise ValueError(f"size {size}")
    crc = _payload(fields, "payload")
    if len(crc) != _CRC_BYTES and (crc or size):
        raise ValueError(f"a checksum of {len(crc)} bytes")
    return FileRecord(name, size, int.from_bytes(crc) if crc else None, position)


def _integer(fields: dict[str, Any], key: str, default: int | None = None) -> int:
    value = fields.get(key, default)
    if type(value) is not int:
        raise TypeError(f"{key} is not a whole number")
    return value


def _payload(fields: dict[str, Any], key: str) -> bytes:
    value = fields.get(key)
    if value is None:
        return b""
    if not isinstance(value, str):
        raise TypeError(f"{key} is not text")
    return a2b_base64(value, strict_mode=True) if value else b""


def encode_record(record: Record) -> bytes:
    r"""Give a record's line, its end included, with the very bytes that the reference writes when it is built with Go
    1.22 or newer; before, backspaces and form feeds were `\u0008` and `\u000c`.
    """
    fields: dict[str, object] = {"type": _SEGMENT if isinstance(record, Segment) else _FILE}
    if isinstance(record, Segment):
        payload: bytes | None = record.payload
    else:
        payload = None if record.crc64 is None else record.crc64.to_bytes(_CRC_BYTES)
        try:
            fields |= {"name": record.name.decode()} if record.name else {}
        except UnicodeDecodeError:
            fields["name_raw"] = _base64(record.name)
        fields |= {"size": record.size} if record.size else {}
    fields |= {"payload": None if payload is None else _base64(payload), "position": record.position}
    line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    if "name" in fields:
        text = line.decode()
        for character, escape in _GO_ESCAPES.items():
            text = text.replace(character, escape)
        return text.encode()
    return line


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


# -- members -------------------------------------------------------------------------------------------


def walk_records(records: Iterable[Record], limits: Limits = DEFAULT_LIMITS) -> Iterator[Piece]:
    """Yield the entries that the records stand for, as a Walker over the tar would give them, offsets too.

    No content is needed. Pieces without a member follow where bytes follow the last entry. What a Walker raises
    of the headers is raised here; a file record that does not belong to the header before it is MalformedInput.
    """
    feed = _RecordFeed(records, limits)
    walker = Walker(feed, limits=limits, unmapped=True)
    for member in walker:
        check_stretch(member, walker.weight, limits)
        record = feed.take_file(member, walker.data_offset)
        yield Piece(feed.take_raw(), member, record)
    yield Piece(feed.take_raw(), None, None)
    while feed.read()[0]:
        yield Piece(feed.take_raw(), None, None)
    feed.check_end()


class _RecordFeed(ChunkFeed):
    """The segments as the bytes they are, and contents as holes that can only be skipped: at a content that was
    not expected the feed ends.
    """

    def __init__(self, records: Iterable[Record], limits: Limits) -> None:
        super().__init__(())
        self._limits = limits
        self._records = iter(records)
        self._file: FileRecord | None = None
        self._drawn = 0
        self._raw = bytearray()
        self._hole = 0

    def _draw(self) -> bytes | None:
        record = next(self._records, None) if self._file is None else None
        if isinstance(record, FileRecord):
            self._file = record
        if not isinstance(record, Segment):
            return None
        self._drawn += len(record.payload)
        self._raw += record.payload
        if len(self._raw) > self._limits.record_bytes:
            what, place = "more header bytes than are allowed", f"record {record.position}"
            raise limit_exceeded(self._limits, "record_bytes", what, place=place)
        return record.payload

    def take_file(self, member: Member, offset: int) -> FileRecord:
        """Draw the record of the entry whose header has been read up to `offset`."""
        record, self._file = self._file or next(self._records, None), None
        if not isinstance(record, FileRecord) or offset != self._drawn:
            raise MalformedInput("no file record where this header ends", place=repr(member.name), offset=offset)
        # Before 2016 bytes that are not UTF-8 became U+FFFD, and there was no name_raw.
        if record.name != member.name and _REPLACED not in record.name:
            raise MalformedInput(f"but its header has the name {member.name!r}", place=_place(record))
        size = 0 if member.typeflag in HEADER_ONLY else member.size
        # The reference says the size of a hard link or directory as its header does, and has no content for it.
        if record.size != size and member.typeflag not in HEADER_ONLY:
            raise MalformedInput(f"of {record.size} bytes, but its header says {size}", place=_place(record))
        self._hole = member.stored
        self._drawn += member.stored
        return record

    def skip(self, count: int) -> int:
        """Go past a content, which is asked for in one call, or drop padding."""
        if self._hole:
            hole, self._hole = self._hole, 0
            return min(hole, count)
        return super().skip(count)

    def check_end(self) -> None:
        """Make sure that no content is left over."""
        if self._file is not None:
            raise MalformedInput("a content where a header has to be", place=_place(self._file))

    def take_raw(self) -> bytes:
        """Give, and forget, the bytes of the segments drawn since the last call."""
        raw = bytes(self._raw)
        self._raw.clear()
        return raw


def _place(record: FileRecord) -> str:
    return f"record {record.position} ({show_name(record.name)})"


def show_name(name: bytes) -> str:
    """Give a file's name as errors show it."""
    return name.decode("utf-8", "backslashreplace") or "(no name)"
