"""Path patterns, as gitignore and ripgrep have them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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


def spread(pattern: str, path: str) -> bool:
    """Match by trying everything: the wildcards are what the first lines of glob.py say."""
    if not pattern:
        return not path
    ends = range(len(path) + 1)
    if pattern.startswith("**/"):
        return spread(pattern[3:], path) or any(spread(pattern[3:], path[i:]) for i in ends if path[i - 1 : i] == "/")
    if pattern.startswith("**"):
        return any(spread(pattern[2:], path[i:]) for i in ends)
    if pattern[0] == "*":
        return any(spread(pattern[1:], path[i:]) for i in ends if "/" not in path[:i])
    fits = path[:1] not in ("", "/") if pattern[0] == "?" else path[:1] == pattern[0]
    return fits and spread(pattern[1:], path[1:])


PARTS = st.lists(st.sampled_from(["a", "b", "*", "**", "**/", "/", "?", "/**/", "/*"]), min_size=1, max_size=8)


@settings(max_examples=1000)
@given(PARTS.map("".join), st.lists(st.text("aab/", max_size=8), min_size=1, max_size=9))
def test_it_fits_what_it_says(pattern: str, names: list[str]) -> None:
    whole = pattern if pattern.startswith("/") else f"/{pattern}" if "/" in pattern else f"**/{pattern}"
    if pattern.startswith("**"):
        whole = pattern if "/" in pattern else f"**/{pattern}"
    for name in names:
        assert match_glob(pattern, f"/{name}") == spread(whole, f"/{name}"), name


@pytest.mark.parametrize(
    "pattern",
    ["**/a/**/b", "**/a/**/a/**/a/**/b", "**a**a**a**b", "*a*a*a*a*b", "a**/a**/b", "**/*a*/**/*b", "/**/*/**/*/**/b"],
)
@pytest.mark.parametrize("path", ["/a" * 32_000 + "/c", "/" + "a" * 64_000, "/" + "ab/" * 20_000, "/a/" * 20_000 + "c"])
def test_a_hostile_path_is_no_trap(pattern: str, path: str) -> None:
    """A millisecond each. Where wildcards go back on what they took, most of these take minutes."""
    assert not match_glob(pattern, path)


@given(st.text(alphabet="a-z[]!^\\*?/&|~", max_size=12))
def test_any_pattern_can_be_asked(pattern: str) -> None:
    match_glob(pattern, "/a/b")
