"""dive's CI rules, as its `.dive-ci` file has them.

    rules:
      lowestEfficiency: 0.95
      highestWastedBytes: 20MB
      highestUserWastedPercent: 0.20

The file is YAML. These three values need little of it, so that little is read here (comments, quotes, a mapping in
braces) and anything else is MalformedPolicy at its line, never guessed at. As in dive 0.13.1 keys may be in any
case, a rule that is left out or empty has dive's default, and only the word `disabled` switches one off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tarlayers.errors import MalformedPolicy
from tarlayers.formats.policy import Policy, Rule, RuleKind
from tarlayers.formats.sizes import parse_size

_PAIR = re.compile(r"""( *)(['"]?)([A-Za-z-]+)\2 *:(?: +(.*))?""")
_COMMENT = re.compile(r"(^|\s)#.*$")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


_KINDS = (
    RuleKind("lowestEfficiency", "P040", "ratio", "dive's efficiency is too low"),
    RuleKind("highestWastedBytes", "P041", "bytes", "dive counts too many wasted bytes"),
    RuleKind("highestUserWastedPercent", "P042", "ratio", "dive's wasted part is too high"),
)
DIVE_KINDS = {kind.name: kind for kind in _KINDS}
"""dive's rules, by their names in its file. The last is a ratio, in spite of its name."""

_DEFAULTS = {"lowestEfficiency": "0.9", "highestWastedBytes": "disabled", "highestUserWastedPercent": "0.1"}


def parse_dive_rules(raw: bytes, name: str) -> Policy:
    """Read a `.dive-ci` file: all three rules, in dive's order."""
    by_lower = {key.lower(): key for key in DIVE_KINDS}
    found: dict[str, tuple[str, int]] = {}
    for key, value, line in _read_pairs(raw.decode("utf-8", "replace"), name):
        known = by_lower.get(key.lower())
        if known is None:
            raise _wrong(name, line, f"{key}: no such rule (there are {', '.join(DIVE_KINDS)})")
        if known in found:
            raise _wrong(name, line, f"{key}: is there twice")
        found[known] = value, line
    return Policy(name, tuple(_make_rule(key, found, name) for key in DIVE_KINDS))


def _make_rule(key: str, found: dict[str, tuple[str, int]], name: str) -> Rule:
    text, line = found.get(key, ("", 1))
    text = text or _DEFAULTS[key]
    setting: float | None = None
    if text != "disabled":
        number = DIVE_KINDS[key].unit == "ratio"
        setting = _parse_ratio(text) if number else parse_size(text)
        if setting is None:
            raise _wrong(name, line, f"{key}: {text!r} is no {'ratio from 0 to 1' if number else 'size such as 20MB'}")
    return Rule(DIVE_KINDS[key], setting, (), line)


def _parse_ratio(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else -1.0
    return number if 0 <= number <= 1 else None


def _read_pairs(text: str, name: str) -> Iterator[tuple[str, str, int]]:
    """Yield each key below `rules` with its value and line."""
    inside = False
    indent: str | None = None
    for line, written in enumerate(text.splitlines(), 1):
        bare = _COMMENT.sub("", written).rstrip()
        if not bare or bare in ("---", "..."):
            continue
        pair = _PAIR.fullmatch(bare)
        if pair is None:
            raise _wrong(name, line, "expected one `key: value` a line")
        depth, _, key, value = pair.groups(default="")
        if not depth:
            if key.lower() != "rules":
                raise _wrong(name, line, f"{key}: expected rules")
            inside = True
            yield from _read_braces(value, name, line)
        elif not inside or indent not in (None, depth):
            raise _wrong(name, line, f"{key}: indented otherwise than the line above")
        else:
            indent = depth
            yield key, _unquote(value, name, line), line


def _read_braces(text: str, name: str, line: int) -> Iterator[tuple[str, str, int]]:
    """`{lowestEfficiency: 0.95, ...}` on the line of `rules`."""
    if not text:
        return
    if not (text.startswith("{") and text.endswith("}")):
        raise _wrong(name, line, "rules: expected the three rules")
    for part in text[1:-1].split(","):
        if part.strip():
            pair = _PAIR.fullmatch(part.strip())
            if pair is None:
                raise _wrong(name, line, "expected `key: value`")
            yield pair[3], _unquote(pair[4] or "", name, line), line


def _unquote(value: str, name: str, line: int) -> str:
    value = value.strip()
    if value[:1] in ("'", '"'):
        if len(value) < 2 or value[-1] != value[0] or value[0] in value[1:-1] or "\\" in value:
            raise _wrong(name, line, f"{value}: a quote that is not closed, or something escaped")
        return value[1:-1]
    if value[:1] in ("&", "*", "!", "|", ">", "%", "@", "`", "[", "{"):
        raise _wrong(name, line, f"{value}: expected a number, a size or `disabled`")
    return "" if value in ("~", "null") else value


def _wrong(name: str, line: int, message: str) -> MalformedPolicy:
    return MalformedPolicy(message, place=f"{name}:{line}")
