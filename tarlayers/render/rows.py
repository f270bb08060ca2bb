"""Rows of a JSON document that are made as they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class Rows(Iterable[Mapping[str, Any]]):
    """An array of objects, one for each of some things. A million of them need not be there at once."""

    def __init__(self, things: Iterable[Any], tell: Callable[[Any], Mapping[str, Any]]) -> None:
        self._things = things
        self._tell = tell

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._tell, self._things)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows | list) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as a list: it may be equal to one
