"""Where an error came up: each place is named, and once."""

from __future__ import annotations

import pytest

from tarlayers.errors import MalformedInput, naming


@pytest.mark.parametrize(
    ("outer", "place", "said"),
    [
        ("a.tar", "", "a.tar: bad"),
        ("a.tar", "layer.tar", "a.tar: layer.tar: bad"),
        ("a.tar", "a.tar", "a.tar: bad"),
        ("a.tar", "a.tar: layer.tar", "a.tar: layer.tar: bad"),
        ("a.tar", "dir/a.tar: layer.tar", "dir/a.tar: layer.tar: bad"),
        ("a.tar", "layer.tar: opt/a.tar", "a.tar: layer.tar: opt/a.tar: bad"),
        ("a.tar", "a.tar.gz", "a.tar: a.tar.gz: bad"),
        ("a", "abc: layer.tar", "a: abc: layer.tar: bad"),
        ("what: is this", "what: is this: layer.tar", "what: is this: layer.tar: bad"),
        ("layout", "layout/index.json", "layout/index.json: bad"),
        ("layout/", "layout/index.json", "layout/index.json: bad"),
        ("layout", "layout-2/index.json", "layout: layout-2/index.json: bad"),
        ("blobs/sha256/ab", "layout/blobs/sha256/ab", "layout/blobs/sha256/ab: bad"),
    ],
)
def test_a_place_is_named_once(outer: str, place: str, said: str) -> None:
    with pytest.raises(MalformedInput) as caught, naming(outer):
        raise MalformedInput("bad", place=place)
    assert str(caught.value) == said
