"""The bolt database file (go.etcd.io/bbolt), as far as it takes to read a bucket: containerd keeps names in one.

A file is pages of one size. Pages 0 and 1 hold a meta record each, of which the valid one with the higher
transaction counts; it names the root bucket's page. A branch page has keys and child pages, a leaf page keys and
values; a value flagged as a bucket has the page of that bucket, or the page itself behind it where it is small.
Nothing is written, no freelist is read. Source: bbolt internal/common/{page,meta,bucket}.go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tarlayers.errors import MalformedInput

_PAGE = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQQ")
_BRANCH = struct.Struct("<IIQ")
_LEAF = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
_MAGIC, _VERSION = 0xED0CDAED, 2
_IS_BRANCH, _IS_LEAF = 1, 2
_IS_BUCKET = 1
_PAGE_SIZES = range(1 << 10, (1 << 16) + 1)
_DEPTH = 32  # a tree of four-byte fan-out would hold more than any disk
_ELEMENTS = 1 << 18  # of a containerd with thousands of images; pages count as well
_BYTES = 1 << 28  # of their pages, keys and values: a hundred times what these take. Two elements may name one place

ReadAt = Callable[[int, int], bytes]


class Bucket:
    """One bucket. Iterate over it for its keys in order, with their values or the buckets that they name."""

    def __init__(self, file: _File, page: int, inline: bytes = b"") -> None:
        self._file = file
        self._page = page
        self._inline = inline

    def __iter__(self) -> Iterator[tuple[bytes, bytes | Bucket]]:
        if self._page == 0:
            yield from self._leaf(self._inline, 0)
            return
        todo = [(self._page, 0)]
        while todo:
            number, depth = todo.pop()
            if depth > _DEPTH:
                raise MalformedInput(f"pages nested deeper than {_DEPTH}", offset=self._file.offset(number))
            self._file.count_element()
            page = self._file.page(number)
            flags = _PAGE.unpack_from(page)[1]
            if flags & _IS_BRANCH:
                todo.extend((child, depth + 1) for child in reversed(list(self._children(page, number))))
            else:
                yield from self._leaf(page, number)

    def bucket(self, key: bytes) -> Bucket | None:
        """Give the bucket of that name; None when there is none."""
        return next((value for name, value in self if name == key and isinstance(value, Bucket)), None)

    def value(self, key: bytes) -> bytes | None:
        """Give the value of that key; None when there is none."""
        return next((value for name, value in self if name == key and isinstance(value, bytes)), None)

    def _children(self, page: bytes, number: int) -> Iterator[int]:
        count = _PAGE.unpack_from(page)[2]
        for i in range(count):
            yield _BRANCH.unpack(self._file.cut(page, _PAGE.size + i * _BRANCH.size, _BRANCH.size, number))[2]

    def _leaf(self, page: bytes, number: int) -> Iterator[tuple[bytes, bytes | Bucket]]:
        _, flags, count, _ = _PAGE.unpack(self._file.cut(page, 0, _PAGE.size, number))
        if not flags & _IS_LEAF:
            raise MalformedInput(f"a page of type {flags}, not a leaf", offset=self._file.offset(number))
        for i in range(count):
            self._file.count_element()
            at = _PAGE.size + i * _LEAF.size
            kind, position, key_size, value_size = _LEAF.unpack(self._file.cut(page, at, _LEAF.size, number))
            self._file.count_bytes(key_size + value_size)
            key = self._file.cut(page, at + position, key_size, number)
            value = self._file.cut(page, at + position + key_size, value_size, number)
            if kind & _IS_BUCKET:
                root, _ = _BUCKET.unpack(self._file.cut(value, 0, _BUCKET.size, number))
                yield key, Bucket(self._file, root, value[_BUCKET.size :])
            else:
                yield key, value


class _Meta(NamedTuple):
    page_size: int
    root: int
    transaction: int


class _File:
    """The pages of one database."""

    def __init__(self, read_at: ReadAt, size: int, page_size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._page_size = page_size
        self._elements = 0
        self._bytes = 0

    def offset(self, number: int) -> int:
        return number * self._page_size

    def page(self, number: int) -> bytes:
        """Read a page with those that it overflows into."""
        start = self.offset(number)
        if number < 2 or start + self._page_size > self._size:
            raise MalformedInput(f"no page {number}", offset=start)
        page = self._read_at(start, self._page_size)
        if len(page) < _PAGE.size:
            raise MalformedInput("the file ends inside a page", offset=start)
        overflow = _PAGE.unpack_from(page)[3]
        if start + (overflow + 1) * self._page_size > self._size:
            raise MalformedInput(f"a page that overflows into {overflow} more, beyond the end", offset=start)
        self.count_bytes((overflow + 1) * self._page_size)
        return page + (self._read_at(start + self._page_size, overflow * self._page_size) if overflow else b"")

    def cut(self, data: bytes, start: int, length: int, number: int) -> bytes:
        """Take a part of a page that has to be there."""
        if start + length > len(data):
            raise MalformedInput("an element beyond its page", offset=self.offset(number))
        return data[start : start + length]

    def count_element(self) -> None:
        """Bound what pages that name one another can make us read."""
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise MalformedInput(f"more than {_ELEMENTS} pages and elements read from one database")

    def count_bytes(self, count: int) -> None:
        """Bound what is copied: a page may be as large as the file, and so may each value in it."""
        self._bytes += count
        if self._bytes > _BYTES:
            raise MalformedInput(f"more than {_BYTES} bytes of pages and elements read from one database")


def open_bolt(read_at: ReadAt, size: int) -> Bucket:
    """Give the root bucket. MalformedInput when the file is no bolt database."""
    metas = [_read_meta(read_at, 0)]
    step = metas[0].page_size if metas[0] is not None else 4096
    metas.append(_read_meta(read_at, step))
    valid = [meta for meta in metas if meta is not None]
    if not valid:
        raise MalformedInput("no bolt database: neither meta page is valid", offset=0)
    newest = max(valid, key=lambda meta: meta.transaction)
    return Bucket(_File(read_at, size, newest.page_size), newest.root)


def _read_meta(read_at: ReadAt, offset: int) -> _Meta | None:
    data = read_at(offset + _PAGE.size, _META.size)
    if len(data) < _META.size:
        return None
    magic, version, page_size, _, root, _, _, _, transaction, checksum = _META.unpack(data)
    if (magic, version) != (_MAGIC, _VERSION) or page_size not in _PAGE_SIZES or _fnv64a(data[:-8]) != checksum:
        return None
    return _Meta(page_size, root, transaction)


def _fnv64a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
