"""Merging where its shortest way ends: the longest names, odd numbers in a row, directories that trees share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers.entry import Entry
from tarlayers.layer import LayerIndex, index_layer
from tarlayers.merging.engine import ENGINES, merge_forks, merge_layers, visit_layers
from tarlayers.merging.tree import Directory
from tarlayers.rootfs import Node, RootFS
from tests.build import Member, device, directory, file, hardlink, layer, opaque, symlink, whiteout, xattrs
from tests.strategies import PAIRS

HUGE_TIME = 1 << 40  # seconds: more nanoseconds than the 63 bits of an inode (X7)


def index(*members: Member) -> LayerIndex:
    return index_layer([layer(*members)], hashed=False)


def nodes_of(rootfs: RootFS) -> dict[str, Node]:
    return dict(rootfs.nodes())


@pytest.mark.parametrize("letter", ["n", "é", "€", "\U0001f40b"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_name_has_255_bytes_at_most(letter: str, engine: str) -> None:
    most = 255 // len(letter.encode())
    for parent in ("", "d/"):
        fits, too_long = (f"{parent}{letter * count}" for count in (most, most + 1))
        merged = merge_layers([index(directory("d"), file(fits), file(too_long), file("last"))], engine=engine)
        assert set(merged) == {"/d", f"/{fits}", "/last"}
        assert [(one.code, one.path) for one in merged.refused] == [("name-too-long", f"/{too_long}")]


@pytest.mark.parametrize(
    ("odd", "applied"), [({"uid": (1 << 32) + 5}, (5, 0, 10**9)), ({"mtime": HUGE_TIME}, (0, 0, 0))]
)
def test_the_numbers_of_every_entry_become_the_inodes(odd: dict[str, int], applied: tuple[int, int, int]) -> None:
    usual = {"uid": 0, "gid": 0, "mtime": 1}
    rows = [file(name, **usual | (odd if name in "bcf" else {})) for name in "abcdefg"]
    merged = merge_layers([index(*rows)])
    got = {path[1:]: (entry.uid, entry.gid, entry.mtime) for path, entry in merged.items()}
    assert got == {name: applied if name in "bcf" else (0, 0, 10**9) for name in "abcdefg"}


def test_what_is_laid_on_a_directory_leaves_the_layers_below_as_they_were() -> None:
    """The attributes of a directory that is not listed are looked for in each of them by itself (P2)."""
    base = index(directory("d"), directory("d/e", mode=0o711), file("d/e/x"), file("d/f"), directory("g"), file("g/x"))
    upper = index(directory("d"), file("d/e"), whiteout("d/f"), opaque("g"), file("g/y"))
    seen: list[tuple[Mapping[str, Directory], dict[str, dict[str, Entry]]]] = []
    visit_layers([base, upper, upper], lambda one: seen.append((one.unpacked.dirs, copy_of(one.unpacked.dirs))))
    assert [copy_of(dirs) for dirs, _ in seen] == [before for _, before in seen]
    assert set(seen[0][0]["/d"]) == {"/d/e", "/d/f"}


def copy_of(dirs: Mapping[str, Directory]) -> dict[str, dict[str, Entry]]:
    return {path: dict(children) for path, children in dirs.items()}


def test_forks_share_what_neither_changed_and_nothing_else() -> None:
    base = index(directory("a"), file("a/x"), directory("b"), file("b/x"))
    left, right = [index(file("a/left"))], [index(file("a/right"), whiteout("b/x"))]
    forks = merge_forks([base], left, right)
    assert [nodes_of(fork) for fork in forks] == [nodes_of(merge_layers([base, *one])) for one in (left, right)]
    one, two = (fork.directories for fork in merge_forks([base], left, [index(file("a/right"))]))
    assert {path for path in one if one[path] is two[path]} == {"/b"}


@pytest.mark.parametrize("engine", ENGINES)
def test_forks_know_the_names_of_inodes_of_what_they_share(engine: str) -> None:
    base = index(file("a"), hardlink("b", "a"), hardlink("c", "a"))
    forks = merge_forks([base], [index(whiteout("b"))], [index(file("a"), hardlink("d", "a"))], engine=engine)
    assert [list(fork.linked_names.values()) for fork in forks] == [[["/a", "/c"]], [["/b", "/c"], ["/a", "/d"]]]


@settings(deadline=None)
@given(PAIRS, st.sampled_from(ENGINES))
def test_names_of_one_inode_are_those_that_a_look_at_every_path_finds(
    pair: tuple[list[bytes], list[bytes]], engine: str
) -> None:
    layers = [[index_layer([plain], hashed=False) for plain in stack] for stack in pair]
    shared = len([*takewhile(lambda both: both[0] == both[1], zip(*pair, strict=False))])
    for fork in merge_forks(layers[0][:shared], layers[0][shared:], layers[1][shared:], engine=engine):
        names: dict[tuple[int, int], list[str]] = {}
        for path, node in fork.nodes():
            names.setdefault((id(node.entry), node.layer), []).append(path)
        assert fork.linked_names == {inode: sorted(found) for inode, found in names.items() if len(found) > 1}
        for path, node in fork.nodes():
            if node.entry.type != "dir" and node.entry.offset >= 0:
                assert path in fork.names_of(node.layer, node.entry)


def merged(*layers: LayerIndex, engine: str = "containerd") -> RootFS:
    return merge_layers(layers, engine=engine)


def test_a_capability_goes_when_a_link_sets_the_owner_again() -> None:
    cap, other = (b"\1\0\0\2" + bytes(12) + last * 4 for last in (b"\0", b"\1"))
    base = file("a", b"x")
    plain = merged(index(xattrs(base, security_capability=cap, user_k=b"1"), hardlink("b", "a")))
    assert [plain[path].xattrs for path in ("/a", "/b")] == [{"user.k": b"1"}] * 2
    again = merged(index(xattrs(base, security_capability=cap), xattrs(hardlink("b", "a"), security_capability=other)))
    assert [again[path].xattrs for path in ("/a", "/b")] == [{"security.capability": other}] * 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("said", "made"), [((5000, 3), (904, 3)), ((1, 1048577), (1, 1)), ((4095, 5), (4095, 5))])
def test_devices_have_the_numbers_that_mknod_takes(said: tuple[int, int], made: tuple[int, int], engine: str) -> None:
    assert merged(index(device("d", *said)), engine=engine)["/d"].rdev == made


def test_a_device_whose_numbers_are_cut_to_nothing_is_a_whiteout() -> None:
    assert not merged(index(file("f")), index(device("f", 4096, 0)))


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [
        ("containerd", [(0o2755, 7), (0o755, 7), (0o755, 0)]),
        ("oci", [(0o2755, 7), (0o2755, 7), (0o2755, 7)]),
    ],
)
def test_implied_directories_take_after_one_that_hands_its_group_down(
    engine: str, wanted: list[tuple[int, int]]
) -> None:
    found = merged(index(directory("d", mode=0o2755, gid=7), file("d/a/b/c")), engine=engine)
    assert [(found[path].mode, found[path].gid) for path in ("/d", "/d/a", "/d/a/b")] == wanted
    above = merged(index(directory("d", mode=0o2755, gid=7)), index(file("d/a/b/c")), engine=engine)
    assert [(above[path].mode, above[path].gid) for path in ("/d", "/d/a", "/d/a/b")] == wanted


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("target", "taken"), [("t" * 4095, True), ("t" * 4096, False), ("€" * 1366, False)])
def test_a_symlinks_target_has_a_bound(target: str, taken: bool, engine: str) -> None:
    found = merged(index(file("a"), symlink("l", target)), engine=engine)
    assert ("/l" in found, [each.code for each in found.refused]) == (taken, [] if taken else ["name-too-long"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("above", [False, True])
def test_a_hard_link_into_the_directory_that_it_replaces_leads_nowhere(engine: str, above: bool) -> None:
    """What is at its path goes first."""
    tree, link = [directory("d"), file("d/y")], [hardlink("d", "d/y"), file("z")]
    found = merged(*([index(*tree), index(*link)] if above else [index(*tree, *link)]), engine=engine)
    assert {(each.path, each.code) for each in found.refused} == {("/d", "not-found")}
    assert found.sorted_paths() == ["/d", "/d/y", "/z"]
