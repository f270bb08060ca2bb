"""Path patterns, as gitignore and ripgrep have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.formats.glob import match_glob

FITS = [
    ("*.py", "/srv/app/views.py"),
    ("sh", "/usr/bin/sh"),
    ("/usr/bin/*", "/usr/bin/sh"),
    ("usr/bin/*", "/usr/bin/sh"),
    ("**/bin/sh", "/usr/bin/sh"),
    ("/usr/**", "/usr/lib/x/y"),
    ("[ps]*", "/etc/passwd"),
    ("[!s]hadow", "/etc/xhadow"),
    ("[a^]x", "/^x"),
    ("[[]x", "/[x"),
    ("[]]x", "/]x"),
    ("[", "/etc/["),
    ("[a-c-]x", "/-x"),
    ("[+--]x", "/-x"),
    ("[!z-a]x", "/bx"),
    ("?.c", "/a/b.c"),
    ("a\\b", "/a\\b"),
]
MISSES = [
    ("*.py", "/srv/app/views.pyc"),
    ("/usr/*", "/usr/bin/sh"),
    ("bin/sh", "/usr/bin/sh"),
    ("/usr[!x]bin", "/usr/bin"),
    ("/usr?bin", "/usr/bin"),
    ("[z-a]", "/m"),
]


@pytest.mark.parametrize(("pattern", "path"), FITS)
def test_fits(pattern: str, path: str) -> None:
    assert match_glob(pattern, path)


@pytest.mark.parametrize(("pattern", "path"), MISSES)
def test_misses(pattern: str, path: str) -> None:
    assert not match_glob(pattern, path)


@given(st.text(alphabet="a-z[]!^\\*?/&|~", max_size=12))
def test_any_pattern_can_be_asked(pattern: str) -> None:
    match_glob(pattern, "/a/b")
