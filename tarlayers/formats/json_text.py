"""JSON as engines read it: what RFC 8259 leaves open (a key that is repeated, half of a surrogate pair) and some text
that it does not allow mean what they do for Go's decoder.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from tarlayers.errors import MalformedInput

Json = Any
_KNOWN_KEYS = frozenset(
    (
        "annotations", "artifacttype", "config", "created_by", "diff_ids", "digest", "empty_layer", "history", "layers",
        "layersources", "manifests", "mediatype", "platform", "repotags", "rootfs", "size", "subject", "urls",
    )
)  # fmt: skip
"""Keys of the specifications, in lower case."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_json(raw: bytes, place: str) -> Json:
    """Parse a document; MalformedInput names the place when it is no JSON."""
    try:
        return orjson.loads(raw.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(_decode(raw), object_pairs_hook=_mend_object, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise MalformedInput(f"not JSON: {error}", place=place) from error


def _decode(raw: bytes) -> str:
    """Give the text of a document. Bytes that are not UTF-8 become U+FFFD, as for Go: engines take such images."""
    return raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")


def _mend_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    return {_mend(key): _mend(value) for key, value in pairs}


def _mend(value: Json) -> Json:
    """Half of a surrogate pair, which only an escape can spell, becomes U+FFFD too."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    return [_mend(item) for item in value] if isinstance(value, list) else value


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


def find_repeated_keys(raw: bytes) -> tuple[str, ...]:
    """Give the keys that some object of a document has twice, exactly or, of keys that the specifications know, but for
    upper and lower case. Here as in Go the last of equal keys counts, but Go takes either case for the same key.
    """
    repeated: dict[str, None] = {}

    def note(pairs: list[tuple[str, Json]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            spelled = key.lower() if key.lower() in _KNOWN_KEYS else key
            if spelled in seen:
                repeated[key] = None
            seen.add(spelled)

    try:
        json.loads(_decode(raw), object_pairs_hook=note)
    except (ValueError, RecursionError):
        return ()
    return tuple(repeated)
