"""The index file and its columns: what is written is read, and whatever is read is an index or an error."""

from __future__ import annotations

import hashlib
import random
import re
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.errors import LimitExceeded, MalformedInput, TarlayersError, UnsupportedInput
from tarlayers.formats import entrycolumns
from tarlayers.formats.columns import ColumnReader, ColumnWriter
from tarlayers.formats.magic import TLX_MAGIC, is_tlx
from tarlayers.formats.tlx import (
    IndexedArchive,
    IndexedLayer,
    IndexFile,
    Section,
    pack_entries,
    parse_tlx,
    unpack_entries,
    write_tlx,
)
from tarlayers.imageindex import write_index
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.opening import open_images
from tests.paths import ROOT, TESTDATA

HEADER = struct.Struct("<8sIQQQ")
DIGEST = Digest.of(b"")


# -- columns ---------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1))
NAMES = st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"/").decode("utf-8", "surrogateescape"))


@given(st.lists(NUMBERS, max_size=9), st.lists(NAMES, max_size=9), st.lists(st.binary(max_size=9), max_size=4))
def test_columns_come_back(numbers: list[int], names: list[str], pieces: list[bytes]) -> None:
    out = ColumnWriter()
    out.numbers(numbers)
    out.texts(names)
    for number in numbers:
        out.number(number)
    for piece in pieces:
        out.data(piece)
    taken = ColumnReader(out.getvalue())
    assert list(taken.numbers(len(numbers))) == numbers
    assert taken.texts(len(names)) == names
    assert [taken.number() for _ in numbers] == numbers
    assert [taken.data() for _ in pieces] == pieces
    taken.end()


@pytest.mark.parametrize("values", [[-1], [0, 1 << 128]])
def test_numbers_that_no_column_holds(values: list[int]) -> None:
    with pytest.raises(ValueError, match="number"):
        ColumnWriter().numbers(values)


def test_a_name_with_nul_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="NUL"):
        ColumnWriter().text("a\0b")
    with pytest.raises(ValueError, match="NUL"):
        ColumnWriter().texts(["a"] * 5000 + ["b\0c"])


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
def test_names_are_joined_many_at_a_time(count: int) -> None:
    names = [f"name {i}" for i in range(count)]
    out = ColumnWriter()
    out.texts(names)
    assert ColumnReader(out.getvalue()).texts(count) == names


@pytest.mark.parametrize(
    ("data", "read", "offset"),
    [
        (b"", lambda taken: taken.number(), 0),
        (b"\x80" * 30, lambda taken: taken.number(), 19),
        (b"\x05abc", lambda taken: taken.data(), 1),
        (b"\x02ab", lambda taken: taken.text(), 3),
        (b"\x02a\0", lambda taken: taken.texts(2), 3),
        (b"\x04a\0b\0", lambda taken: taken.texts(1), 5),
        (b"\x02\1\2\3", lambda taken: taken.numbers(2), 1),
        (b"\x11" + b"\1" * 17, lambda taken: taken.numbers(1), 1),
        (b"\x09ab", lambda taken: taken.count(), 1),
        (b"ab", lambda taken: taken.end(), 0),
    ],
)
def test_columns_that_are_wrong(data: bytes, read: Any, offset: int) -> None:
    with pytest.raises(MalformedInput) as raised:
        read(ColumnReader(data))
    assert raised.value.offset == offset


# -- entries ---------------------------------------------------------------------------------------


def entry(path: str, **fields: Any) -> Entry:
    plain = Entry(path, "file", 0o644, 0, 0, 0, 0, None, None, None, "entry", None, 0, "0", None)
    return plain._replace(**fields)


TABLE: dict[str, Sequence[Entry]] = {
    "nothing": [],
    "a root": [entry("", type="dir", name="./", typeflag="5")],
    "names that are spelled otherwise": [
        entry("/a", name="a/"),
        entry("/a", name="./a"),
        entry("/a", name="./a/"),
        entry("/a", name="//a"),
        entry("/a", name="b/../a"),
        entry("/a", name=""),
    ],
    "names that are not UTF-8": [entry("/\udcff\udce2\udc82"), entry("/\udcff\udce2é"), entry("/\udcffé\udcac")],
    "dots in names": [entry("/.a/..b/c."), entry("/...")],
    "far numbers": [
        entry("/a", uid=-(2**63), gid=2**63 - 1, size=2**50, mtime=-(2**93), offset=2**62),
        entry("/b", mtime=2**93, offset=512, mode=0o7777),
        entry("/c", mtime=None, offset=0),
    ],
    "links and devices": [
        entry("/l", type="symlink", link="", typeflag="2"),
        entry("/h", type="hardlink", link="/\udcff", typeflag="1"),
        entry("/d", type="char", rdev=(-1, 2**40), typeflag="3"),
        entry("/f", type="fifo", typeflag="6"),
        entry("/u", type="unknown", typeflag="\xff"),
        entry("/pax_global_header", type="global", typeflag="g"),
    ],
    "markers": [entry("/.wh.a", role="whiteout"), entry("/.wh..wh..opq", role="opaque")],
    "attributes": [
        entry("/a", xattrs={"user.x": b"\0", "user.\udcff": b""}),
        entry("/b"),
        entry("/c", xattrs={"user.x": b"\0", "user.\udcff": b""}),
    ],
    "digests": [entry("/a", sha256=b"\1" * 32), entry("/b", type="dir"), entry("/c", sha256=b"\2" * 32)],
}

INT64 = st.integers(-(2**63), 2**63 - 1)
PATHS = st.lists(NAMES.map(lambda name: name.replace("/", "x")), max_size=4).map(
    lambda parts: "".join(f"/{part}" for part in parts if part not in ("", ".", ".."))
)
ENTRIES = st.lists(
    st.builds(
        Entry,
        path=PATHS,
        type=st.sampled_from(("file", "dir", "symlink", "hardlink", "char", "block", "fifo", "unknown", "global")),
        mode=st.integers(0, 0o7777),
        uid=INT64,
        gid=INT64,
        size=st.one_of(st.integers(0, 2000), st.integers(0, 2**52)),
        mtime=st.one_of(st.none(), st.integers(-(2**100), 2**100)),
        link=st.one_of(st.none(), NAMES),
        rdev=st.one_of(st.none(), st.tuples(INT64, INT64)),
        xattrs=st.one_of(st.none(), st.dictionaries(NAMES, st.binary(max_size=4), max_size=2)),
        role=st.sampled_from(("entry", "whiteout", "opaque")),
        name=st.one_of(st.none(), NAMES),
        offset=st.integers(0, 2**63 - 1),
        typeflag=st.integers(0, 255).map(chr),
        sha256=st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    ),
    max_size=6,
)


def indexed(rows: Sequence[Entry], *, contents: bool = True, **fields: Any) -> IndexedLayer:
    sections = pack_entries(rows, contents=contents)
    return replace(IndexedLayer(DIGEST, 7, 8, "gzip", 0, 0, False, "", *sections), **fields)


def check_entries(entries: Sequence[Entry]) -> None:
    bare = [each._replace(sha256=None) for each in entries]
    assert list(map(Entry._make, unpack_entries(indexed(entries), contents=True))) == list(entries)
    assert list(map(Entry._make, unpack_entries(indexed(entries), contents=False))) == bare
    assert list(map(Entry._make, unpack_entries(indexed(entries, contents=False), contents=True))) == bare


@pytest.mark.parametrize("name", TABLE)
def test_entries_come_back(name: str) -> None:
    check_entries(TABLE[name])


@given(ENTRIES)
def test_any_entries_come_back(entries: list[Entry]) -> None:
    check_entries(entries)


@pytest.mark.parametrize("path", ["a", "/a/../b", "/a//b", "/a/", "/./a", "/..", "/"])
def test_a_path_that_no_tar_gives(path: str) -> None:
    with pytest.raises(MalformedInput, match="no cleaned path"):
        list(unpack_entries(indexed([entry(path)]), contents=False))


@pytest.mark.parametrize(
    "wrong", [{"mode": 0o10000}, {"mode": -1}, {"uid": 1 << 63}, {"offset": 1 << 63}, {"offset": -1}]
)
def test_numbers_that_no_tar_gives(wrong: dict[str, int]) -> None:
    with pytest.raises(MalformedInput):
        list(unpack_entries(indexed([entry("/a", **wrong)]), contents=False))


@pytest.mark.parametrize(
    ("row", "name", "bound"),
    [
        (entry("/a/b/c"), "path_depth", 3),
        (entry("/a/b", type="dir", name="./a/b/"), "path_depth", 4),
        (entry("/" + "a/" * 2999 + "a"), "path_depth", 3000),
        (entry("/abc"), "path_bytes", 3),
        (entry("/abc", name="./abc/"), "path_bytes", 6),
        (entry("/c", name="a/../c"), "path_bytes", 6),
        (entry("/é\udcff"), "path_bytes", 3),
        (entry("/l", type="symlink", link="é" * 600), "path_bytes", 1200),
        (entry(""), "path_bytes", 0),
    ],
)
def test_names_are_as_bounded_as_those_of_a_tar(row: Entry, name: str, bound: int) -> None:
    layer = indexed([entry("/x"), row] if bound else [row])
    limits = DEFAULT_LIMITS._replace(**{name: bound})
    assert len(list(unpack_entries(layer, contents=False, limits=limits))) > 0
    if bound:
        with pytest.raises(LimitExceeded) as raised:
            list(unpack_entries(layer, contents=False, limits=limits._replace(**{name: bound - 1})))
        assert raised.value.limit == name


def test_more_content_than_is_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    most, more = ([entry("/a", size=1 << 55), entry("/b", size=size)] for size in (1 << 55, (1 << 55) + 1))
    check_entries(most)
    with pytest.raises(UnsupportedInput, match=f"{(1 << 56) + 1} bytes"):
        indexed(more)
    monkeypatch.setattr(entrycolumns, "CONTENT_BYTES", 1 << 60)
    written = indexed(more)
    monkeypatch.undo()
    with pytest.raises(MalformedInput, match=f"{(1 << 56) + 1} bytes"):
        list(unpack_entries(written, contents=False))


def test_entries_are_few_bytes() -> None:
    entries = [
        entry(f"/usr/lib/python3/site-packages/module{i // 20}/file{i}.py", size=i * 37 % 9000, offset=i * 10240)
        for i in range(5000)
    ]
    assert len(indexed(entries, contents=False).entries.stored) < 5 * len(entries)


# -- files -----------------------------------------------------------------------------------------

INDEX = IndexFile(
    origin=IndexedArchive("docker-archive", 48128, "gzip"),
    contents=True,
    end_mark=True,
    chosen=(1, 3),
    sizes={"manifest.json": 2, "\udcff": 2**63 - 1, "layer.tar": 7, "link": 7},
    aliases={"link": "layer.tar"},
    duplicates={"layer.tar": 2},
    documents={"manifest.json": b"[]"},
    digests={"layer.tar": Digest.of(b"1"), "\udcff": Digest.of(b"2", "sha512")},
    compressions={"layer.tar": "gzip"},
    layers={"layer.tar": indexed(TABLE["digests"], trailing=3, behind_gzip=2, odd_header=True, toc_format="estargz")},
)


def dump(index: IndexFile) -> bytes:
    return b"".join(write_tlx(index))


def sign(data: bytes) -> bytes:
    """The file with its digest set right."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def read_all(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    for layer in parse_tlx(data, limits).layers.values():
        list(unpack_entries(layer, contents=True, limits=limits))


def test_an_index_comes_back() -> None:
    for index in (INDEX, replace(INDEX, chosen=None, contents=False, end_mark=False, layers={}, duplicates={})):
        assert parse_tlx(dump(index)) == index
        assert is_tlx(dump(index))
        assert dump(index) == dump(index)


def test_the_documented_example() -> None:
    file = (TESTDATA / "shop-v1.tlx").read_bytes()
    text = (ROOT / "docs" / "tlx.md").read_text()
    header, section = (
        bytes.fromhex("".join(re.findall(r"^((?:[0-9a-f]{2} ?)+)(?: |$)", block, re.MULTILINE)))
        for block in text.split("```")[-4::2]
    )
    assert file.startswith(header)
    *_, layer = parse_tlx(file).layers.values()
    assert layer.entries.expand(1 << 10) == section
    assert [row[0] for row in unpack_entries(layer, contents=True)][-1] == "/var/cache/.wh.apt"


def test_an_index_of_version_1_says_what_its_archive_does() -> None:
    archive = open_images(TESTDATA / "shop-v1.oci.tar")
    kept = open_images(TESTDATA / "shop-v1.tlx")
    assert kept.layout == archive.layout
    for old, new in zip(kept.images[0].layers, archive.images[0].layers, strict=True):
        assert old.read(contents=True, hashed=True) == new.read(contents=True, hashed=True)
    made = parse_tlx(b"".join(write_index(archive)))
    for stored, layer in made.layers.items():
        assert layer.entries.expand(1 << 20) == kept.index_file.layers[stored].entries.expand(1 << 20)


def test_a_cut_index_says_so() -> None:
    data = dump(INDEX)
    for end in range(len(data)):
        with pytest.raises(MalformedInput) as raised:
            parse_tlx(data[:end])
        assert raised.value.offset == (end if end >= len(TLX_MAGIC) else 0)


def test_every_changed_byte_is_seen() -> None:
    data = dump(INDEX)
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            with pytest.raises((MalformedInput, UnsupportedInput)):
                parse_tlx(data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :])


def test_another_version() -> None:
    data = dump(INDEX)
    with pytest.raises(UnsupportedInput, match="version 9") as raised:
        parse_tlx(data[:8] + b"\x09" + data[9:])
    assert raised.value.offset == 8


def wrong_head(**fields: Any) -> bytes:
    return dump(replace(INDEX, **fields))


WRONG = {
    "kind": wrong_head(origin=IndexedArchive("no kind\n", 1, "none")),
    "compression": wrong_head(origin=IndexedArchive("dir", 1, "rar")),
    "size": wrong_head(sizes={**INDEX.sizes, "\udcff": 1 << 63}),
    "document without a member": wrong_head(sizes={"layer.tar": 7}),
    "document of another size": wrong_head(sizes={**INDEX.sizes, "manifest.json": 3}),
    "digest": wrong_head(digests={"layer.tar": "sha256:12"}),
    "layer's compression": wrong_head(layers={"a": indexed([], compression="rar")}),
    "table of contents": wrong_head(layers={"a": indexed([], toc_format="rar")}),
    "entries too short": wrong_head(layers={"a": indexed([], entries=Section.pack(b""))}),
    "entries too long": wrong_head(layers={"a": indexed([], entries=Section.pack(bytes(99)))}),
    "no zstd": wrong_head(layers={"a": indexed([], entries=Section(b"(\xb5/\xfd no", 9))}),
    "digests too few": wrong_head(layers={"a": indexed(TABLE["digests"], digests=Section.pack(bytes(32)))}),
    "digests of another size": wrong_head(
        layers={"a": indexed(TABLE["digests"], digests=Section(Section.pack(bytes(32)).stored, 64))}
    ),
    "sections that are not there": sign(dump(INDEX)[:-33] + bytes(32)),
    "head that is not there": sign(HEADER.pack(TLX_MAGIC, 1, 68, 1 << 60, 9) + bytes(32)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_signed_and_wrong(name: str) -> None:
    with pytest.raises(MalformedInput):
        read_all(WRONG[name])


def test_few_bytes_do_not_become_many() -> None:
    many = 3_000_000
    zeros = Section.pack(bytes(many))
    for head in (zeros, replace(zeros, plain_size=1 << 50)):
        data = HEADER.pack(TLX_MAGIC, 1, 68 + len(head.stored), len(head.stored), head.plain_size) + head.stored
        with pytest.raises(LimitExceeded):
            parse_tlx(sign(data + bytes(32)), Limits(index_grace_bytes=1 << 20, index_ratio=100))
    deep = [entry("/" + "a" * 5000 + str(i)) for i in range(200)]
    same = [entry("/a")] * 50_000
    for entries in (deep, same):
        with pytest.raises(LimitExceeded):
            read_all(
                dump(replace(INDEX, layers={"a": indexed(entries)})), Limits(index_grace_bytes=1 << 18, index_ratio=9)
            )
        read_all(dump(replace(INDEX, layers={"a": indexed(entries)})))
    marked = dump(replace(INDEX, layers={"a": indexed([entry("/a", xattrs={f"user.{i}": b"" for i in range(9)})])}))
    read_all(marked, Limits(entries=10))
    with pytest.raises(LimitExceeded, match="extended attributes"):
        read_all(marked, Limits(entries=9))
    with pytest.raises(LimitExceeded, match="3 entries"):
        read_all(dump(INDEX), Limits(entries=2))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_index_or_an_error(data: bytes) -> None:
    for whole in (
        data,
        TLX_MAGIC + data,
        sign(HEADER.pack(TLX_MAGIC, 1, 68 + len(data), len(data), 9) + data + bytes(32)),
    ):
        with pytest.raises(TarlayersError):
            parse_tlx(whole)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_mutated_columns_are_an_index_or_an_error(seed: int, changes: int) -> None:
    """Bytes are changed where no checksum sees it: in what was decompressed."""
    dice = random.Random(seed)
    data = dump(INDEX)
    head_size, head_plain = HEADER.unpack_from(data)[3:]
    head = Section(data[36 : 36 + head_size], head_plain).expand(1 << 20)
    layer = INDEX.layers["layer.tar"]
    sections = [mutate(part, changes, dice) for part in (head, layer.entries.expand(1 << 20))]
    packed = [Section.pack(part) for part in sections]
    file = HEADER.pack(TLX_MAGIC, 1, 68 + len(packed[0].stored), len(packed[0].stored), len(sections[0]))
    for whole, entries in ((sign(file + packed[0].stored + bytes(32)), layer.entries), (data, packed[1])):
        try:
            index = parse_tlx(whole)
            rows = list(unpack_entries(replace(layer, entries=entries), contents=True))
        except TarlayersError:
            continue
        assert isinstance(index, IndexFile)
        assert all(row[0] == "" or row[0].startswith("/") for row in rows)


def mutate(data: bytes, changes: int, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(changes):
        changed[dice.randrange(len(changed))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(changed)
