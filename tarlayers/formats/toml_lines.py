"""On which line of a TOML document each key stands: tomllib reads values and forgets where they were.

The document is one that tomllib has accepted, so only as much of the grammar (TOML 1.0) is read as tells keys
from values: strings, comments, brackets and the equals sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_END = ""

KeyPath = tuple[str | int, ...]
"""Keys from the root; elements of arrays by their number."""

_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[ \t\r]+"
    r"|\[\[|\]\]|[\[\]{}=,.\n]"
    r"""|[^\s\[\]{}=,."'#]+""",
    re.DOTALL,
)


def locate_keys(text: str) -> Mapping[KeyPath, int]:
    """Give the line, from 1, of every table, key and array element of a valid document."""
    return _Scan(text).run()


class _Scan:
    """Pieces of a document and how far they are read."""

    def __init__(self, text: str) -> None:
        self._pieces: list[tuple[str, int]] = []
        line = 1
        for match in _PIECE.finditer(text):
            piece = match[0]
            if piece[0] not in "# \t\r":
                self._pieces += [(half, line) for half in piece] if piece in ("[[", "]]") else [(piece, line)]
            line += piece.count("\n")
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}

    def run(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._at < len(self._pieces):
            piece = self._peek()
            if piece == "\n":
                self._at += 1
            elif piece == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._pieces[self._at][0] if self._at < len(self._pieces) else _END

    def _note(self, path: KeyPath) -> None:
        line = self._pieces[min(self._at, len(self._pieces) - 1)][1]
        for end in range(1, len(path) + 1):
            self._lines.setdefault(path[:end], line)

    def _header(self) -> KeyPath:
        """`[table]`, or `[[array of tables]]`, of which the keys' last elements are meant from then on."""
        depth = 0
        while self._peek() == "[":
            self._at += 1
            depth += 1
        start = self._at
        path = self._latest(self._keys())
        self._at, end = start, self._at
        if depth > 1:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            self._note((*path, number))
            path = (*path, number)
        else:
            self._note(path)
        self._at = end + depth
        return path

    def _latest(self, keys: KeyPath) -> KeyPath:
        """Walk into the last element of every array of tables on the way, the last key's own left out."""
        path: KeyPath = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            if i < len(keys) - 1 and path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _keys(self) -> KeyPath:
        keys: list[str | int] = []
        while self._peek() not in ("=", "]", "\n", _END):
            piece = self._peek()
            if piece != ".":
                keys.append(_unquote(piece))
            self._at += 1
        return tuple(keys)

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = (*table, *self._keys())
        self._at, end = start, self._at
        self._note(path)
        self._at = end + 1  # past the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening not in ("[", "{"):
            while self._peek() not in ("\n", ",", "]", "}", _END):
                self._at += 1
            return
        self._at += 1
        number = 0
        while (piece := self._peek()) not in ("]", "}", _END):
            if piece in ("\n", ","):
                self._at += 1
            elif opening == "{":
                self._pair(path)
            else:
                self._note((*path, number))
                self._value((*path, number))
                number += 1
        self._at += 1


def _unquote(piece: str) -> str:
    if piece[0] == "'":
        return piece[1:-1]
    if piece[0] == '"':
        return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", _unescape, piece[1:-1])
    return piece


def _unescape(match: re.Match[str]) -> str:
    if match[3] is None:
        return chr(int(match[1] or match[2], 16))
    return {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}.get(match[3], match[3])
