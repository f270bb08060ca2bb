"""Path patterns, as gitignore and ripgrep have them.

`*` and `?` stay inside one component, `**` spans several, `[a-z]` is a set. A pattern without a slash is
looked for in the last component, one with a slash is held against the whole path.

Paths are anybody's, and one of 64 kB must not cost the square of its length, or worse. So nothing is tried twice. What
stands between two `**` may be taken where it first fits, and what stands between two `*` where it first fits in their
component: what follows can be as far away. Only what stands last is sought from the end, as many components before it
as it has itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

_WILDCARDS = re.compile(r"\*\*/|\*|\?|\[[^\]]+\]|\[.*")
_STAR, _ANY, _DIRECTORIES = "*", "**", "**/"


class _Stretch(NamedTuple):
    """What stands behind a `**`, up to the next: the texts before, between and behind its stars."""

    lead: str
    """`**`, `**/` or, at the start of a pattern, nothing."""
    texts: list[list[str]]

    @property
    def slashes(self) -> int:
        """How many it has, and so whatever fits it has."""
        return sum(text.count("/") for text in self.texts)


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Give a regular expression to `fullmatch` absolute paths with."""
    if "/" not in pattern:
        pattern = f"{_DIRECTORIES}{pattern}"
    elif not pattern.startswith(("/", "**")):
        pattern = f"/{pattern}"
    return re.compile("|".join(map(_translate, _settle_directories(_read_parts(pattern)))))


def find_literal(pattern: str) -> str:
    """Give the longest text that stands in every path that fits the pattern."""
    return max(_WILDCARDS.split(pattern), key=len)


def _read_parts(pattern: str) -> list[str]:
    """Give wildcards as they are, and regular expressions of all else, each of one letter."""
    parts: list[str] = []
    i = 0
    while i < len(pattern):
        wildcard = next((one for one in (_DIRECTORIES, _ANY, _STAR) if pattern.startswith(one, i)), None)
        if wildcard is not None:
            parts.append(wildcard)
            i += len(wildcard)
        elif pattern[i] == "[" and (end := pattern.find("]", i + 2)) > 0:
            parts.append(_translate_set(pattern[i + 1 : end]))
            i = end + 1
        else:
            parts.append("[^/]" if pattern[i] == "?" else re.escape(pattern[i]))
            i += 1
    return parts


def _translate_set(body: str) -> str:
    """A set of letters and ranges, none of which is a slash; nothing is in a range that runs backwards (`[z-a]`)."""
    negated = body[0] in "!^"
    letters = body[negated:]
    members: list[str] = []
    while letters:
        is_range = letters[1:2] == "-" and len(letters) > 2
        first, last = letters[0], letters[2 if is_range else 0]
        letters = letters[3 if is_range else 1 :]
        if first <= last:
            members.append(f"{re.escape(first)}-{re.escape(last)}")
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(members)}]"


def _settle_directories(parts: list[str]) -> list[list[str]]:
    """Give patterns in which every `**/` stands at the start of a component; what fits one of them fits the pattern.

    Behind anything else (`lib**/x`) it is either nothing, or a `**` with a slash behind it.
    """
    found: list[list[str]] = [[]]
    for part in parts:
        if part != _DIRECTORIES:
            found = [[*one, part] for one in found]
            continue
        settled = []
        for one in found:
            before = one[-1] if one else "/"
            if before in ("/", _DIRECTORIES):
                settled.append([*one, part])
            else:
                settled.append(one)
                if before != _ANY:  # which may end in a slash itself
                    settled.append([*one, _ANY, "/"])
        found = settled
    return found


def _translate(parts: list[str]) -> str:
    *stretches, last = _split_stretches(parts)
    return "".join((*map(_find_first, stretches), _find_last(last)))


def _split_stretches(parts: list[str]) -> list[_Stretch]:
    stretches = [_Stretch("", [[]])]
    for part in parts:
        if part in (_ANY, _DIRECTORIES):
            stretches.append(_Stretch(part, [[]]))
        elif part == _STAR:
            stretches[-1].texts.append([])
        else:
            stretches[-1].texts[-1].append(part)
    return stretches


def _find_first(stretch: _Stretch) -> str:
    """Take a stretch where it first fits: in the first component, and there as soon as possible."""
    found = _take(_find_texts(stretch))
    return f"(?>(?:[^/]*+/)*?{found})" if stretch.lead else found


def _find_last(stretch: _Stretch) -> str:
    """Take a stretch that has to end where the path does."""
    *texts, last = _find_texts(stretch)
    found = f"{_take(texts)}{last}"
    if not stretch.lead:
        return found
    if not stretch.slashes:
        return f"(?>(?s:.*/)?){found}"
    return rf"(?>(?s:.*/)?(?=[^/]*+(?:/[^/]*+){{{stretch.slashes}}}\Z)){found}"


def _find_texts(stretch: _Stretch) -> list[str]:
    """Give expressions that find each text of a stretch in the component at hand."""
    first, *others = map("".join, stretch.texts)
    return [f"[^/]*?{first}" if stretch.lead == _ANY else first, *(f"[^/]*?{text}" for text in others)]


def _take(texts: Iterable[str]) -> str:
    """Give an expression that takes texts one after the other, and goes back on none."""
    return "".join(f"(?>{text})" for text in texts if text)


def match_glob(pattern: str, path: str) -> bool:
    """Say whether an absolute path fits the pattern."""
    return compile_glob(pattern).fullmatch(path) is not None
