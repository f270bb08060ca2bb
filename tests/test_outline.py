"""Layers of which a part can be had: what they are about, and what layers above them reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers import LayerCache, open_images
from tarlayers.analysis.diff import ImageDiff, diff_images
from tarlayers.entry import Entry
from tarlayers.layer import LayerIndex, index_layer
from tarlayers.limits import DEFAULT_LIMITS
from tarlayers.merging.engine import OutlinedLayer, merge_forks, merge_layers, merge_reached
from tarlayers.outline import Outline, Ties, outline_entries, tie_entries
from tarlayers.rootfs import RootFS, differing_paths
from tarlayers.stores.cachedstore import CachedStore
from tarlayers.stores.layerfile import decode_outline, encode_layer
from tests import build
from tests.build import Member, device, directory, fifo, file, hardlink, layer, opaque, symlink, whiteout, xattrs
from tests.strategies import LAYER, ORDERLY

D, E = directory("d"), directory("d/e")


def index(*members: Member) -> LayerIndex:
    return index_layer([layer(*members)], hashed=False)


def outline(found: LayerIndex) -> Outline:
    made = outline_entries(found.entries)
    assert made is not None
    return made


ORDERLY_LAYERS: dict[str, tuple[list[Member], Ties]] = {
    "nothing": ([], Ties([], [], [])),
    "the root alone": ([directory("./"), directory("./")], Ties([], [], [])),
    "files and directories": ([D, file("d/f"), E, file("d/e/f"), file("f")], Ties([], [], [])),
    "links to anywhere": ([D, symlink("d/l", "../../x"), symlink("l", "/d")], Ties([], [], [])),
    "other types": ([fifo("p"), device("c", 1, 0), device("b", 0, 0, "block")], Ties([], [], [])),
    "attributes and odd numbers": ([xattrs(file("f"), trusted_a=b"1"), file("g", uid=-1, mtime=-2)], Ties([], [], [])),
    "markers": ([D, whiteout("d/x"), opaque("d"), whiteout("y"), E], Ties([1, 2, 3], [], [])),
    "an opaque root": ([opaque(), D], Ties([0], [], [])),
    "hard links": (
        [file("f"), hardlink("g", "f"), D, hardlink("d/h", "/g"), hardlink("d/i", "./f")],
        Ties([], [1, 3, 4], [0, 1, 0]),
    ),
    "a hard link to a symlink": ([symlink("l", "x"), hardlink("m", "l")], Ties([], [1], [0])),
    "a long name": ([file("n" * 255)], Ties([], [], [])),
}


@pytest.mark.parametrize("name", ORDERLY_LAYERS)
def test_what_is_orderly(name: str) -> None:
    members, ties = ORDERLY_LAYERS[name]
    assert tie_entries(index(*members).entries) == ties


DISORDERLY: dict[str, list[Member]] = {
    "a parent that is not listed": [file("d/f")],
    "a parent that is listed later": [file("d/f"), D],
    "a parent that is a file": [file("d"), file("d/f")],
    "a parent that is a link": [D, symlink("l", "d"), file("l/f")],
    "a name twice": [file("f"), file("f")],
    "a directory twice": [D, D],
    "what the layer hides itself": [file("f"), whiteout("f")],
    "what the layer hid before": [whiteout("f"), file("f")],
    "a marker twice": [whiteout("f"), whiteout("f")],
    "a marker of nothing": [file(".wh.")],
    "a device that is a whiteout": [device("c", 0, 0)],
    "a device that is one once its numbers are cut": [device("c", 4096, 0)],
    "a hard link to nothing": [hardlink("h", "f")],
    "a hard link to itself": [hardlink("h", "h")],
    "a hard link to what comes later": [hardlink("h", "f"), file("f")],
    "a hard link to a directory": [D, hardlink("h", "d")],
    "a hard link through the parent": [D, file("f"), hardlink("h", "d/../f")],
    "a hard link through a link": [D, file("d/f"), symlink("l", "d"), hardlink("h", "l/f")],
    "a hard link to a name with a slash": [file("f"), hardlink("h", "f/")],
    "a symlink to nothing": [symlink("l", "")],
    "a symlink to too much": [symlink("l", "x" * 4096)],
    "a name that is too long": [file("é" * 128)],
    "attributes that cannot be": [xattrs(file("f"), system_posix_acl_access=b"1")],
    "attributes that cannot be, of a link": [file("f"), xattrs(hardlink("h", "f"), security_capability=b"1")],
    "a global header": [Member("g", "g", b"17 comment=hello\n")],
    "an unknown type": [Member("u", "Z")],
    "a contiguous file": [Member("f", "7")],
}


@pytest.mark.parametrize("name", DISORDERLY)
def test_what_is_not(name: str) -> None:
    found = index(*DISORDERLY[name])
    assert outline_entries(found.entries) is None
    assert decode_outline(encode_layer(found)) is None


def test_markers_are_about_what_they_hide() -> None:
    found = outline(index(D, whiteout("d/x"), opaque("d"), opaque(), file("f")))
    assert found.paths == ["/d", "/d/x", "/d", "", "/f"]
    assert found.directories == ["/d"]


@given(st.one_of(LAYER, ORDERLY), st.data())
def test_what_is_kept_of_a_layer_has_its_outline_and_its_entries(data: bytes, drawn: st.DataObject) -> None:
    found = index_layer([data], hashed=False)
    expected, kept = outline_entries(found.entries), decode_outline(encode_layer(found))
    if expected is None or kept is None:
        assert expected is kept
        return
    assert kept[:3] == expected[:3]
    places = sorted(drawn.draw(st.sets(st.sampled_from(range(len(found.entries))))) if found.entries else ())
    assert kept.select(places) == expected.select(places) == tuple(found.entries[place] for place in places)


@given(ORDERLY, st.booleans())
def test_engines_refuse_nothing_of_an_orderly_layer(data: bytes, first: bool) -> None:
    found = index_layer([data], hashed=False)
    if tie_entries(found.entries) is not None:
        assert not merge_layers([found] if first else [index(), found]).refused


# -- what is reached ---------------------------------------------------------------------------------

Seen = dict[str, list[tuple[Entry, int, tuple[str, ...]] | None]]


def show(roots: Sequence[RootFS]) -> Seen:
    """Every path that differs, as both have it, with the other names of its inode."""
    return {path: [see(root, path) for root in roots] for path in differing_paths(roots[0], roots[1])}


def see(root: RootFS, path: str) -> tuple[Entry, int, tuple[str, ...]] | None:
    node = root.find_node(path)
    return node and (node.entry, node.layer, root.links_of(path))


def merge_part(base: Sequence[LayerIndex], *stacks: Sequence[LayerIndex]) -> tuple[RootFS, ...] | None:
    outlines = [outline_entries(each.entries) for each in base]
    outlined = [OutlinedLayer("layer", DEFAULT_LIMITS, each) for each in outlines if each is not None]
    return merge_reached(outlined, *stacks) if len(outlined) == len(base) else None


STACKS = st.lists(st.one_of(ORDERLY, ORDERLY, LAYER), max_size=2)


@settings(max_examples=400)
@given(st.lists(ORDERLY, min_size=1, max_size=3), STACKS, STACKS)
def test_what_is_reached_is_all_that_differs(base: list[bytes], old: list[bytes], new: list[bytes]) -> None:
    stacks = [[index_layer([data], hashed=False) for data in stack] for stack in (base, old, new)]
    part = merge_part(*stacks)
    if part is None:
        return
    whole = merge_forks(*stacks)
    assert show(part) == show(whole)
    assert not any(root.refused for root in (*whole, *part))


THREE = [file("1"), hardlink("2", "1"), hardlink("3", "2")]
BASE = [*THREE, D, file("d/f", b"1"), E, file("d/e/g", b"2"), file("x", b"3"), hardlink("y", "x"), symlink("l", "d")]
REACHED: dict[str, tuple[list[Member], set[str]]] = {
    "nothing": ([], set()),
    "one file": ([D, file("d/f", b"new")], {"/d", "/d/f"}),
    "a new file": ([D, file("d/new")], {"/d"}),
    "a name of two": ([whiteout("x")], {"/x", "/y"}),
    "a name of three": ([file("1")], {"/1", "/2", "/3"}),
    "a directory that goes": ([D, whiteout("d/e")], {"/d", "/d/e", "/d/e/g"}),
    "an opaque directory": ([D, opaque("d")], {"/d", "/d/f", "/d/e", "/d/e/g"}),
    "a directory that is replaced": ([file("d")], {"/d", "/d/f", "/d/e", "/d/e/g"}),
    "an opaque root, which engines ignore": ([opaque(), file("new")], set()),
}


@pytest.mark.parametrize("name", REACHED)
def test_how_far_layers_reach(name: str) -> None:
    members, reached = REACHED[name]
    part = merge_part([index(*BASE)], [], [index(*members)])
    assert part is not None
    assert set(part[0]) == reached


UNTOLD: dict[str, tuple[list[Member], list[Member]]] = {
    "an implied directory has what a lower layer says of it": (BASE, [file("d/new")]),
    "a layer that is refused is put on the layers below": (BASE, [hardlink("h", "d/f")]),
    "a base that is not orderly": ([file("d/f")], [file("new")]),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_what_the_layers_above_do_not_tell(name: str) -> None:
    base, members = UNTOLD[name]
    assert merge_part([index(*base)], [], [index(*members)]) is None


# -- the command's way -------------------------------------------------------------------------------


def diffed(place: Path, layers: Sequence[Sequence[bytes]], cache: LayerCache | None, **options: Any) -> ImageDiff:
    """Compare two images of gzipped layers, each in an archive of its own."""
    images = []
    for number, stack in enumerate(layers):
        archive = place / f"{number}.tar"
        if not archive.exists() or archive.read_bytes() != build.archive("oci-gzip", build.image(*stack)):
            archive.write_bytes(build.archive("oci-gzip", build.image(*stack)))
        images.append(open_images(archive, cache=cache).images[0])
    return diff_images(images[0], images[1], **options)


def new_cache(path: Path) -> LayerCache:
    return LayerCache(path, least_bytes=0, settled=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(ORDERLY, ORDERLY, LAYER), min_size=1, max_size=3), STACKS, STACKS, st.booleans())
def test_diff_answers_the_same_from_the_cache(
    tmp_path_factory: pytest.TempPathFactory, base: list[bytes], old: list[bytes], new: list[bytes], mtime: bool
) -> None:
    path = tmp_path_factory.mktemp("pair")
    layers = [[*base, *old], [*base, *new]]
    expected = diffed(path, layers, None, mtime=mtime)
    cache = new_cache(path / "cache")
    assert [diffed(path, layers, cache, mtime=mtime) for _ in range(2)] == [expected] * 2


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers of which all entries were asked for."""
    names: list[str] = []
    index_one = CachedStore.index

    def note(store: CachedStore, name: str, *asked: Any) -> LayerIndex:
        names.append(name)
        return index_one(store, name, *asked)

    monkeypatch.setattr(CachedStore, "index", note)
    return names


def test_entries_of_kept_layers_are_made_where_they_are_reached_alone(tmp_path: Path, read: list[str]) -> None:
    base = [layer(*BASE), layer(file("z"))]
    layers = [[*base, layer(whiteout("x"))], [*base, layer(file("new"))]]
    cache = new_cache(tmp_path / "cache")
    first = diffed(tmp_path, layers, cache)
    assert len(set(read)) == 4
    read.clear()
    assert diffed(tmp_path, layers, cache) == first
    assert len(set(read)) == 2
    read.clear()
    # Links may lead to the path, and the image-spec's rule follows those of lower layers.
    for options in ({"path": "/l"}, {"engine": "oci"}):
        diffed(tmp_path, layers, cache, **options)
        assert len(set(read)) == 4
        read.clear()


def test_layers_too_small_to_be_kept_are_read_and_the_others_are_not(tmp_path: Path, read: list[str]) -> None:
    large = layer(*(file(f"{number:04}", mtime=number) for number in range(500)))
    layers = [[large, layer(D)], [large, layer(D), layer(file("new"))]]
    cache = LayerCache(tmp_path / "cache", settled=0)
    expected = diffed(tmp_path, layers, cache)
    assert len(set(read)) == 3
    read.clear()
    assert diffed(tmp_path, layers, cache) == expected
    assert len(set(read)) == 2
