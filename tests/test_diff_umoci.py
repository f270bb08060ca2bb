"""The diff against a walk over two trees that umoci unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tarlayers import diff_images, open_image
from tests import build
from tests.build import directory, file, hardlink, layer, opaque, symlink, whiteout
from tests.paths import BIG

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed"),
]

ROOT_USER = os.geteuid() == 0
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
Node = dict[str, Any]


def unpack(layout: Path, tag: str, bundle: Path) -> Path:
    rootless = [] if ROOT_USER else ["--rootless"]
    command = ["umoci", "unpack", *rootless, "--image", f"{layout}:{tag}", str(bundle)]
    subprocess.run(command, check=True, capture_output=True)
    return bundle / "rootfs"


def walk(root: Path) -> dict[str, Node]:
    """Every path of a tree with what `diff` compares; owners only where root has unpacked it."""
    found: dict[str, Node] = {}
    for directory_, dirs, files in os.walk(root):
        for name in (*dirs, *files):
            path = Path(directory_) / name
            found[f"/{path.relative_to(root)}"] = node_of(path)
    return found


def node_of(path: Path) -> Node:
    status = path.lstat()
    kind = TYPES.get(stat.S_IFMT(status.st_mode), "device")
    return {
        "type": kind,
        "content": hashlib.sha256(path.read_bytes()).digest() if kind == "file" else None,
        "mode": stat.S_IMODE(status.st_mode),
        "owner": (status.st_uid, status.st_gid) if ROOT_USER else None,
        "link": path.readlink() if kind == "symlink" else None,
        "rdev": status.st_rdev if kind == "device" else None,
    }


def compare(old: dict[str, Node], new: dict[str, Node]) -> dict[str, tuple[str, frozenset[str]]]:
    """What `diff -r` would find, and the metadata besides."""
    changes = {path: ("D", frozenset[str]()) for path in old.keys() - new.keys()}
    changes |= {path: ("A", frozenset[str]()) for path in new.keys() - old.keys()}
    for path in old.keys() & new.keys():
        what = frozenset(key for key, value in old[path].items() if new[path][key] != value)
        if what:
            changes[path] = ("C", frozenset({"type"}) if "type" in what else what)
    return changes


def check(old: Path, new: Path, trees: tuple[Path, Path]) -> None:
    expected = compare(*map(walk, trees))
    found = diff_images(open_image(old), open_image(new), engine="oci", only=["files"]).files
    ours = {c.path: (c.kind, frozenset(c.what if c.kind == "C" else ()) - {"xattrs"}) for c in found}
    assert expected
    assert {path: change for path, change in ours.items() if change != ("C", frozenset())} == expected


BASE = layer(
    directory("usr"), directory("usr/lib"), file("usr/lib/a", b"a" * 900), file("usr/lib/b", b"b" * 20),
    symlink("lib", "usr/lib"), directory("etc"), file("etc/conf", b"1"), file("etc/key", b"k", mode=0o600),
    directory("srv"), file("srv/one", b"1"), directory("srv/deep"), file("srv/deep/two", b"2"),
)  # fmt: skip
UPPERS = {
    "contents and modes": layer(
        file("etc/conf", b"2"), file("etc/key", b"k", mode=0o640), file("usr/lib/a", b"a" * 900)
    ),
    "whiteouts": layer(whiteout("srv/deep"), whiteout("etc/key"), file("etc/new", b"k")),
    "opaque": layer(directory("srv"), opaque("srv"), file("srv/three", b"3")),
    "through a link of a lower layer": layer(file("lib/c", b"c"), whiteout("lib/b")),
    "types and links": layer(file("srv", b""), file("x", b"x"), hardlink("y", "x"), symlink("etc/conf", "key")),
}


@pytest.mark.parametrize("upper", UPPERS)
@pytest.mark.parametrize("base", ["the same base", "another base"])
def test_built_images(base: str, upper: str, tmp_path: Path) -> None:
    other = [layer(directory("srv", mode=0o700), file("etc/conf", b"0"))] if base == "another base" else []
    images = {
        "old": build.image(*other, BASE, names=["old:1"]),
        "new": build.image(BASE, UPPERS[upper], names=["new:1"]),
    }
    trees = []
    for name, image in images.items():
        layout = build.unpack(build.oci([image]), tmp_path / name)
        trees.append(unpack(layout, "1", tmp_path / f"{name}-bundle"))
    check(tmp_path / "old", tmp_path / "new", (trees[0], trees[1]))


@pytest.mark.skipif(not (BIG / "app-v2.oci-gzip.tar").exists(), reason="no big corpus (TARLAYERS_BIG_CORPUS)")
def test_big_images(tmp_path: Path) -> None:
    trees = []
    for version in ("v1", "v2"):
        with tarfile.open(BIG / f"app-{version}.oci-gzip.tar") as archive:
            build.extract_tar(archive, tmp_path / version)
        trees.append(unpack(tmp_path / version, f"app:{version}", tmp_path / f"{version}-bundle"))
    try:
        check(BIG / "app-v1.docker.tar", BIG / "app-v2.oci-gzip.tar", (trees[0], trees[1]))
    finally:
        for version in ("v1", "v2"):
            shutil.rmtree(tmp_path / version)
            shutil.rmtree(tmp_path / f"{version}-bundle")
