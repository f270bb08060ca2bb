"""Path patterns, as gitignore and ripgrep have them.

`*` and `?` stay inside one component, `**` spans several, `[a-z]` is a set. A pattern without a slash is
looked for in the last component, one with a slash is held against the whole path.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WILDCARDS = re.compile(r"\*\*/|\*|\?|\[[^\]]+\]|\[.*")


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Give a regular expression to `fullmatch` absolute paths with."""
    if "/" not in pattern:
        return re.compile(r"(?s:.*/)?" + _translate(pattern))
    anchored = pattern if pattern.startswith(("/", "**")) else f"/{pattern}"
    return re.compile(_translate(anchored))


def find_literal(pattern: str) -> str:
    """Give the longest text that stands in every path that fits the pattern."""
    return max(_WILDCARDS.split(pattern), key=len)


def _translate(pattern: str) -> str:
    out: list[str] = []
    i = 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out.append(r"(?s:.*/)?")
            i += 3
        elif pattern.startswith("**", i):
            out.append(r"(?s:.*)")
            i += 2
        elif pattern[i] == "[" and (end := pattern.find("]", i + 2)) > 0:
            out.append(_translate_set(pattern[i + 1 : end]))
            i = end + 1
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[i], re.escape(pattern[i])))
            i += 1
    return "".join(out)


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


def match_glob(pattern: str, path: str) -> bool:
    """Say whether an absolute path fits the pattern."""
    return compile_glob(pattern).fullmatch(path) is not None
