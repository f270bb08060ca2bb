"""Where the layer cache of this user is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarlayers.sources.layercache import LayerCache

_VARIABLE = "TARLAYERS_CACHE"
# The caches that the running call has opened, where it says what it does.
_OPENED: ContextVar[list[LayerCache] | None] = ContextVar("opened", default=None)


def find_directory() -> Path | None:
    """Give `TARLAYERS_CACHE`, else `tarlayers` in the user's directory for caches (XDG Base Directory, 0.8).

    None where the variable is empty, which turns the cache off, and where nothing says whose caches these are.
    """
    if _VARIABLE in os.environ:
        given = os.environ[_VARIABLE]
        return Path(given) if given else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # noqa: PTH117 # what is relative has to be ignored, says XDG
        return Path(base) / "tarlayers"
    home = os.environ.get("HOME")
    return Path(home) / ".cache" / "tarlayers" if home else None


def why_off() -> str:
    """Say why there is no directory."""
    return f"{_VARIABLE} is empty" if _VARIABLE in os.environ else "neither HOME nor XDG_CACHE_HOME is set"


def open_cache(tell: Callable[[str], object] | None = None) -> LayerCache | None:
    """Open it; `tell` hears why it cannot be used, of which nothing else is a sign, and at the end of the call how
    much came from it.
    """
    from tarlayers.sources.layercache import LayerCache

    directory = find_directory()
    if directory is None:
        if tell:
            tell(f"no layer cache: {why_off()}")
        return None
    cache = LayerCache(directory, tell=lambda problem: tell(f"no layer cache: {problem}") if tell else None)
    opened = _OPENED.get()
    if tell and opened is not None:
        opened.append(cache)
    return cache


@contextmanager
def telling_served() -> Iterator[None]:
    """Say how many layers came from caches that are opened meanwhile, when the block ends well."""
    opened: list[LayerCache] = []
    token = _OPENED.set(opened)
    try:
        yield
    finally:
        _OPENED.reset(token)
    if served := {digest for cache in opened for digest in cache.served}:
        from tarlayers.cli.outcome import complain
        from tarlayers.nouns import count_noun

        complain(f"{opened[0].path}: {count_noun(len(served), 'layer')} came from this cache")
