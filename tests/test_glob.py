"""Path patterns, as gitignore and ripgrep have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.formats.glob import find_literal, match_glob

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
def test_a_path_that_fits_has_the_literal_in_it(pattern: str, path: str) -> None:
    assert find_literal(pattern) in path


@given(st.text("a[]!-*?/", min_size=1, max_size=9), st.text("a[]!-/", min_size=1, max_size=9))
def test_the_literal_is_in_whatever_fits(pattern: str, name: str) -> None:
    assert not match_glob(pattern, f"/{name}") or find_literal(pattern) in f"/{name}"


def test_literals() -> None:
    found = [find_literal(pattern) for pattern in ("**/.aws/sso/cache/*.json", "*.pem", "[ab]x", "**", "id_rsa")]
    assert found == [".aws/sso/cache/", ".pem", "x", "", "id_rsa"]


@pytest.mark.parametrize(("pattern", "path"), FITS)
def test_fits(pattern: str, path: str) -> None:
    assert match_glob(pattern, path)


@pytest.mark.parametrize(("pattern", "path"), MISSES)
def test_misses(pattern: str, path: str) -> None:
    assert not match_glob(pattern, path)


@given(st.text(alphabet="a-z[]!^\\*?/&|~", max_size=12))
def test_any_pattern_can_be_asked(pattern: str) -> None:
    match_glob(pattern, "/a/b")
