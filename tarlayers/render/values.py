"""Values as users read them: times, modes, sizes, entries, JSON documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

import orjson

from tarlayers.entry import Entry
from tarlayers.linux import SET_GID, SET_UID, STICKY
from tarlayers.render.escape import escape_path, raw_base64, spell_base64
from tarlayers.render.rows import Rows

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
_SECOND = 1_000_000_000
_GREGORIAN = 400 * 365 + 97  # days after which the calendar repeats
_DELETE, _C1 = b"\x7f", b"\xc2"  # C1 controls, which terminals obey too, are two bytes, of which this is the first
_CONTROLS = rb"\x7f|\xc2[\x80-\x9f]"  # those that JSON lets stand as they are
_LETTERS = {"dir": "d", "symlink": "l", "char": "c", "block": "b", "fifo": "p", "hardlink": "h"}


def brief_time(text: str) -> str:
    """Leave the fraction of a second out of a document's RFC 3339 time; of what is none, give as much as a column has
    room for.
    """
    found = _TIME.fullmatch(text)
    return found[1] + found[2] if found else text[:19]


@lru_cache(maxsize=1 << 12)
def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC; nanoseconds only where there are some, without trailing zeros.

    Years beyond 9999 have a plus sign and years before 0 a minus sign, as in ISO 8601's expanded form.
    """
    seconds, fraction = divmod(nanoseconds, _SECOND)
    days, rest = divmod(seconds, 86400)
    cycles, day = divmod(days, _GREGORIAN)
    moment = _EPOCH + timedelta(days=day, seconds=rest)
    year = moment.year + 400 * cycles
    head = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    text = f"{head}-{moment:%m-%dT%H:%M:%S}"
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


@lru_cache(maxsize=1 << 12)
def format_mode(mode: int) -> str:
    """Four octal digits."""
    return f"{mode:04o}"


@lru_cache(maxsize=1 << 10)
def mode_string(kind: str, mode: int) -> str:
    """The ten letters of `ls -l`."""
    text = ""
    for shift, special, letter in ((6, SET_UID, "s"), (3, SET_GID, "s"), (0, STICKY, "t")):
        bits = mode >> shift
        last = "x" if bits & 1 else "-"
        if mode & special:
            last = letter if bits & 1 else letter.upper()
        text += ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + last
    return _LETTERS.get(kind, "-") + text


def human_size(size: int) -> str:
    """Decimal units and three significant digits, as docker prints sizes: `8.46MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.3g}{unit}" if value < 1000 else f"{value:.0f}{unit}"


def entry_dict(
    entry: Entry, *, path: str | None = None, layer: int, links: Sequence[str] = (), digests: bool = False
) -> dict[str, Any]:
    """A path of a merged view as JSON; `path` where it differs from the entry's own."""
    own, kind, mode, uid, gid, size, mtime, link, rdev, xattrs = entry[:10]
    document = path_fields("path", (own if path is None else path) or "/")
    document["type"] = kind
    document["mode"] = format_mode(mode)
    document["uid"] = uid
    document["gid"] = gid
    if kind == "file":
        document["size"] = size
    if mtime is not None:
        document["mtime"] = format_time(mtime)
    if link is not None:
        document |= path_fields("link", link)
    if rdev is not None:
        document["rdev"] = list(rdev)
    if xattrs:
        document["xattrs"] = {escape_path(name): value.hex() for name, value in sorted(xattrs.items())}
    document["layer"] = layer
    if links:
        document |= paths_fields("links", links)
    if digests and entry.sha256 is not None:
        document["sha256"] = f"sha256:{entry.sha256.hex()}"
    return document


def usage_dict(size: int, files: int, by_layer: Mapping[int, int]) -> dict[str, Any]:
    """What stands below a path as JSON."""
    layers = [{"layer": layer, "bytes": part} for layer, part in by_layer.items()]
    return {"bytes": size, "files": files, "layers": layers}


def raw_entry_dict(entry: Entry, *, layer: int, digests: bool = False) -> dict[str, Any]:
    """A member of one layer as JSON, as the tar has it."""
    name = entry.path[1:] if entry.name is None else entry.name
    document = entry_dict(entry, layer=layer, digests=digests)
    document |= path_fields("name", name) | {"offset": entry.offset, "role": entry.role}
    if entry.type == "unknown":
        document["typeflag"] = entry.typeflag
    return document


def path_fields(key: str, path: str) -> dict[str, Any]:
    """A name as JSON: escaped, and with its exact bytes in base64 beside it where it is not UTF-8."""
    if path.isascii():
        return {key: path}
    raw = raw_base64(path)
    return {key: path} if raw is None else {key: escape_path(path), f"{key}_raw": raw}


def paths_fields(key: str, paths: Sequence[str]) -> dict[str, Any]:
    """Names as JSON, and the exact bytes of all of them in base64 where one is not UTF-8."""
    document: dict[str, Any] = {key: [escape_path(path) for path in paths]}
    if any(map(raw_base64, paths)):
        document[f"{key}_raw"] = list(map(spell_base64, paths))
    return document


def dump_json(document: Mapping[str, Any]) -> bytes:
    """One JSON document and a newline."""
    return _dump(document) + b"\n"


def dump_json_list(
    head: Mapping[str, Any], key: str, items: Iterable[Mapping[str, Any]], tail: Mapping[str, Any]
) -> Iterator[bytes]:
    """One JSON document with a long array in it, and a newline: a million entries are never held at once."""
    yield _dump(head)[:-1] + (b"," if head else b"") + _dump(key) + b":["
    separator = b""
    for batch in batched(items):
        yield separator + _dump(batch)[1:-1]
        separator = b","
    yield b"]" + (b"," + _dump(tail)[1:] if tail else b"}") + b"\n"


def dump_json_parts(document: Mapping[str, Any]) -> Iterator[bytes]:
    """One JSON document and a newline, in pieces: of the rows in it only a batch is there at a time."""
    yield from _dump_parts(document)
    yield b"\n"


def _dump_parts(value: object) -> Iterator[bytes]:
    if isinstance(value, Rows):
        start = b"["
        for batch in batched(value):
            if any(isinstance(inner, Rows) for inner in batch[0].values()):
                for row in batch:
                    yield start
                    yield from _dump_parts(row)
                    start = b","
            else:
                yield start + _dump(batch)[1:-1]
                start = b","
        yield b"]" if start == b"," else b"[]"
    elif isinstance(value, Mapping) and any(isinstance(inner, Rows) for inner in value.values()):
        start = b"{"
        for key, inner in value.items():
            yield start + _dump(key) + b":"
            yield from _dump_parts(inner)
            start = b","
        yield b"}"
    else:
        yield _dump(value)


def batched(items: Iterable[_T], size: int = 512) -> Iterator[list[_T]]:
    """Yield items in lists of `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def dump_ndjson(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One document a line."""
    for document in documents:
        yield _dump(document) + b"\n"


def _dump(value: object) -> bytes:
    data = _encode(value)
    if _DELETE in data or _C1 in data:
        data = re.sub(_CONTROLS, _escape_control, data)
    return data


def _escape_control(match: re.Match[bytes]) -> bytes:
    return b"\\u00%02x" % match[0][-1]


def _encode(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        pass  # rare, and to be ready for the first of what follows would cost each document two thirds more
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=_list_rows)
    except TypeError:
        # A document of the archive (a label, a tag) may hold a lone surrogate, which JSON in UTF-8 cannot; a sum of
        # claimed sizes may have more than 64 bits, which orjson cannot.
        return json.dumps(_replace_unwritable(value), ensure_ascii=False, separators=(",", ":")).encode()


def _list_rows(value: object) -> list[object]:
    if isinstance(value, Rows):
        return list(value)
    raise TypeError(type(value).__name__)  # as orjson says of what it does not know


def _replace_unwritable(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, str):
        return escape_path(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_replace_unwritable(key): _replace_unwritable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | Rows):
        return [_replace_unwritable(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value  # as orjson has it: 1e999 is no number
