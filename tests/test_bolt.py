"""The bolt reader: databases of every shape that a bucket can have, and what damage does to them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.errors import MalformedInput, TarlayersError
from tarlayers.formats.bolt import Bucket, open_bolt

PAGE = 4096
Tree: TypeAlias = Mapping[bytes, "bytes | Tree"]


def fnv64a(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) % (1 << 64)
    return value


class Writer:
    """Writes a database: buckets of up to `inline` bytes inside their parent, leaves of `fan` keys, branches above."""

    def __init__(self, fan: int = 1000, inline: int = 0, page_size: int = PAGE) -> None:
        self.fan, self.inline, self.page_size = fan, inline, page_size
        self.pages: dict[int, bytes] = {}
        self.next = 4

    def write(self, tree: Tree, transaction: int = 5) -> bytes:
        root = self.bucket(tree)
        metas = [self.meta(i, root if i else 3, transaction - 1 + i) for i in range(2)]
        size = self.next * self.page_size
        data = bytearray(size)
        for number, page in {**dict(enumerate(metas)), **self.pages}.items():
            data[number * self.page_size : number * self.page_size + len(page)] = page
        return bytes(data)

    def meta(self, number: int, root: int, transaction: int) -> bytes:
        body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, self.page_size, 0, root, 0, 2, self.next, transaction)
        return struct.pack("<QHHI", number, 4, 0, 0) + body + struct.pack("<Q", fnv64a(body))

    def bucket(self, tree: Tree) -> int:
        items = [self.element(key, value) for key, value in sorted(tree.items())]
        parts = [items[i : i + self.fan] for i in range(0, len(items), self.fan)] or [[]]
        pages = [(part[0][1] if part else b"", self.put(self.leaf(part))) for part in parts]
        while len(pages) > 1:
            groups = [pages[i : i + self.fan] for i in range(0, len(pages), self.fan)]
            pages = [(group[0][0], self.put(self.branch(group))) for group in groups]
        return pages[0][1]

    def element(self, key: bytes, value: bytes | Tree) -> tuple[int, bytes, bytes]:
        if isinstance(value, bytes):
            return 0, key, value
        leaf = self.leaf([self.element(k, v) for k, v in sorted(value.items())])
        if len(leaf) <= self.inline:
            return 1, key, struct.pack("<QQ", 0, 0) + leaf
        return 1, key, struct.pack("<QQ", self.bucket(value), 0)

    def leaf(self, items: list[tuple[int, bytes, bytes]]) -> bytes:
        heads, data = b"", b""
        for i, (flags, key, value) in enumerate(items):
            position = 16 * (len(items) - i) + len(data)
            heads += struct.pack("<IIII", flags, position, len(key), len(value))
            data += key + value
        return struct.pack("<QHHI", 0, 2, len(items), 0) + heads + data

    def branch(self, children: list[tuple[bytes, int]]) -> bytes:
        heads, data = b"", b""
        for i, (key, page) in enumerate(children):
            heads += struct.pack("<IIQ", 16 * (len(children) - i) + len(data), len(key), page)
            data += key
        return struct.pack("<QHHI", 0, 1, len(children), 0) + heads + data

    def put(self, page: bytes) -> int:
        number, count = self.next, -(-len(page) // self.page_size)
        self.next += count
        head = struct.pack("<QHHI", number, *struct.unpack_from("<HH", page, 8), count - 1)
        self.pages[number] = head + page[16:]
        return number


def read(data: bytes) -> Tree:
    def take(bucket: Bucket) -> Tree:
        return {key: take(value) if isinstance(value, Bucket) else value for key, value in bucket}

    return take(open_bolt(lambda offset, count: data[offset : offset + count], len(data)))


MANY = {b"%04d" % i: b"v" * (i % 7) for i in range(500)}
SHAPES: dict[str, tuple[Writer, Tree]] = {
    "empty": (Writer(), {}),
    "values": (Writer(), {b"a": b"1", b"b": b""}),
    "buckets with pages of their own": (Writer(), {b"v1": {b"ns": {b"images": {b"app": b"x"}}}, b"w": b"y"}),
    "buckets inside their parents": (Writer(inline=900), {b"v1": {b"ns": {b"images": {b"app": b"x"}}}, b"w": b"y"}),
    "branches": (Writer(fan=20), MANY),
    "branches of branches": (Writer(fan=3), MANY),
    "a value of several pages": (Writer(), {b"big": b"x" * 20_000, b"c": b"1"}),
    "another page size": (Writer(page_size=16384), {b"v1": {b"a": b"1"}}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_written_is_read(shape: str) -> None:
    writer, tree = SHAPES[shape]
    assert read(writer.write(tree)) == tree


def test_of_two_metas_the_newer_valid_one_counts() -> None:
    data = bytearray(Writer().write({b"a": b"1"}))
    assert read(bytes(data)) == {b"a": b"1"}
    data[PAGE + 30] ^= 1  # the newer is damaged, and the older names a page that holds nothing
    with pytest.raises(MalformedInput):
        read(bytes(data))


def test_a_key_is_found_by_its_kind() -> None:
    data = Writer().write({b"v1": {b"a": b"1"}, b"x": b"2"})
    root = open_bolt(lambda offset, count: data[offset : offset + count], len(data))
    assert root.value(b"x") == b"2"
    assert root.value(b"v1") is None
    assert root.bucket(b"x") is None
    assert root.bucket(b"v1") is not None


def patch(data: bytes, page: int, offset: int, value: bytes) -> bytes:
    at = page * PAGE + offset
    return data[:at] + value + data[at + len(value) :]


PLAIN = Writer().write({b"a": b"1"})
TREE = Writer(fan=3).write(MANY)
TOP = struct.unpack_from("<Q", TREE, PAGE + 32)[0]
DAMAGE = {
    "nothing": b"",
    "no database": b"\0" * 3 * PAGE,
    "cut inside a page": PLAIN[: 4 * PAGE + 20],
    "cut before a page": PLAIN[: 4 * PAGE],
    "more elements than there are": patch(PLAIN, 4, 10, b"\xff\xff"),
    "a key beyond its page": patch(PLAIN, 4, 16 + 8, b"\xff\xff\xff\x00"),
    "a page that overflows the file": patch(PLAIN, 4, 12, b"\xff\xff\x00\x00"),
    "a page of no kind": patch(PLAIN, 4, 8, b"\x00\x00"),
    "a branch that names itself": patch(TREE, TOP, 16 + 8, struct.pack("<Q", TOP)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_malformed(damage: str) -> None:
    with pytest.raises(MalformedInput):
        read(DAMAGE[damage])


def test_pages_that_name_one_page_many_times_are_bounded() -> None:
    head = struct.pack("<QHHI", 0, 1, 200, 0)
    pages = [head + b"".join(struct.pack("<IIQ", 0, 0, page + 1) for _ in range(200)) for page in range(4, 20)]
    data = Writer().meta(0, 4, 1).ljust(PAGE, b"\0") + bytes(3 * PAGE) + b"".join(p.ljust(PAGE, b"\0") for p in pages)
    with pytest.raises(MalformedInput):
        read(data + struct.pack("<QHHI", 0, 2, 0, 0).ljust(PAGE, b"\0"))


def test_a_large_page_that_is_named_many_times_is_bounded() -> None:
    """Each of 3000 children is one page of two megabytes: 6 GB would be read."""
    large, count = 500, 3000
    branch = struct.pack("<QHHI", 2, 1, count, 11) + struct.pack("<IIQ", 0, 0, 14) * count
    leaf = struct.pack("<QHHI", 14, 2, 0, large)
    data = (
        Writer().meta(0, 2, 1).ljust(2 * PAGE, b"\0")
        + branch.ljust(12 * PAGE, b"\0")
        + leaf
        + bytes(large * PAGE + PAGE)
    )
    read_bytes = 0

    def read_at(offset: int, count: int) -> bytes:
        nonlocal read_bytes
        read_bytes += count
        return data[offset : offset + count]

    with pytest.raises(MalformedInput, match="268435456 bytes"):
        list(open_bolt(read_at, len(data)))
    assert read_bytes < 1 << 29


def test_a_large_value_of_many_elements_is_bounded() -> None:
    """Each of 3000 values is the whole of a megabyte."""
    count, size = 3000, 1 << 20
    heads = b"".join(struct.pack("<IIII", 0, 16 * (count - i), 0, size) for i in range(count))
    leaf = struct.pack("<QHHI", 2, 2, count, (len(heads) + size) // PAGE) + heads
    data = Writer().meta(0, 2, 1).ljust(2 * PAGE, b"\0") + leaf + bytes(size + PAGE)
    with pytest.raises(MalformedInput, match="268435456 bytes"):
        for _ in open_bolt(lambda offset, count: data[offset : offset + count], len(data)):
            pass


@given(st.lists(st.tuples(st.integers(0, len(PLAIN) + 3 * PAGE), st.binary(min_size=1, max_size=8)), max_size=4))
def test_any_damage_is_an_error_of_ours_or_none(patches: list[tuple[int, bytes]]) -> None:
    data = Writer(fan=2, inline=60).write({b"v1": {b"n": {b"a": b"1", b"b": b"2"}}, b"x": b"y"})
    for at, value in patches:
        data = data[:at] + value + data[at + len(value) :]
    with suppress(TarlayersError):
        read(data)
