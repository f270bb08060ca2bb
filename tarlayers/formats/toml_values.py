"""TOML values that know their line: what is wrong with one is MalformedPolicy at `FILE:LINE`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from tarlayers.errors import MalformedPolicy
from tarlayers.formats.toml_lines import KeyPath, locate_keys

_INT64 = 1 << 63
_TYPES = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "a table"}


class TomlDocument:
    """One file: its name, its text and its values."""

    def __init__(self, raw: bytes, name: str) -> None:
        self.name = name
        try:
            self._text = raw.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise MalformedPolicy("not UTF-8", place=f"{name}:{line}") from error
        try:
            self._root = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            # What it says ends in "(at line 3, column 7)" or "(at end of document)".
            message, _, where = str(error).partition(" (at ")
            line = int(found[1]) if (found := re.match(r"line (\d+)", where)) else self._text.count("\n") + 1
            raise MalformedPolicy(f"not TOML: {message}", place=f"{name}:{line}") from error
        except (RecursionError, ValueError) as error:
            raise MalformedPolicy("nested too deep, or a number of too many digits", place=name) from error

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return locate_keys(self._text)

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of what holds it."""
        known = (self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines)
        return next(known, 1)

    @property
    def root(self) -> TomlValue:
        """The table that is the whole document."""
        return TomlValue(self._root, (), self)


class TomlValue:
    """A value, and what it is called."""

    def __init__(self, value: Any, path: KeyPath, document: TomlDocument) -> None:  # noqa: ANN401 # any TOML value
        self.value = value
        self._path = path
        self._document = document

    @property
    def line(self) -> int:
        """Of its key, from 1."""
        return self._document.line(self._path)

    def wrong(self, message: str) -> MalformedPolicy:
        """Say what is wrong with it, and where it stands."""
        keys = ".".join(key for key in self._path if isinstance(key, str))
        return MalformedPolicy(f"{keys}: {message}" if keys else message, place=f"{self._document.name}:{self.line}")

    def _not(self, wanted: str) -> MalformedPolicy:
        return self.wrong(f"expected {wanted}, not {_describe(self.value)}")

    def find(self, path: Sequence[str]) -> TomlValue | None:
        """The value at a path of keys below a table; None where there is none."""
        value: Any = self.value
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return TomlValue(value, (*self._path, *path), self._document)

    def members(self, known: Sequence[str], what: str) -> dict[str, TomlValue]:
        """The values of a table, all of whose keys have to be known."""
        if not isinstance(self.value, dict):
            raise self._not("a table")
        found = {key: TomlValue(value, (*self._path, key), self._document) for key, value in self.value.items()}
        for key, value in found.items():
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise value.wrong(f"no such {what} ({hint})")
        return found

    @property
    def is_table(self) -> bool:
        """Whether it has keys."""
        return isinstance(self.value, dict)

    @property
    def is_array_of_tables(self) -> bool:
        """Whether it is an array that holds tables and nothing else."""
        return isinstance(self.value, list) and bool(self.value) and all(isinstance(x, dict) for x in self.value)

    def elements(self) -> list[TomlValue]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            raise self._not("an array")
        return [TomlValue(value, (*self._path, i), self._document) for i, value in enumerate(self.value)]

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self._not("a text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """An array of texts."""
        return tuple(element.text() for element in self.elements())

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self._not("true or false")
        return self.value

    def number(self) -> int | float:
        """A number that is finite and not negative."""
        number = self.value
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise self._not("a number that is not negative")
        if isinstance(number, int) and number >= _INT64:
            raise self.wrong("a number of more than 64 bits, which TOML does not have")
        return number

    def whole(self) -> int:
        """A whole number that is not negative."""
        number = self.number()
        if not isinstance(number, int):
            raise self._not("a whole number")
        return number

    def day(self) -> date:
        """A date without a time."""
        if not isinstance(self.value, date) or isinstance(self.value, datetime):
            raise self._not("a date such as 2027-01-31 without quotes")
        return self.value


def _describe(value: object) -> str:
    if isinstance(value, str | bool | int | float):
        return repr(value) if not isinstance(value, bool) else str(value).lower()
    return _TYPES.get(type(value), "a date or time")
