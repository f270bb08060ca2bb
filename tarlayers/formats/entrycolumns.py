"""The entries of a layer, column by column: what docs/tlx.md calls an entry section.

An entry is a tuple with the fields of `entry.Entry` in their order. What repeats from entry to entry (type, mode,
owner) stands once, in a table of kinds; a path is told by what it shares with the one before it; an offset by what
it differs from where a plain tar would have its next header. So an entry costs some five bytes, once compressed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise, repeat
from typing import Any, NamedTuple, TypeVar

from tarlayers.errors import LimitExceeded, UnsupportedInput
from tarlayers.formats.columns import ColumnReader, ColumnWriter, fold_sign, unfold_sign
from tarlayers.formats.tar import BLOCK
from tarlayers.formats.whiteout import check_name, clean_path
from tarlayers.limits import Limits

EntryRow = tuple[Any, ...]
"""The fields of `entry.Entry`, in their order."""

DIGEST_BYTES = 32
# What fits into the 64 bits of JSON's readers, and into the sizes of tars.
_INT64 = 1 << 63
# Bytes of content of one layer, holes included: 128 layers of them still have a sum of 63 bits.
CONTENT_BYTES = 1 << 56
# What an entry costs in memory beside its path, for the bound on what a few bytes may expand to.
ENTRY_COST = 64

_TYPES = ("file", "dir", "symlink", "hardlink", "char", "block", "fifo", "unknown", "global")
_ROLES = ("entry", "whiteout", "opaque")
_LINK, _MTIME, _XATTRS, _DIGEST, _RDEV = 1, 2, 4, 8, 16
_T = TypeVar("_T")

_SPELLINGS: tuple[Callable[[str], str | None], ...] = (
    lambda _: None,
    lambda path: f"{path[1:]}/",
    lambda path: f".{path}",
    lambda path: f".{path}/",
)
"""How the tar may give the name of a path; any other name is written out."""
_OWN_NAME = len(_SPELLINGS)
# Letters that a spelling has beside the path's, and bytes that a letter has at most.
_SPELLED, _LETTER_BYTES = 3, 4


class _Kind(NamedTuple):
    """What many entries have in common."""

    type: str
    typeflag: str
    mode: int
    uid: int
    gid: int
    role: str
    flags: int
    """Which of the optional fields there are."""
    spelling: int
    rdev: tuple[int, int] | None


# -- writing ---------------------------------------------------------------------------------------


def encode_entries(rows: Sequence[EntryRow], *, contents: bool) -> tuple[bytes, bytes]:
    """Give the section of a layer's entries, and if asked the digests of its files' contents, one after the other.
    UnsupportedInput for files of more bytes than the reader takes.
    """
    sizes = [row[5] for row in rows]
    if sum(sizes) > CONTENT_BYTES:
        raise UnsupportedInput(_too_much(sizes))
    out = ColumnWriter()
    out.number(len(rows))
    kinds: dict[_Kind, int] = {}
    numbers = [kinds.setdefault(_kind_of(row, contents), len(kinds)) for row in rows]
    _write_kinds(out, kinds)
    out.numbers(numbers)
    _write_paths(out, [row[0] for row in rows])
    out.numbers(sizes)
    out.numbers([fold_sign(row[12] - expected) for row, expected in zip(rows, _expect_offsets(rows), strict=True)])
    _write_distinct(out, [row[6] for row in rows if row[6] is not None], _write_times)
    out.texts(row[7] for row in rows if row[7] is not None)
    _write_distinct(out, [tuple(row[9].items()) for row in rows if row[9] is not None], _write_xattrs)
    out.texts(row[11] for row in rows if row[11] is not None and _spelling(row) == _OWN_NAME)
    return out.getvalue(), b"".join(row[14] for row in rows if contents and row[14] is not None)


def _too_much(sizes: Sequence[int]) -> str:
    return f"files of {sum(sizes)} bytes, holes included, and an index holds {CONTENT_BYTES} of a layer"


def _kind_of(row: EntryRow, contents: bool) -> _Kind:
    _, kind, mode, uid, gid, _, mtime, link, rdev, xattrs, role, _, _, typeflag, sha256 = row
    flags = (
        _LINK * (link is not None)
        | _MTIME * (mtime is not None)
        | _XATTRS * (xattrs is not None)
        | _DIGEST * (contents and sha256 is not None)
        | _RDEV * (rdev is not None)
    )
    return _Kind(kind, typeflag, mode, uid, gid, role, flags, _spelling(row), rdev)


def _spelling(row: EntryRow) -> int:
    path, name = row[0], row[11]
    return next((i for i, spell in enumerate(_SPELLINGS) if spell(path) == name), _OWN_NAME)


def _write_kinds(out: ColumnWriter, kinds: Iterable[_Kind]) -> None:
    kinds = list(kinds)
    out.number(len(kinds))
    for kind in kinds:
        out.raw(bytes((_TYPES.index(kind.type), ord(kind.typeflag), _ROLES.index(kind.role))))
        out.raw(bytes((kind.flags, kind.spelling)))
        for value in (kind.mode, kind.uid, kind.gid, *(kind.rdev or ())):
            out.number(fold_sign(value))


def _write_paths(out: ColumnWriter, paths: Sequence[str]) -> None:
    shared = [_count_shared(before, path) for before, path in pairwise(("", *paths))]
    out.numbers(shared)
    out.texts(path[count:] for path, count in zip(paths, shared, strict=True))


def _count_shared(before: str, path: str) -> int:
    """Count the letters that both begin with."""
    count = 0
    for a, b in zip(before, path, strict=False):
        if a != b:
            break
        count += 1
    return count


def _expect_offsets(rows: Iterable[EntryRow]) -> Iterator[int]:
    """Yield where the header of each entry would be in a tar without extended headers."""
    expected = 0
    for row in rows:
        yield expected
        expected = row[12] + BLOCK + (row[5] + BLOCK - 1) // BLOCK * BLOCK


def _write_distinct(out: ColumnWriter, values: Sequence[Any], write: Callable[[ColumnWriter, list[Any]], None]) -> None:
    """Write each value once, in ascending order, then which of them each entry has."""
    distinct = sorted(set(values))
    out.number(len(distinct))
    write(out, distinct)
    places = {value: i for i, value in enumerate(distinct)}
    out.numbers([places[value] for value in values])


def _write_times(out: ColumnWriter, times: list[int]) -> None:
    out.numbers([fold_sign(time - before) for before, time in pairwise((0, *times))])


def _write_xattrs(out: ColumnWriter, sets: list[tuple[tuple[str, bytes], ...]]) -> None:
    for attributes in sets:
        out.number(len(attributes))
        for name, value in attributes:
            out.text(name)
            out.data(value)


# -- reading ---------------------------------------------------------------------------------------


def decode_entries(
    section: bytes, digests: Callable[[int], bytes] | None, limits: Limits, room: int
) -> Iterator[EntryRow]:
    """Give the rows of a section. `digests` gives so many digests of contents; they may be left out.

    Whatever the bytes are: rows of the right form, or MalformedInput with the offset in the section. Whether a tar
    could have such rows is not checked. LimitExceeded when they would expand to more than `room` bytes, or a tar may
    not have so many, or such long names.
    """
    taken = ColumnReader(section)
    count = taken.count()
    if count > limits.entries or count * ENTRY_COST > room:
        raise LimitExceeded(f"{count} entries from {len(section)} bytes", limit="index_ratio", offset=taken.offset)
    kinds = _read_kinds(taken)
    numbers = taken.numbers(count)
    if count and max(numbers) >= len(kinds):
        raise taken.fail(f"a kind of entry that is not among the {len(kinds)}")
    column = _Columns(kinds, numbers)
    paths = _read_paths(taken, count, room - count * ENTRY_COST)
    sizes = taken.numbers(count)
    if sum(sizes) > CONTENT_BYTES:
        raise taken.fail(_too_much(sizes))
    offsets = _add_offsets(sizes, taken.numbers(count))
    if count and (min(offsets) < 0 or max(offsets) >= _INT64):
        raise taken.fail("an offset outside of any tar")
    times = _read_distinct(taken, column.count(_MTIME), _read_times)
    links = taken.texts(column.count(_LINK))
    most = min(limits.entries, room // ENTRY_COST) - count
    xattrs = _read_distinct(taken, column.count(_XATTRS), partial(_read_xattrs, most=most))
    own_names = taken.texts(sum(kind.spelling == _OWN_NAME for kind in column.each()))
    taken.end()
    names = list(_spell_names(paths, column.of([kind.spelling for kind in kinds]), iter(own_names)))
    if max(map(len, chain(paths, links, own_names)), default=0) > _few_letters(limits):
        _check_names(zip(paths, names, column.spread(_LINK, links), offsets, strict=False), limits)
    return zip(
        paths,
        column.of([kind.type for kind in kinds]),
        column.of([kind.mode for kind in kinds]),
        column.of([kind.uid for kind in kinds]),
        column.of([kind.gid for kind in kinds]),
        sizes,
        column.spread(_MTIME, times),
        column.spread(_LINK, links),
        column.of([kind.rdev for kind in kinds]),
        column.spread(_XATTRS, xattrs),
        column.of([kind.role for kind in kinds]),
        names,
        offsets,
        column.of([kind.typeflag for kind in kinds]),
        column.spread(_DIGEST, _split_digests(digests(column.count(_DIGEST)) if digests else None)),
        strict=True,
    )


class _Columns:
    """Makes columns of all entries from what their kinds have, and from what only some entries have."""

    def __init__(self, kinds: Sequence[_Kind], numbers: Sequence[int]) -> None:
        self._kinds = kinds
        self._numbers = numbers
        self._times = Counter(numbers)

    def each(self) -> Iterator[_Kind]:
        return map(self._kinds.__getitem__, self._numbers)

    def of(self, values: Sequence[_T]) -> list[_T]:
        """Give each entry the value of its kind."""
        return [values[number] for number in self._numbers]

    def count(self, flag: int) -> int:
        """Count the entries that have an optional field."""
        return sum(self._times[i] for i, kind in enumerate(self._kinds) if kind.flags & flag)

    def spread(self, flag: int, values: Sequence[_T] | None) -> Iterable[_T | None]:
        """Give those entries their values that have the field, and None to the others."""
        has = [kind.flags & flag for kind in self._kinds]
        if values is None or not any(has):
            return repeat(None, len(self._numbers))
        if all(has):
            return values
        rest = iter(values)
        return [next(rest) if has[number] else None for number in self._numbers]


def _read_kinds(taken: ColumnReader) -> list[_Kind]:
    kinds = []
    for _ in range(taken.count()):
        kind, typeflag, role, flags, spelling = taken.raw(5)
        numbers = [unfold_sign(taken.number()) for _ in range(5 if flags & _RDEV else 3)]
        fits = kind < len(_TYPES) and role < len(_ROLES) and flags < 2 * _RDEV and spelling <= _OWN_NAME
        if not fits or not 0 <= numbers[0] <= 0o7777 or not -_INT64 <= min(numbers) <= max(numbers) < _INT64:
            raise taken.fail("a kind of entry that there is not")
        mode, uid, gid, *rdev = numbers
        device = (rdev[0], rdev[1]) if rdev else None
        kinds.append(_Kind(_TYPES[kind], chr(typeflag), mode, uid, gid, _ROLES[role], flags, spelling, device))
    return kinds


def _read_paths(taken: ColumnReader, count: int, room: int) -> list[str]:
    shared = taken.numbers(count)
    rests = taken.texts(count)
    if sum(shared) + sum(map(len, rests)) > room:
        reason = f"{count} paths of {sum(shared)} letters and more"
        raise LimitExceeded(reason, limit="index_ratio", offset=taken.offset)
    paths = []
    path = ""
    for length, rest in zip(shared, rests, strict=True):
        if length > len(path):
            raise taken.fail("a path that shares more with the one before it than that has")
        path = path[:length] + rest
        if ("/." in path or "//" in path or path[-1:] == "/" or path[:1] != "/") and clean_path(path) != path:
            raise taken.fail(f"{path!r} is no cleaned path")
        paths.append(path)
    return paths


def _add_offsets(sizes: Sequence[int], differences: Sequence[int]) -> list[int]:
    offsets = []
    expected = 0
    for size, difference in zip(sizes, differences, strict=True):
        offset = expected + unfold_sign(difference) if difference else expected
        offsets.append(offset)
        expected = offset + BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
    return offsets


def _read_distinct(taken: ColumnReader, count: int, read: Callable[[ColumnReader, int], list[_T]]) -> list[_T]:
    values = read(taken, taken.count())
    numbers = taken.numbers(count)
    if count and max(numbers) >= len(values):
        raise taken.fail(f"a value that is not among the {len(values)}")
    return [values[number] for number in numbers]


def _read_times(taken: ColumnReader, count: int) -> list[int]:
    times = []
    time = 0
    for difference in taken.numbers(count):
        time += unfold_sign(difference)
        times.append(time)
    return times


def _read_xattrs(taken: ColumnReader, count: int, most: int) -> list[Mapping[str, bytes]]:
    """Read sets of extended attributes, which count as entries."""
    sets: list[Mapping[str, bytes]] = []
    for _ in range(count):
        size = taken.count()
        most -= size
        if most < 0:
            reason = "more entries and extended attributes than are allowed"
            raise LimitExceeded(reason, limit="index_ratio", offset=taken.offset)
        sets.append({taken.text(): taken.data() for _ in range(size)})
    return sets


def _spell_names(paths: Iterable[str], spellings: Iterable[int], own: Iterator[str]) -> Iterator[str | None]:
    for path, spelling in zip(paths, spellings, strict=True):
        yield None if not spelling else next(own) if spelling == _OWN_NAME else _SPELLINGS[spelling](path)


def _few_letters(limits: Limits) -> int:
    """Give how many letters of a path or link target are within the bounds whatever they are."""
    return (min(limits.path_bytes, limits.path_depth - 1) - _SPELLED) // _LETTER_BYTES


def _check_names(told: Iterable[tuple[str, str | None, str | None, int]], limits: Limits) -> None:
    """LimitExceeded for a path, by its name, or a link target that a tar may not have."""
    for path, name, link, offset in told:
        spelled = path[1:] if name is None else name
        check_name(_encode(spelled), _encode(link or ""), offset, limits)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _split_digests(digests: bytes | None) -> list[bytes] | None:
    if digests is None:
        return None
    return [digests[i : i + DIGEST_BYTES] for i in range(0, len(digests), DIGEST_BYTES)]
