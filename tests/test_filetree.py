"""Trees of files: a directory and a tar of it tell the same, and no link leads out of either."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tarlayers.errors import ContentAbsent, LimitExceeded, UnsupportedInput
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.sources.archive import open_tar
from tarlayers.sources.filetree import (
    DirectoryTree,
    FileTree,
    is_directory,
    join_path,
    read_small,
    resolve_path,
    walk_files,
)
from tarlayers.sources.tartree import read_tar_tree
from tests.build import Member, device, directory, fifo, file, hardlink, symlink, tar, xattrs
from tests.dataroot import Root, write_root
from tests.splits import CONTENT, REGIONS, pax_sparse

MEMBERS = [
    directory("top"),
    file("top/a", b"hello", mode=0o640),
    hardlink("top/b", "top/a"),
    symlink("top/l", "../../etc/passwd"),
    directory("top/d"),
    xattrs(file("top/d/x", b"1" * 600), user_k=b"v"),
    device("top/w", 0, 0),
    fifo("top/p"),
    file("implied/deep/f", b"f"),
]


def directory_tree(where: Path) -> FileTree:
    root: Root = {member.name.rstrip("/"): member for member in MEMBERS}
    return DirectoryTree(str(write_root(root, where / "tree")))


def tar_tree(where: Path, data: bytes | None = None, limits: Limits = DEFAULT_LIMITS) -> FileTree:
    path = where / "tree.tar"
    path.write_bytes(tar(MEMBERS) if data is None else data)
    return read_tar_tree(open_tar(str(path), os.open(path, os.O_RDONLY)), limits)


TREES = pytest.mark.parametrize("make", [directory_tree, tar_tree])
Make = Callable[[Path], FileTree]


@TREES
def test_files_are_what_was_copied(make: Make, tmp_path: Path) -> None:
    tree = make(tmp_path)
    assert tree.names("") == ("implied", "top")
    assert tree.names("top") == ("a", "b", "d", "l", "p", "w")
    assert [tree.names(path) for path in ("nowhere", "top/a", "top/l")] == [(), (), ()]
    kinds = {name: tree.status(f"top/{name}") for name in tree.names("top")}
    assert {name: found.kind for name, found in kinds.items() if found} == {
        "a": "file", "b": "file", "d": "dir", "l": "symlink", "p": "fifo", "w": "char",
    }  # fmt: skip
    a, b, w = kinds["a"], kinds["b"], kinds["w"]
    assert a is not None
    assert b is not None
    assert (a.mode, a.size, a.inode is not None, a == b) == (0o640, 5, True, True)
    assert w is not None
    assert (w.rdev, w.size) == ((0, 0), 0)
    assert tree.status("top/none") is None
    assert tree.target("top/l") == "../../etc/passwd"
    assert tree.xattrs("top/d/x").get("user.k") == b"v"
    assert b"".join(tree.blob("top/b").chunks()) == b"hello"
    assert tree.blob("top/d/x").read_at(598, 9) == b"11"


@TREES
@pytest.mark.parametrize("path", ["top", "top/l", "top/p", "top/w", "none"])
def test_only_files_have_bytes(make: Make, path: str, tmp_path: Path) -> None:
    with pytest.raises(ContentAbsent):
        make(tmp_path).blob(path)


@TREES
def test_a_tree_below_is_a_tree(make: Make, tmp_path: Path) -> None:
    below = make(tmp_path).below("top").below("d")
    assert (below.names(""), read_small(below, "x", DEFAULT_LIMITS)) == (("x",), b"1" * 600)


@TREES
def test_walking_gives_directories_before_what_they_hold(make: Make, tmp_path: Path) -> None:
    assert [path for path, _ in walk_files(make(tmp_path), "top")] == ["a", "b", "d", "l", "p", "w", "d/x"]


def test_a_document_is_bounded(tmp_path: Path) -> None:
    tree = tar_tree(tmp_path)
    assert read_small(tree, "top/l", DEFAULT_LIMITS) is None
    with pytest.raises(LimitExceeded, match="document_bytes"):
        read_small(tree, "top/d/x", Limits(document_bytes=599))


LINKS = [
    directory("root"), directory("root/usr"), directory("root/usr/lib"), file("root/usr/lib/x"),
    symlink("root/lib", "usr/lib"), symlink("root/abs", "/usr/lib"), symlink("root/up", "../../../usr"),
    symlink("root/loop", "loop"), symlink("root/a", "b"), symlink("root/b", "a"), symlink("root/usr/back", "../lib"),
    symlink("root/usr/deep", "/lib"),
    file("secret"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    {
        "usr/lib/x": "root/usr/lib/x",
        "/lib/x": "root/usr/lib/x",
        "abs/x": "root/usr/lib/x",
        "up/lib/x": "root/usr/lib/x",
        "usr/back/x": "root/usr/lib/x",
        "usr/deep/x": "root/usr/lib/x",
        "../../lib/./x": "root/usr/lib/x",
        "lib": "root/lib",
        "loop/x": None,
        "a/x": None,
        "../secret": None,
        "none/x": None,
        "usr/lib/x/y": None,
    }.items(),
)
def test_links_are_followed_inside_alone(path: str, found: str | None, tmp_path: Path) -> None:
    assert resolve_path(tar_tree(tmp_path, tar(LINKS)), "root", path) == found


def test_what_a_tar_lacks_is_not_there(tmp_path: Path) -> None:
    tree = tar_tree(tmp_path, tar([hardlink("b", "gone"), file("a", b"1"), file("a", b"22")]))
    assert tree.status("b") is None
    assert read_small(tree, "a", DEFAULT_LIMITS) == b"22"


def test_sparse_files_of_a_copy_are_refused_when_they_are_read(tmp_path: Path) -> None:
    tree = tar_tree(tmp_path, tar([pax_sparse("s", REGIONS, 8192, CONTENT, "1.0")]))
    assert tree.status("s") is not None
    with pytest.raises(UnsupportedInput, match="without --sparse"):
        read_small(tree, "s", DEFAULT_LIMITS)


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"2")
    blob = DirectoryTree(str(tmp_path)).blob("f")
    (tmp_path / "f").unlink()
    (tmp_path / "f").symlink_to("secret")
    with pytest.raises(ContentAbsent):
        blob.read_at(0, 1)


def test_no_directory_that_is_a_link_is_entered(tmp_path: Path) -> None:
    (tmp_path / "outside" / "d").mkdir(parents=True)
    (tmp_path / "outside" / "d" / "f").write_bytes(b"2")
    (tmp_path / "tree" / "real").mkdir(parents=True)
    (tmp_path / "tree" / "real" / "f").write_bytes(b"1")
    (tmp_path / "tree" / "link").symlink_to("../outside")
    (tmp_path / "root").symlink_to("tree")
    for root in ("tree", "root"):
        tree = DirectoryTree(str(tmp_path / root))
        assert (tree.names(""), tree.names("link")) == (("link", "real"), ())
        for ask in (tree.status, tree.names, tree.blob, tree.target, tree.xattrs):
            with pytest.raises(ContentAbsent, match=rf"{root}/link: is a symlink"):
                ask("link/d/f")
        assert tree.blob("real/f").read_at(0, 1) == b"1"
        assert [is_directory(tree, path) for path in ("real", "link", "link/d", "real/f", "none/d")] == [
            True, False, False, False, False,
        ]  # fmt: skip


def test_joining() -> None:
    assert (join_path("", "a"), join_path("a", "b")) == ("a", "a/b")


@pytest.mark.parametrize(
    ("member", "bounds"),
    [
        (file("n" * 500), {"path_bytes": 500}),
        (symlink("l", "n" * 500), {"path_bytes": 500}),
        (file("a/b/c/d"), {"path_depth": 4}),
        (file("aaa/bbb/c"), {"implied_bytes": len("aaa" + "aaa/bbb")}),
    ],
)
def test_names_of_a_tar_are_bounded(member: Member, bounds: dict[str, int], tmp_path: Path) -> None:
    """Each parent of a name is a directory: one of 120 kB, 350 bytes of gzip, would make 3 GB of them."""
    tar_tree(tmp_path, tar([member]), Limits(**bounds))
    ((name, bound),) = bounds.items()
    with pytest.raises(LimitExceeded, match=f"limit {name} = {bound - 1}"):
        tar_tree(tmp_path, tar([member]), Limits(**{name: bound - 1}))
