"""tar-split records: the lines, the members they stand for, and tars taken apart and put together."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.errors import ContentAbsent, LimitExceeded, MalformedInput, TarlayersError
from tarlayers.formats.assembly import assemble, disassemble
from tarlayers.formats.crc64 import crc64
from tarlayers.formats.tar import ChunkFeed, Member, Walker
from tarlayers.formats.tarsplit import FileRecord, Segment, decode_records, encode_record, walk_records
from tarlayers.limits import Limits
from tests.build import END, file, layer, tar
from tests.splits import CASES, CONTENT, CUTS, LONG_MAP, ORDINARY, REGIONS, TARS, gnu_sparse


def members_of(plain: bytes) -> list[Member]:
    return list(Walker(ChunkFeed([plain])))


class Contents:
    """The contents of a tar, in the order of its members, holes as zeros."""

    def __init__(self, plain: bytes) -> None:
        walker = Walker(ChunkFeed([plain]))
        self.left = [(m.name, b"".join(walker.content())) for m in walker]

    def __call__(self, name: bytes) -> Iterator[bytes]:
        for i, (known, content) in enumerate(self.left):
            if known == name and content:
                del self.left[i]
                yield from (content[j : j + 100] for j in range(0, len(content), 100))
                return
        raise ContentAbsent("not here", place=repr(name))


def split(plain: bytes) -> bytes:
    return b"".join(map(encode_record, disassemble([plain])))


def join(lines: bytes, contents: Contents) -> bytes:
    return b"".join(assemble(decode_records([lines]), contents))


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


SEGMENT = line(type=2, payload="AAAA", position=0)


# -- tars ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cut"), CASES)
def test_a_tar_comes_back_to_the_byte(name: str, cut: str) -> None:
    plain = TARS[name]
    lines = b"".join(map(encode_record, disassemble(CUTS[cut](plain))))
    assert lines == split(plain)
    assert b"".join(assemble(decode_records(CUTS["dribble"](lines)), Contents(plain))) == plain


@pytest.mark.parametrize(("name", "cut"), CASES)
def test_members_come_from_the_records_alone(name: str, cut: str) -> None:
    steps = list(walk_records(decode_records(CUTS[cut](split(TARS[name])))))
    assert [step.member for step in steps if step.member] == members_of(TARS[name])
    assert all((step.member is None) == (step.record is None) for step in steps)


def test_records_say_what_the_content_is() -> None:
    records = list(disassemble([gnu_sparse(b"sparse", REGIONS, 8192, CONTENT) + tar([file("a", b"1"), file("e")])]))
    expanded = bytearray(8192)
    stored = 0
    for offset, length in REGIONS:
        expanded[offset : offset + length] = CONTENT[stored : stored + length]
        stored += length
    assert [record for record in records if isinstance(record, FileRecord)] == [
        FileRecord(b"sparse", 8192, crc64(bytes(expanded)), 1),
        FileRecord(b"a", 1, crc64(b"1"), 3),
        FileRecord(b"e", 0, None, 5),
    ]
    assert [record.position for record in records] == list(range(len(records)))


def test_one_entry_is_in_memory_at_a_time() -> None:
    """A record is out before the bytes behind it are asked for."""
    drawn = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            drawn.append(number)
            yield tar([file(f"f{number}", b"x" * 600)], b"")

    for count, _ in enumerate(disassemble(chunks())):
        assert len(drawn) <= count // 2 + 2


def test_what_follows_the_end_is_cut_evenly() -> None:
    payloads = [r.payload for r in disassemble([END + b"x" * (5 << 19)]) if isinstance(r, Segment)]
    assert [len(payload) for payload in payloads] == [1024, 1 << 20, 1 << 20, 1 << 19]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hellp", "a: has CRC-64 2eaeeee2d8100000, not the recorded 3c3eeee2d8100000"),
        (b"hell", "a: has 4 bytes, not the 5 recorded"),
        (b"hello!", "a: has more than the 5 bytes recorded"),
    ],
)
def test_a_content_that_is_not_the_recorded_one_is_an_error(content: bytes, reason: str) -> None:
    lines = split(layer(file("a", b"hello"), file("b", b"1")))
    with pytest.raises(MalformedInput) as caught:
        join(lines, lambda _name: iter([content]))  # type: ignore[arg-type]
    assert str(caught.value) == reason


def test_a_content_without_an_end_is_not_drawn_to_its_end() -> None:
    with pytest.raises(MalformedInput, match="has more than the 5 bytes recorded"):
        join(split(layer(file("a", b"hello"))), lambda _name: iter(lambda: b"hello", b""))  # type: ignore[arg-type]


def test_a_hard_link_to_which_the_reference_gave_a_size_has_no_content() -> None:
    plain = TARS["a hard link with a size"]
    theirs = split(plain).replace(b'"name":"hard","payload":null', b'"name":"hard","size":5,"payload":"AAAAAAAAAAA="')
    assert theirs != split(plain)
    assert join(theirs, Contents(plain)) == plain


def test_a_lost_sparse_map_costs_the_tar_but_not_the_listing() -> None:
    """The reference records no PAX 1.0 map: this is what its records look like."""
    plain = TARS["PAX sparse 1.0"]
    records = list(disassemble([plain]))
    first = records[0]
    assert isinstance(first, Segment)
    theirs = b"".join(map(encode_record, [first._replace(payload=first.payload[:-512]), *records[1:]]))
    found = [step.member for step in walk_records(decode_records([theirs])) if step.member]
    assert [m.name for m in found] == [b"sparse", b"after"]
    assert [m._replace(sparse=None, stored=0) for m in found] == [
        m._replace(sparse=None, stored=0) for m in members_of(plain)
    ]
    with pytest.raises(MalformedInput, match="sparse: the map of this sparse file is not recorded"):
        join(theirs, Contents(plain))


def test_the_headers_kept_of_one_entry_are_bounded() -> None:
    endless = (tar([file("n" * 200)], b"")[:1536] for _ in iter(int, 1))  # extended headers, never an entry
    with pytest.raises(LimitExceeded, match="segment_bytes"):
        list(disassemble((chunk[:1024] for chunk in endless), Limits(segment_bytes=100_000)))
    # Blocks of a sparse file's map that hold no region, each of which says that one more follows.
    empty = [bytes(504) + b"\1" + bytes(7)] * 1000
    with pytest.raises(LimitExceeded, match="segment_bytes"):
        list(disassemble([gnu_sparse(b"s", LONG_MAP, 600, b"")[:512], *empty], Limits(segment_bytes=100_000)))
    segments = (Segment(tar([file("n" * 200)], b"")[:1024], i) for i in iter(int, 1))
    with pytest.raises(LimitExceeded, match="record_bytes"):
        list(walk_records(segments, Limits(record_bytes=100_000)))


# -- lines ---------------------------------------------------------------------------------------------


def test_a_line_has_the_bytes_that_go_writes() -> None:
    records = {
        Segment(b"\0\1", 0): b'{"type":2,"payload":"AAE=","position":0}\n',
        FileRecord(b"etc/", 0, None, 1): b'{"type":1,"name":"etc/","payload":null,"position":1}\n',
        FileRecord(b"a", 5, 0x3C3EEEE2D8100000, 2):
            b'{"type":1,"name":"a","size":5,"payload":"PD7u4tgQAAA=","position":2}\n',
        FileRecord(b"hi\x80", 0, None, 3): b'{"type":1,"name_raw":"aGmA","payload":null,"position":3}\n',
        FileRecord("<&>\u2028\ufffd".encode(), 0, None, 4):
            '{"type":1,"name":"\\u003c\\u0026\\u003e\\u2028\ufffd","payload":null,"position":4}\n'.encode(),
        FileRecord(b"", 6, 1, 5): b'{"type":1,"size":6,"payload":"AAAAAAAAAAE=","position":5}\n',
        FileRecord(b"a\b\f\x7f", 0, None, 6): b'{"type":1,"name":"a\\b\\f\x7f","payload":null,"position":6}\n',
    }  # fmt: skip
    for record, written in records.items():
        assert encode_record(record) == written
    assert list(decode_records(records.values())) == list(records)


def test_what_other_versions_wrote_is_read() -> None:
    lines = (
        line(type=2, payload=None, position=0),
        line(type=1, name="\ufffd", payload="", position=1, more={"a": 1}),
        b'{"type":2,"payload":"","position":2}',  # no line end behind the last
    )
    assert list(decode_records(lines)) == [Segment(b"", 0), FileRecord("\ufffd".encode(), 0, None, 1), Segment(b"", 2)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"\n", "record 0: not a tar-split record"),
        (b"[]", "record 0: not a tar-split record: not a JSON object"),
        (b'{"type":2', "record 0: not a tar-split record"),
        (SEGMENT + b'{"type":1,"na', "record 1: not a tar-split record"),
        (b"\xff\xfe", "record 0"),
        (b"[" * 100_000, "record 0"),
        (line(payload="AAAA", position=0), "record 0: not a tar-split record: type is not a whole number"),
        (line(type=True, payload="AAAA", position=0), "type is not a whole number"),
        (line(type=3, payload="AAAA", position=0), "of type 3, and there are 1 and 2"),
        (line(type=2, payload="AAAA"), "position is not a whole number"),
        (SEGMENT + SEGMENT, "record 1: not a tar-split record: its position is 0"),
        (line(type=2, payload="AAA", position=0), "record 0: not a tar-split record"),
        (line(type=2, payload="A-_A", position=0), "record 0: not a tar-split record"),
        (line(type=2, payload=[1], position=0), "payload is not text"),
        (line(type=1, name=7, position=0), "name is not text"),
        (line(type=1, name="a", size=-1, payload="AAAAAAAAAAA=", position=0), "size -1"),
        (line(type=1, name="a", size=1 << 63, payload="AAAAAAAAAAA=", position=0), "size 9223372036854775808"),
        (line(type=1, name="a", size=1.5, payload="AAAAAAAAAAA=", position=0), "size is not a whole number"),
        (line(type=1, name="a", size=1, payload=None, position=0), "a checksum of 0 bytes"),
        (line(type=1, name="a", size=1, payload="AAAA", position=0), "a checksum of 3 bytes"),
    ],
)
def test_a_line_that_is_no_record_is_an_error(lines: bytes, reason: str) -> None:
    with pytest.raises(MalformedInput) as caught:
        list(decode_records([lines]))
    assert reason in str(caught.value)


def test_a_line_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match=r"record 1: .*record_bytes"):
        list(decode_records([SEGMENT, b" " * 5000], Limits(record_bytes=4096)))
    drawn = []

    def endless() -> Iterator[bytes]:
        while True:
            drawn.append(1)
            yield b" " * 100

    with pytest.raises(LimitExceeded, match="record 0"):
        list(decode_records(endless(), Limits(record_bytes=4096)))
    assert len(drawn) < 50


# -- records that do not fit ----------------------------------------------------------------------------


def some_records() -> list[Segment | FileRecord]:
    return list(disassemble([layer(file("a", b"hello"), file("b", b"x" * 512), file("c"))]))


def test_records_have_to_fit_their_headers() -> None:
    records = some_records()
    first, content = records[0], records[1]
    assert isinstance(first, Segment)
    assert isinstance(content, FileRecord)
    broken = {
        "no file record where this header ends": [first, *records[2:]],
        "of 6 bytes, but its header says 5": [first, content._replace(size=6), *records[2:]],
        "but its header has the name b'a'": [first, content._replace(name=b"../../etc/shadow"), *records[2:]],
        "a content where a header has to be": [first, content, content, *records[2:]],
        "the archive ends inside a header": [first._replace(payload=first.payload[:100]), *records[1:]],
        "checksum": [first._replace(payload=b"x" + first.payload[1:]), *records[1:]],
    }
    for reason, changed in broken.items():
        with pytest.raises(MalformedInput, match=reason):
            list(walk_records(changed))
    moved = [first._replace(payload=first.payload + b"moved"), *records[1:]]
    with pytest.raises(MalformedInput, match="no file record where this header ends"):
        list(walk_records(moved))


def test_segments_may_be_cut_anywhere() -> None:
    records = some_records()
    pieces: list[Segment | FileRecord] = []
    for record in records:
        if isinstance(record, Segment):
            pieces.extend(Segment(record.payload[i : i + 100], 0) for i in range(0, len(record.payload), 100))
        else:
            pieces.append(record)
    assert [s.member for s in walk_records(pieces) if s.member] == [s.member for s in walk_records(records) if s.member]


def test_a_name_that_lost_its_bytes_is_taken_from_the_header() -> None:
    records = list(disassemble([layer(file("bad\udcff", b"1"))]))
    old = [records[0], records[1]._replace(name="bad\ufffd".encode()), *records[2:]]  # type: ignore[call-arg]
    assert [s.member.name for s in walk_records(old) if s.member] == [b"bad\xff"]


# -- properties ----------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(0, 3000), st.integers(0, 300))
def test_any_bytes_give_records_or_an_error(garbage: bytes, position: int, cut: int) -> None:
    lines = split(ORDINARY)
    data = lines[:position] + garbage + lines[position + cut :]
    outcomes = []
    for chunks in ([data], CUTS["dribble"](data)):
        try:
            outcomes.append(repr(list(walk_records(decode_records(chunks)))))
        except TarlayersError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(st.binary(max_size=600), st.integers(0, len(ORDINARY)), st.integers(0, 600))
def test_any_tar_comes_back_or_is_an_error(garbage: bytes, position: int, cut: int) -> None:
    plain = ORDINARY[:position] + garbage + ORDINARY[position + cut :]
    try:
        lines = split(plain)
    except TarlayersError:
        with pytest.raises(TarlayersError):
            members_of(plain)
        return
    assert join(lines, Contents(plain)) == plain


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=5), st.binary(max_size=100))
def test_any_files_come_back(files: list[tuple[str, bytes]], tail: bytes) -> None:
    plain = layer(*(file(name, data) for name, data in files)) + tail
    lines = split(plain)
    assert join(lines, Contents(plain)) == plain
    for text in lines.splitlines():
        record = json.loads(text)
        assert record["payload"] is None or base64.b64decode(record["payload"], validate=True) is not None
