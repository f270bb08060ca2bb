"""JSON as engines read it: what RFC 8259 leaves open (a key that is repeated, half of a surrogate pair) and some text
that it does not allow mean what they do for Go's decoder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from tarlayers.errors import MalformedInput
from tarlayers.limits import Limits, limit_exceeded

Json = Any
MakeObject = Callable[[list[tuple[str, Json]]], dict[str, Json]]
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{640}")  # the least that int() may be told to stop at
_SPACE = re.compile("[ \t\n\r]*")


def parse_json(raw: bytes, place: str) -> Json:
    """Parse a document whose keys are no fields; MalformedInput names the place when it is no JSON."""
    try:
        return orjson.loads(raw.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return decode_json(raw, place, dict)


def decode_json(raw: bytes, place: str, make_object: MakeObject, *, streamed: bool = False) -> Json:
    """Parse a document, and make each object of all its keys and values, in their order. What follows the first value
    is of no account where the document is `streamed`.
    """
    make = make_object
    if _SURROGATE_ESCAPE.search(raw):
        make = lambda pairs: make_object([(_mend(key), _mend(value)) for key, value in pairs])  # noqa: E731
    read_integer = _read_integer if _LONG_NUMBER.search(raw) else None  # half of what an array of numbers takes
    decoder = json.JSONDecoder(object_pairs_hook=make, parse_int=read_integer, parse_constant=_refuse_constant)
    try:
        text = _decode(raw)
        return decoder.raw_decode(text, _skip_space(text))[0] if streamed else decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise MalformedInput(f"not JSON: {_explain(raw, error)}", place=place) from error


def _explain(raw: bytes, error: Exception) -> Exception:
    """Give what orjson says, which is the clearer."""
    try:
        orjson.loads(raw.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as clearer:
        return clearer
    return error


def _decode(raw: bytes) -> str:
    """Give the text of a document. Bytes that are not UTF-8 become U+FFFD, as for Go: engines take such images."""
    return raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")


def _skip_space(text: str) -> int:
    found = _SPACE.match(text)
    return found.end() if found else 0


def _mend(value: Json) -> Json:
    """Half of a surrogate pair, which only an escape can spell, becomes U+FFFD too."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    return [_mend(item) for item in value] if isinstance(value, list) else value


def _read_integer(digits: str) -> int | float:
    """Read a whole number. Under a key that is no field Go passes over more digits than int() takes."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def measure_depth(raw: bytes, most: int) -> int:
    """Give how many arrays and objects of a document lie inside each other, as far as to the first that is deeper than
    `most`; 0 where there are no more than `most` in all. What is no JSON may be given any depth.
    """
    if raw.count(b"[") + raw.count(b"{") <= most:
        return 0
    depth = deepest = 0
    for match in _BRACKETS.finditer(raw):
        opening = match[0] in b"[{"
        depth += 1 if opening else -1 if match[0] in b"]}" else 0
        deepest = max(deepest, depth)
        if deepest > most:
            break
    return deepest


def check_depth(raw: bytes, limits: Limits, place: str) -> None:
    """Raise LimitExceeded for a document that is nested deeper than is allowed."""
    depth = measure_depth(raw, limits.document_depth)
    if depth > limits.document_depth:
        raise limit_exceeded(limits, "document_depth", f"nested {depth} deep or deeper", place=place)
