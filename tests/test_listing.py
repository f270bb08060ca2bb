"""`ls` and `cat` of one layer: what is not in it is said, and long chains of hard links are followed."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tarlayers import NoSuchPath, index_layer
from tarlayers.analysis.listing import find_in_layer
from tests.build import archive, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.run import run

STACK = image(layer(file("a/b", b"1"), file("c")), layer(whiteout("a"), file("d/e")))


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("oci-gzip", STACK))
    return path


@pytest.mark.parametrize("options", [(), ("-l",), ("--digests",), ("-f", "json"), ("-f", "ndjson")])
def test_a_path_that_a_layer_lacks_is_said(stack: Path, options: tuple[str, ...]) -> None:
    for at in ("/c", "/d/f", "/a/b"):
        ran = run("ls", "--only", "1", stack, at, *options)
        assert (ran.code, ran.stdout, ran.stderr) == (1, b"", f"tarlayers: {at}: not in this layer\n")
    assert run("ls", "--only", "1", stack, "/d", *options).code == 0
    assert run("ls", "--only", "1", stack, "/d", "--match", "nothing", *options).code == 0


DEEP = image(
    layer(directory("usr"), file("usr/a"), directory("usr/lib"), file("usr/lib/b"), file("usr/lib/c/d"), file("e"))
)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--depth", "1"], ["/usr", "/e"]),
        (["--depth", "2"], ["/usr", "/usr/a", "/usr/lib", "/e"]),
        (["/usr", "--depth", "1"], ["/usr", "/usr/a", "/usr/lib"]),
        (["/usr/lib", "--depth", "2"], ["/usr/lib", "/usr/lib/b", "/usr/lib/c/d"]),
        (["--depth", "2", "--type", "file"], ["/usr/a", "/e"]),
    ],
)
def test_the_depth_of_one_layer(tmp_path: Path, words: list[str], shown: list[str]) -> None:
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", DEEP))
    assert run("ls", "--only", "0", tmp_path / "app.tar", *words).lines == shown


def read_tree(lines: list[str]) -> tuple[str, list[str]]:
    """What a tree is of, and the paths that are drawn; each branch has to hang on the one that is drawn last."""
    at: list[str] = []
    paths = []
    for line in lines[1:]:
        drawn = re.fullmatch(r"((?:│   |    )*)[├└]── (.*)", line)
        assert drawn is not None, line
        depth = len(drawn[1]) // 4
        assert depth <= len(at)
        at[depth:] = [drawn[2].partition(" -> ")[0]]
        paths.append("/".join([lines[0].rstrip("/"), *at]))
    return lines[0], paths


# By their bytes `-` and `.` stand before the slash, `0` behind it.
SIBLINGS = [f"{parent}{name}" for parent in ("", "p/", "p/p/", "p.p/", "p-/") for name in ("p", "p.p", "p-", "p0")]


@pytest.mark.parametrize(
    ("words", "top", "shown"),
    [
        ([], "/", lambda _: True),
        (["/p"], "/p", lambda path: path.startswith("/p/")),
        (["--depth", "2"], "/", lambda path: path.count("/") < 3),
        (["--match", "*p0"], "/", lambda path: "p0" in path or path in ("/p", "/p/p", "/p.p", "/p-")),
        (["/p", "--match", "/p/p/p0"], "/p", lambda path: path in ("/p/p", "/p/p/p0")),
        (["--match", "p.p", "--type", "dir"], "/", lambda path: path == "/p.p"),
    ],
)
def test_a_tree_draws_what_stands_where(
    tmp_path: Path, words: list[str], top: str, shown: Callable[[str], bool]
) -> None:
    there = {f"/{name}" for name in SIBLINGS}
    parents = {path.rpartition("/")[0] for path in there} - {""}
    members = [directory(path[1:]) for path in sorted(parents)] + [file(path[1:]) for path in sorted(there - parents)]
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", image(layer(*members))))
    *drawn, empty, counts = run("ls", "--tree", tmp_path / "app.tar", *words).lines
    wanted = [path for path in there if shown(path)]
    assert read_tree(drawn) == (top, sorted(wanted, key=lambda path: path.split("/")))
    dirs = len(parents.intersection(wanted))
    assert (empty, counts.split()[::2]) == ("", [str(dirs), str(len(wanted) - dirs)])


def test_the_root_is_no_file(stack: Path) -> None:
    for path in ("", "/", "."):
        assert run("cat", stack, path).stderr == f"tarlayers: {path or '/'}: is a dir, not a file\n"


TARGETS = (
    "file", "file/", "file/.", "./file", "file/../file", "dir", "dir/", "dir/.", "dir//", "dir/in", "dir/in/",
    "dir/../file", "none", "none/", "none/../file", "dir/none/../in", "link",
    "to-file", "to-file/", "to-dir/in", "to-dir/", "to-none",
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_symlink_leads_where_it_does_on_a_file_system(tmp_path: Path, target: str) -> None:
    """And one that leads nowhere is listed itself, as by `ls -l`."""
    links = {"to-file": "file", "to-dir": "dir/", "to-none": "none", "link": target}
    members = [file("file", b"1"), file("dir/in", b"2"), *(symlink(name, where) for name, where in links.items())]
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", image(layer(*members))))
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "file").write_bytes(b"1")
    (root / "dir/in").write_bytes(b"2")
    for name, where in links.items():
        (root / name).symlink_to(where)
    ran, listed = run("cat", tmp_path / "app.tar", "link"), run("ls", tmp_path / "app.tar", "link")
    try:
        wanted = (root / "link").read_bytes()
        assert (ran.code, ran.stdout) == (0, wanted)
        assert listed.lines == ["/file" if wanted == b"1" else "/dir/in"]
    except OSError as error:
        assert (ran.code, ran.stdout) == (1, b"")
        assert listed.lines == ["/dir/in" if error.errno == errno.EISDIR else "/link"]


@pytest.mark.parametrize("options", [(), ("-l",), ("-R",), ("--tree",), ("--du",), ("-f", "json"), ("--digests",)])
def test_a_symlink_that_leads_nowhere_is_there(tmp_path: Path, options: tuple[str, ...]) -> None:
    members = [directory("d"), symlink("d/a", "none"), symlink("up", "d")]
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", image(layer(*members))))
    for path in ("/d/a", "up/a"):
        ran = run("ls", tmp_path / "app.tar", path, *options)
        assert (ran.code, ran.stderr) == (0, "")
        assert b"/d/a" in ran.stdout.replace("\n└── ".encode(), b"/")
    for path in ("/d/a/b", "/d/none", "up/a/b"):
        ran = run("ls", tmp_path / "app.tar", path, *options)
        assert (ran.code, ran.stdout) == (1, b"")


def test_what_a_layer_has_instead_of_a_file_is_said(tmp_path: Path) -> None:
    top = layer(whiteout("a/.env"), opaque("b"), file("c", b"1"), symlink("l", "c"), file("c", b"2"))
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", image(layer(file("a/.env")), top)))
    for words, reason in (
        (["/a/.wh..env"], "is a whiteout, not a file"),
        (["/b/.wh..wh..opq"], "is a whiteout, not a file"),
        (["/l"], "is a symlink to c, not a file"),
        (["/c", "--offset", "7"], "in this layer not at offset 7, but at 1024, 2560"),
        (["/d", "--offset", "7"], "not in this layer"),
    ):
        ran = run("cat", "--only", "1", tmp_path / "app.tar", *words)
        assert (ran.code, ran.stderr) == (1, f"tarlayers: {words[0]}: {reason}\n")


def test_a_chain_of_hard_links_is_followed_to_its_end() -> None:
    links = [hardlink(f"{i + 1}", f"./{i}") for i in range(2000)]
    entries = index_layer(io.BytesIO(layer(file("0", b"1"), *links, file("0", b"22"), file("1", b"333")))).entries
    assert find_in_layer(entries, "/2000").size == 1
    with pytest.raises(NoSuchPath, match="a hard link to /nowhere, which is not in this layer"):
        find_in_layer(index_layer(io.BytesIO(layer(hardlink("a", "nowhere")))).entries, "/a")


def test_each_of_many_names_has_all_others(tmp_path: Path) -> None:
    names = [f"/{i:02}" for i in range(40)]
    path = tmp_path / "app.tar"
    path.write_bytes(archive("oci-gzip", image(layer(file("39", b"1"), *(hardlink(n, "39") for n in names[:39])))))
    for entry in run("ls", path, "-f", "json").json["entries"]:
        assert entry["links"] == [name for name in names if name != entry["path"]]
    lines = run("ls", "-l", path).lines
    assert lines[0].endswith(f" /00 = {' '.join(names[1:33])} and 7 more")
    assert lines[5].endswith(f" /05 = {' '.join([*names[:5], *names[6:33]])} and 7 more")
