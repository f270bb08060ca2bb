"""An indexed layer as bytes, and back: columns rather than rows, so that a million entries come back in C.

Its form is private and may change with every version of the layer cache: nothing else reads it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import zstandard

from tarlayers.entry import Entry
from tarlayers.errors import MalformedInput
from tarlayers.formats.toc import StoredToc
from tarlayers.formats.whiteout import role_of
from tarlayers.layer import LayerIndex
from tarlayers.outline import Outline, Ties, make_outline, tie_entries

_LEVEL = 1  # of zstd: a twelfth of the size for 0.1 microseconds an entry; level 3 is twice as slow, 5 % smaller
_LENGTH = struct.Struct("<I")
_SHA256 = 32
_ENDS = ("size", "compression", "plain_size", "trailing", "behind_gzip", "odd_header")
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, struct.error, zstandard.ZstdError)

Column = Sequence[Any]
Places = Sequence[int] | None
"""Which of the values are wanted; None for all of them."""
Unpack = Callable[[bytes, int, Places], Column]
"""Gives values of a column, of its bytes and how many values they are."""


class FileDigests(NamedTuple):
    """sha256 of a layer's files, by the offsets of their headers."""

    by_offset: Mapping[int, bytes]
    complete: bool
    """Every file is there."""


# -- entries -------------------------------------------------------------------------------------------


def encode_layer(index: LayerIndex) -> bytes:
    """Give an index as bytes, but for what was hashed: digests, diff ID, tables of contents, contents.

    ValueError for what it cannot hold: a name with a NUL, which no tar has.
    """
    # One column at a time: all of them at once take as much memory as half of the entries.
    packed = [
        codec.pack(list(map(itemgetter(place), index.entries)))
        for place, codec in enumerate(_CODECS)
        if codec is not None
    ]
    toc = index.toc
    ties = tie_entries(index.entries)
    head = {
        "order": sys.byteorder,
        "count": len(index.entries),
        "columns": [len(each) for each in packed],
        "ends": [getattr(index, name) for name in _ENDS],
        "sparse": sorted(index.sparse_offsets),
        "ties": None if ties is None else [*ties],
        "toc": None if toc is None else [toc.format, toc.problem, toc.limit, toc.position],
    }
    text = orjson.dumps(head)
    parts = (_LENGTH.pack(len(text)), text, *packed)
    size = sum(map(len, parts))
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=size)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def decode_layer(data: bytes, contents: Mapping[int, bytes] | None = None) -> LayerIndex | None:
    """Give the index back, its files with their digests where those are given. None for bytes that hold none.

    All is as a first reading without hashing would have it: digests are not known.
    """
    try:
        return _Kept(data).index(contents)
    except _FAULTS:
        return None


def decode_outline(data: bytes) -> Outline | None:
    """Give the outline of the layer, from which single entries can be had. None for bytes that hold none, and for a
    layer that is not orderly.
    """
    try:
        return _Kept(data).outline()
    except _FAULTS:
        return None


class _Kept:
    """The bytes of a layer, whose columns are made when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._plain = zstandard.ZstdDecompressor().decompress(data)
        (size,) = _LENGTH.unpack_from(self._plain)
        position = _LENGTH.size + size
        self._head = orjson.loads(memoryview(self._plain)[_LENGTH.size : position])
        if self._head["order"] != sys.byteorder:
            raise ValueError("of a machine with another order of bytes")
        self._count = self._head["count"]
        self._pieces: dict[str, tuple[int, int]] = {}
        stored = [name for name, codec in zip(Entry._fields, _CODECS, strict=True) if codec is not None]
        for name, length in zip(stored, self._head["columns"], strict=True):
            self._pieces[name] = position, position + length
            position += length

    def index(self, contents: Mapping[int, bytes] | None) -> LayerIndex:
        """Give all of it."""
        toc = self._head["toc"]
        return LayerIndex(
            digest=None,
            diff_id=None,
            entries=self._make_entries(None, self._column("path", None), contents),
            contents=contents is not None,
            sparse_offsets=frozenset(self._head["sparse"]),
            toc=None if toc is None else StoredToc(toc[0], None, problem=toc[1], limit=toc[2], position=toc[3]),
            **dict(zip(_ENDS, self._head["ends"], strict=True)),
        )

    def outline(self) -> Outline | None:
        """Give what entries are about, and the way to them."""
        if self._head["ties"] is None:
            return None
        ties = Ties(*self._head["ties"])
        if len(ties.links) != len(ties.targets) or not all(0 <= place < self._count for some in ties for place in some):
            raise ValueError("ties of no entries")
        paths = self._column("path", None)

        def select(places: Sequence[int]) -> Sequence[Entry]:
            try:
                return self._make_entries(places, _pick(paths, places), None)
            except _FAULTS as error:
                raise MalformedInput("what the layer cache keeps of a layer is not of this version") from error

        return make_outline(paths, self._column("type", None), ties, select)

    def _column(self, name: str, places: Sequence[int] | None) -> Column:
        start, stop = self._pieces[name]
        codec = _CODECS[Entry._fields.index(name)]
        if codec is None:
            raise ValueError(f"{name} is not kept")
        return codec.unpack(self._plain[start:stop], self._count, places)

    def _make_entries(
        self, places: Sequence[int] | None, paths: Column, contents: Mapping[int, bytes] | None
    ) -> tuple[Entry, ...]:
        """Give the entries at some places, or all, whose paths these are."""
        columns: dict[str, Column] = {"path": paths}
        columns.update((name, self._column(name, places)) for name in self._pieces if name != "path")
        marked = places is not None or b"/.wh." in self._plain
        columns["role"] = _find_roles(paths) if marked else ["entry"] * len(paths)
        columns["sha256"] = [None] * len(paths) if contents is None else _find_digests(columns, contents)
        rows = zip(*(columns[name] for name in Entry._fields), strict=True)
        return tuple(map(partial(tuple.__new__, Entry), rows))


def _find_roles(paths: Column) -> Column:
    return [role_of(path.rpartition("/")[2]) if "/.wh." in path else "entry" for path in paths]


def _find_digests(columns: Mapping[str, Column], contents: Mapping[int, bytes]) -> Column:
    files = zip(columns["type"], columns["offset"], strict=True)
    return [contents[offset] if type == "file" else None for type, offset in files]  # noqa: A001 # the field's name


# -- columns -------------------------------------------------------------------------------------------


class _Codec(NamedTuple):
    """How one field of all entries is written and read."""

    pack: Callable[[Column], bytes]
    unpack: Unpack


def _pack_texts(values: Iterable[str]) -> bytes:
    texts = list(values)
    joined = "\0".join(texts).encode("utf-8", "surrogateescape")
    if texts and joined.count(b"\0") != len(texts) - 1:
        raise ValueError("a name with a NUL")
    return joined


def _unpack_texts(data: bytes, count: int, places: Places) -> Column:
    return _pick(data.decode("utf-8", "surrogateescape").split("\0") if count else [], places)


def _pick(values: Column, places: Places) -> Column:
    return values if places is None else list(map(values.__getitem__, places))


def _pack_numbers(values: Sequence[int]) -> bytes:
    """Eight bytes each; as text where one needs more (seconds of 64 bits make nanoseconds of 94)."""
    try:
        return b"q" + array("q", values).tobytes()
    except OverflowError:
        return b"t" + " ".join(map(str, values)).encode()


def _unpack_numbers(data: bytes, count: int, places: Places) -> list[int]:
    in_text = data[:1] == b"t"
    numbers: Sequence[int] = [int(word) for word in data[1:].split()] if in_text else array("q", data[1:])
    if len(numbers) != count:
        raise ValueError("a column of another length")
    return list(numbers if places is None else map(numbers.__getitem__, places))


def _unpack_few(data: bytes, count: int, places: Places) -> list[int]:
    """Numbers most of which are equal to another: one object each, which is 85 bytes less an entry."""
    numbers = _unpack_numbers(data, count, places)
    seen: dict[int, int] = {}
    return list(map(seen.setdefault, numbers, numbers))


def _pack_rising(values: Sequence[int]) -> bytes:
    return _pack_numbers([value - before for before, value in pairwise((0, *values))])


def _unpack_rising(data: bytes, count: int, places: Places) -> Column:
    return _pick(list(accumulate(_unpack_numbers(data, count, None))), places)


def _pack_words(values: Sequence[str]) -> bytes:
    """Few distinct words: a list of them, and the place in it for each value."""
    words = sorted(set(values))
    text = orjson.dumps(words)
    places = {word: place for place, word in enumerate(words)}
    return _LENGTH.pack(len(text)) + text + array("H", map(places.__getitem__, values)).tobytes()


def _unpack_words(data: bytes, _count: int, places: Places) -> list[str]:
    (size,) = _LENGTH.unpack_from(data)
    words = orjson.loads(data[_LENGTH.size : _LENGTH.size + size])
    numbers = array("H", data[_LENGTH.size + size :])
    return list(map(words.__getitem__, _pick(numbers, places)))


def _sparse(pack: Callable[[Column], bytes], unpack: Unpack) -> _Codec:
    """Most values are None: where the others are, then those."""

    def pack_some(values: Column) -> bytes:
        places = [place for place, value in enumerate(values) if value is not None]
        packed = array("q", places).tobytes()
        return _LENGTH.pack(len(places)) + packed + pack([values[place] for place in places])

    def unpack_some(data: bytes, count: int, places: Places) -> Column:
        (size,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + size * array("q").itemsize
        known = dict(zip(array("q", data[_LENGTH.size : start]), unpack(data[start:], size, None), strict=True))
        return list(map(known.get, range(count) if places is None else places))

    return _Codec(pack_some, unpack_some)


def _pack_devices(values: Sequence[tuple[int, int]]) -> bytes:
    return _pack_numbers([number for pair in values for number in pair])


def _unpack_devices(data: bytes, count: int, places: Places) -> Column:
    numbers = _unpack_numbers(data, 2 * count, None)
    return _pick(list(zip(numbers[::2], numbers[1::2], strict=True)), places)


def _pack_xattrs(values: Sequence[Mapping[str, bytes]]) -> bytes:
    # Keys are of bytes too, and JSON has no surrogates.
    return orjson.dumps(
        [[[_to_hex(key), value.hex()] for key, value in each.items()] for each in values],
    )


def _unpack_xattrs(data: bytes, _count: int, places: Places) -> Column:
    found = [{_from_hex(key): bytes.fromhex(value) for key, value in each} for each in orjson.loads(data)]
    return _pick(found, places)


def _to_hex(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").hex()


def _from_hex(text: str) -> str:
    return bytes.fromhex(text).decode("utf-8", "surrogateescape")


_TEXTS = _Codec(_pack_texts, _unpack_texts)
_NUMBERS = _Codec(_pack_numbers, _unpack_numbers)
_FEW_NUMBERS = _Codec(_pack_numbers, _unpack_few)
_WORDS = _Codec(_pack_words, _unpack_words)
# In the order of Entry's fields. What has none is made from the others (role), or is kept apart (sha256).
_CODECS: tuple[_Codec | None, ...] = (
    _TEXTS,
    _WORDS,
    _FEW_NUMBERS,
    _FEW_NUMBERS,
    _FEW_NUMBERS,
    _NUMBERS,
    _FEW_NUMBERS,
    _sparse(_pack_texts, _unpack_texts),
    _sparse(_pack_devices, _unpack_devices),
    _sparse(_pack_xattrs, _unpack_xattrs),
    None,
    _sparse(_pack_texts, _unpack_texts),
    _Codec(_pack_rising, _unpack_rising),
    _WORDS,
    None,
)


# -- contents ------------------------------------------------------------------------------------------


def encode_digests(digests: FileDigests) -> bytes:
    """Give digests of contents as bytes."""
    offsets = sorted(digests.by_offset)
    numbers = _pack_rising(offsets)
    head = orjson.dumps([sys.byteorder, digests.complete, len(offsets), len(numbers)])
    return b"".join([_LENGTH.pack(len(head)), head, numbers, *(digests.by_offset[offset] for offset in offsets)])


def decode_digests(data: bytes) -> FileDigests | None:
    """Give the digests back; None for bytes that hold none."""
    try:
        (size,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + size
        order, complete, count, length = orjson.loads(data[_LENGTH.size : start])
        if order != sys.byteorder or len(data) != start + length + count * _SHA256:
            return None
        offsets = _unpack_rising(data[start : start + length], count, None)
    except _FAULTS:
        return None
    starts = range(start + length, len(data), _SHA256)
    pieces = [data[position : position + _SHA256] for position in starts]
    return FileDigests(dict(zip(offsets, pieces, strict=True)), complete)
