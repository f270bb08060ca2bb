"""Where names lead through symlinks: what containerd 1.6 and umoci 0.4 were seen to do with each of these layers."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tarlayers import index_layer, merge_layers
from tarlayers.errors import Refused
from tarlayers.merging.rootpath import find_root_path
from tarlayers.merging.tree import Directory, Node, Tree, implied_directory
from tarlayers.rootfs import RootFS
from tests.build import Member, directory, file, hardlink, layer, symlink

DIRECTORIES = [directory(name) for name in ("c", "c/d", "q", "x", "x/y")]
FILES = [
    file("f", b"f"), file("x/f", b"xf"), file("q/f", b"qf"),
    symlink("s", "x/y"), symlink("sl", "f"), symlink("sd", "q"),
]  # fmt: skip


def merge(members: list[Member], **more: Any) -> RootFS:
    return merge_layers([index_layer(io.BytesIO(layer(*members)))], **more)


PARENTS = {
    # A file's name and the symlinks on its way: {where containerd, where umoci puts it}.
    "a link's .. after a link": ([symlink("s", "x/y"), symlink("l", "s/../q")], "l/f", "/x/q/f", "/x/q/f"),
    "the same from the root": ([symlink("s", "x/y"), symlink("l", "/s/../q")], "l/f", "/x/q/f", "/x/q/f"),
    "with dots between": ([symlink("s", "x/y"), symlink("l", "./s/./../q/.")], "l/f", "/x/q/f", "/x/q/f"),
    "with .. at the end": ([symlink("s", "x/y"), symlink("l", "s/..")], "l/f", "/x/f", "/x/f"),
    # containerd joins it to the directory first: /c/../s/../q is /q.
    "the same below a directory": ([symlink("s", "x/y"), symlink("c/l", "../s/../q")], "c/l/f", "/q/f", "/x/q/f"),
    "below one, from the root": ([symlink("s", "x/y"), symlink("c/l", "/s/../q")], "c/l/f", "/x/q/f", "/x/q/f"),
    # The root is a directory too, if the name says so.
    "below the root, by name": ([symlink("s", "x/y"), symlink("l", "s/../q")], "/l/f", "/q/f", "/x/q/f"),
    # containerd joins ../z to b, not to c/d, where b leads.
    "a link behind two": (
        [symlink("b", "c/d"), symlink("a", "b"), symlink("c/d/l", "../z")], "a/l/f", "/z/f", "/c/z/f",
    ),
    "a link behind two from the root": (
        [symlink("b", "/c/d"), symlink("a", "/b"), symlink("c/d/l", "../z")], "a/l/f", "/c/z/f", "/c/z/f",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARENTS)
def test_the_parents_of_a_name(case: str) -> None:
    links, name, containerd, umoci = PARENTS[case]
    members = [*DIRECTORIES, *links, file(name, b"1")]
    for engine, wanted in (("containerd", containerd), ("oci", umoci)):
        merged = merge(members, engine=engine)
        assert [path for path, entry in merged.items() if entry.type == "file"] == [wanted]
        assert not merged.refused


TARGETS = {
    # A hard link's target: {what containerd, what umoci links to}; None where it refuses.
    "f": ("/f", "/f"),
    "./f": ("/f", "/f"),
    "//f": ("/f", "/f"),
    "../f": ("/f", "/f"),
    "f/": ("/f", "/f"),
    "f/.": ("/f", "/f"),
    "nowhere/../f": ("/f", "/f"),
    "q/../f": ("/f", "/f"),
    "sd/f": ("/q/f", "/q/f"),
    "sd/../f": ("/f", "/f"),
    "x/y/../f": ("/x/f", "/x/f"),
    "s/../f": ("/x/f", "/f"),
    "/../s/../f": ("/x/f", "/f"),
    "s/..//f": ("/x/f", "/f"),
    "sl": ("/sl", "/sl"),
    "sl/": ("/f", "/sl"),
    "sl/.": ("/f", "/sl"),
    "f/x/../../f": (None, "/f"),
    "sd/": (None, "/sd"),
    "q": (None, None),
    "q/..": (None, None),
    "sl/..": (None, None),
    "": (None, None),
    "/": (None, None),
    "..": (None, None),
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_of_a_hard_link(target: str) -> None:
    for engine, wanted in zip(("containerd", "oci"), TARGETS[target], strict=True):
        merged = merge([*DIRECTORIES, *FILES, hardlink("link", target)], engine=engine)
        assert bool(merged.refused) == (wanted is None)
        if wanted is not None:
            assert merged.links_of("/link") == (wanted,)


def test_the_time_of_a_directory_is_set_where_its_name_leads_then() -> None:
    members = [*DIRECTORIES, symlink("s", "x/y"), directory("l", mtime=5), symlink("l", "s/../q")]
    assert [refusal.rule for refusal in merge(members).refused] == ["B3"]  # there is no /x/q
    assert merge([*members, file("x/q")])["/x/q"].mtime == 5 * 10**9


def test_a_target_outside_of_the_root_is_not_looked_at() -> None:
    for out in ("/etc", "../../../etc", "/"):
        merged = merge([symlink("b", out), symlink("a", "b"), file("a/l/f", b"1")])
        assert [path for path, entry in merged.items() if entry.type == "file"] == [
            "/l/f" if out == "/" else "/etc/l/f"
        ]


def test_what_a_container_opens() -> None:
    members = [*DIRECTORIES, symlink("s", "x/y"), symlink("l", "s/../q"), file("x/q", b"1"), file("q/other")]
    assert merge(members).resolve("/l") == "/x/q"


class _Asked(dict[str, Directory]):
    """Directories of a tree; `letters` adds up the paths that are looked for."""

    letters = 0

    def __contains__(self, path: object) -> bool:
        self.letters += len(str(path))
        return super().__contains__(path)

    def get(self, path: str, _: object = None) -> Directory | None:  # type: ignore[override] # for Tree alone
        self.letters += len(path)
        return super().get(path)


def look_up(known: int, absent: int, *, last: str = "x") -> int:
    """Look for a path of so many directories that are there and so many that are not; give what is looked through."""
    tree = Tree()
    for count in range(1, known + 1):
        tree.put("/d" * count, Node(implied_directory("/d" * count), 0))
    asked = tree.dirs = _Asked(tree.dirs)
    path = "/d" * known + "/no" * absent + f"/{last}"
    assert find_root_path(tree, path) == path
    assert tree.resolve(path) == path
    return asked.letters


@pytest.mark.parametrize(("known", "absent"), [(0, 1), (1, 0), (1, 1)])
def test_a_long_path_is_looked_up_in_linear_time(known: int, absent: int) -> None:
    small, large = (look_up(known * count, absent * count) for count in (400, 800))
    assert large < 2.6 * small


def test_a_component_that_is_too_long_is_refused_where_nothing_is() -> None:
    for known, absent in ((0, 9), (9, 0), (9, 9)):
        with pytest.raises(Refused, match="255 bytes"):
            look_up(known, absent, last="n" * 256)
