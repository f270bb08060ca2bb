"""Which exceptions of a rule hold on a day, and what they allow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase

from tarlayers.formats.glob import match_glob
from tarlayers.formats.policy import Ignore


class Exceptions:
    """The exceptions of one rule that still hold."""

    def __init__(self, ignores: Sequence[Ignore], today: date) -> None:
        self._holding = tuple(ignore for ignore in ignores if not is_expired(ignore, today))

    def __bool__(self) -> bool:
        return bool(self._holding)

    def for_path(self, path: str) -> Ignore | None:
        """Find the exception that allows a path."""
        return next((ig for ig in self._holding if any(match_glob(glob, path) for glob in ig.globs)), None)

    def for_text(self, *texts: str) -> Ignore | None:
        """Find the exception that allows one of these names; in their globs a slash is like any character."""
        return next(
            (ig for ig in self._holding if any(fnmatchcase(text, glob) for glob in ig.globs for text in texts)), None
        )


def is_expired(ignore: Ignore, today: date) -> bool:
    """Say whether its last day is over."""
    return ignore.until is not None and ignore.until < today


def fits_value(patterns: Sequence[str], name: str, value: str) -> str | None:
    """Give the first `NAME` or `NAME=VALUE` pattern that a label or variable fits."""
    for pattern in patterns:
        wanted, equals, content = pattern.partition("=")
        if fnmatchcase(name, wanted) and (not equals or fnmatchcase(value, content)):
            return pattern
    return None
