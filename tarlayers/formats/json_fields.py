"""The fields of JSON documents as Go's decoder fills them, for that is how engines read all of these.

A key is the field's that is spelled so, in whatever case. Where several keys of an object are one field's each is
decoded into what is there already, in the order of the document: a struct or a map keeps what the later one does not
give, a text is kept where the later one is null, and the elements of an array are decoded over those of the one
before (encoding/json decode.go; golang/go#21092). Keys of maps are no fields: they stand as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarlayers.errors import MalformedInput
from tarlayers.formats.json_text import Json, decode_json

_LONG_S = "\u017f"
Repeated = dict[str, None]
"""Keys that stood for what another key of the same object had given before."""


class Field:
    """A text, a number or a truth: null leaves it as it is."""

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:  # noqa: ARG002 # others note keys
        """Give what the field holds once a value is decoded over what is `known`, which may be altered."""
        return known if value is None else value


class Pointer(Field):
    """What is replaced, also by null: a time, bytes."""

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:  # noqa: ARG002 # as above
        """Give the value."""
        return value


class Struct(Field):
    """An object of fields. Keys that are none of them stay as they are."""

    def __init__(self, fields: dict[str, Field], *, pointer: bool = False) -> None:
        self.fields = fields
        self._pointer = pointer
        self._names = {_fold(name): name for name in fields}

    def or_null(self) -> Struct:
        """Give the same as a pointer: null takes away what was there."""
        return Struct(self.fields, pointer=True)

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:
        """Decode each key into its field."""
        if not isinstance(value, dict):
            return known if value is None and not self._pointer else value
        filled = known if isinstance(known, dict) else {}
        seen: set[str] = set()
        for key, item in _list_pairs(value):
            name = key if key in self.fields else self._names.get(_fold(key))
            if name is None:
                filled[key] = item
                continue
            if name in seen:
                repeated[key] = None
            seen.add(name)
            filled[name] = self.fields[name].fill(item, filled.get(name), repeated)
        return filled


class MapOf(Field):
    """An object of any keys: what they hold is replaced, and a later object adds to an earlier one."""

    def __init__(self, inner: Field) -> None:
        self._inner = inner

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:
        """Take in each key."""
        if not isinstance(value, dict):
            return value
        filled = known if isinstance(known, dict) else {}
        for key, item in value.items():
            filled[key] = self._inner.fill(item, None, repeated)
        return filled


class _Array(list[Json]):
    """The elements of an array, and those that an earlier and longer one has left behind them."""

    def __init__(self, elements: Iterable[Json], room: list[Json]) -> None:
        super().__init__(elements)
        self.room = room


class ListOf(Field):
    """An array."""

    def __init__(self, inner: Field) -> None:
        self._inner = inner

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:
        """Decode each element over the one that was there; an empty array leaves none behind."""
        if not isinstance(value, list) or not value:
            return value
        room = known.room if isinstance(known, _Array) else known if isinstance(known, list) else []
        for i, item in enumerate(value):
            if i < len(room):
                room[i] = self._inner.fill(item, room[i], repeated)
            else:
                room.append(self._inner.fill(item, None, repeated))
        return room if len(room) == len(value) else _Array(room[: len(value)], room)


class OneOf(Field):
    """What is read in two ways, by whether it is an array."""

    def __init__(self, array: Field, other: Field) -> None:
        self._array = array
        self._other = other

    def fill(self, value: Json, known: Json, repeated: Repeated) -> Json:
        """Decode it as what it is."""
        return (self._array if isinstance(value, list) else self._other).fill(value, known, repeated)


class _Repeating(dict[str, Json]):
    """An object that has a key twice, and all that it has."""

    def __init__(self, pairs: list[tuple[str, Json]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _make_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeating(pairs)


def _list_pairs(value: dict[str, Json]) -> Iterable[tuple[str, Json]]:
    return value.pairs if isinstance(value, _Repeating) else value.items()


def _fold(key: str) -> str:
    """Fold a key as Go does, character by character: the long s is an `s` and the Kelvin sign a `k`, which `lower`
    knows, but a ligature is no two letters.
    """
    return key.lower().replace(_LONG_S, "s")


def parse_fields(raw: bytes, place: str, shape: Field, *, streamed: bool = False) -> Json:
    """Parse a document of these fields; MalformedInput names the place when it is no JSON. What is `streamed` engines
    decode as it comes, and look at nothing that follows the first value.
    """
    return shape.fill(decode_json(raw, place, _make_object, streamed=streamed), None, {})


def find_repeated_keys(raw: bytes, shape: Field) -> tuple[str, ...]:
    """Give the keys that an object of a document has twice, exactly or, of fields, but for upper and lower case."""
    repeated: Repeated = {}

    def make_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = _make_object(pairs)
        seen: set[str] = set()
        for key, _ in pairs if isinstance(found, _Repeating) else ():
            if key in seen:
                repeated[key] = None
            seen.add(key)
        return found

    try:
        shape.fill(decode_json(raw, "", make_object, streamed=True), None, repeated)
    except MalformedInput:
        return ()
    return tuple(repeated)
