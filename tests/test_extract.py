"""Extract: what is wanted comes out whole, and nothing ever outside of the destination."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tarlayers import TarlayersError, merge_layers, open_image
from tarlayers.analysis.listing import select_below
from tarlayers.errors import DestinationRefused, NoSuchPath
from tarlayers.extract import ExtractReport, extract_paths
from tests.build import (
    Member,
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    symlink,
    whiteout,
    xattrs,
)
from tests.conformance.test_engines import describe_disk, describe_merged, needs_root
from tests.run import run

GOOD = layer(
    directory("etc", mode=0o750), file("etc/passwd", b"root", mode=0o640), file("usr/bin/su", b"su", mode=0o4755),
    hardlink("usr/bin/sudo", "usr/bin/su", mode=0o4755), symlink("bin", "usr/bin"), symlink("out", "/outside"),
    fifo("pipe"), directory("tmp", mode=0o1777), device("null", 1, 3), file("srv/a b\n", b"odd" * 1000),
    file("caf\udce9", b"l"),
)  # fmt: skip


def extract(tmp_path: Path, *layers: bytes, patterns: tuple[str, ...] = (), **options: bool) -> ExtractReport:
    (tmp_path / "image.tar").write_bytes(archive("oci-gzip", image(*layers)))
    found = open_image(tmp_path / "image.tar")
    rootfs = merge_layers(found.layers)
    wanted = select_below(rootfs, patterns)
    return extract_paths(rootfs, found.layers, str(tmp_path / "dest"), wanted=wanted.__contains__, **options)


def tree(root: Path) -> dict[str, object]:
    """Everything below a directory: content of files, targets of links, None for the rest."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None  # noqa: PTH115 # text
    return found


def test_everything_comes_out(tmp_path: Path) -> None:
    report = extract(tmp_path, GOOD)
    dest = tmp_path / "dest"
    assert tree(dest) == {
        "bin": "usr/bin", "caf\udce9": b"l", "etc": None, "etc/passwd": b"root", "out": "/outside", "pipe": None,
        "srv": None, "srv/a b\n": b"odd" * 1000, "tmp": None, "usr": None, "usr/bin": None, "usr/bin/su": b"su",
        "usr/bin/sudo": b"su",
    }  # fmt: skip
    assert (report.files, report.directories) == (8, 5)
    assert {skipped.path for skipped in report.skipped} == {"/null", "/usr/bin/su"}
    assert stat.S_IMODE((dest / "usr/bin/su").stat().st_mode) == 0o755
    assert stat.S_IMODE((dest / "etc").stat().st_mode) == 0o750
    assert stat.S_IMODE((dest / "tmp").stat().st_mode) == 0o1777
    assert (dest / "usr/bin/su").stat().st_ino == (dest / "usr/bin/sudo").stat().st_ino
    assert {path.lstat().st_mtime for path in dest.rglob("*") if path.name not in ("usr", "bin", "srv")} == {
        1_700_000_000
    }


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("/etc",), {"etc", "etc/passwd"}),
        (("etc/passwd",), {"etc", "etc/passwd"}),
        (("/bin/sudo",), {"usr", "usr/bin", "usr/bin/sudo"}),
        (("/bin",), {"bin"}),
        (("*su*",), {"usr", "usr/bin", "usr/bin/su", "usr/bin/sudo"}),
        (("/usr/**", "pipe"), {"usr", "usr/bin", "usr/bin/su", "usr/bin/sudo", "pipe"}),
    ],
)
def test_what_is_wanted_comes_with_its_directories(
    tmp_path: Path, patterns: tuple[str, ...], expected: set[str]
) -> None:
    extract(tmp_path, GOOD, patterns=patterns)
    assert tree(tmp_path / "dest").keys() == expected


def test_a_pattern_that_fits_nothing_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath):
        extract(tmp_path, GOOD, patterns=("/etc", "/nothing"))
    assert not (tmp_path / "dest").exists()


@needs_root
def test_privileged_is_what_the_listing_says(tmp_path: Path) -> None:
    plain = layer(
        directory("etc", uid=3, gid=4), file("etc/x", b"x", uid=5, gid=6, mode=0o6755), device("null", 1, 3),
        symlink("s", "etc", uid=7), device("disk", 8, 1, "block"), fifo("p", uid=9, mode=0o622),
        xattrs(file("c", b"c"), security_capability=bytes.fromhex("01000002" + "00200000" + "00" * 12)),
    )  # fmt: skip
    report = extract(tmp_path, plain, privileged=True)
    found = open_image(tmp_path / "image.tar")
    found.layers[0].read(contents=True)
    assert describe_disk(tmp_path / "dest") == describe_merged(merge_layers(found.layers))
    assert report.skipped == ()
    assert os.getxattr(tmp_path / "dest/c", "security.capability").startswith(b"\1\0\0\2")


def test_files_that_are_there_stay_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "dest/etc").mkdir(parents=True)
    (tmp_path / "dest/etc/passwd").write_bytes(b"mine")
    before = tree(tmp_path / "dest")
    with pytest.raises(DestinationRefused, match="exists already"):
        extract(tmp_path, GOOD)
    assert tree(tmp_path / "dest") == before
    extract(tmp_path, GOOD, force=True)
    assert tree(tmp_path / "dest")["etc/passwd"] == b"root"
    extract(tmp_path, GOOD, force=True)


def test_force_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "dest/etc").mkdir(parents=True)
    (tmp_path / "dest/etc/passwd").symlink_to(tmp_path / "outside")
    extract(tmp_path, GOOD, force=True)
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert tree(tmp_path / "dest")["etc/passwd"] == b"root"


IN_THE_WAY = {
    "a link out": lambda dest, outside: (dest / "etc").symlink_to(outside),
    "a relative link out": lambda dest, _: (dest / "etc").symlink_to("../outside"),
    "a link inside": lambda dest, _: (dest / "etc").symlink_to("tmp"),
    "a dangling link": lambda dest, _: (dest / "etc").symlink_to("../new"),
    "a loop": lambda dest, _: (dest / "etc").symlink_to("etc"),
    "a file": lambda dest, _: (dest / "etc").write_bytes(b""),
    "a deeper link": lambda dest, outside: ((dest / "usr").mkdir(), (dest / "usr/bin").symlink_to(outside)),
    "a directory for a file": lambda dest, _: (dest / "etc/passwd").mkdir(parents=True),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", IN_THE_WAY)
def test_nothing_is_written_through_what_is_in_the_way(tmp_path: Path, what: str, force: bool) -> None:
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    IN_THE_WAY[what](dest, outside)
    with pytest.raises(DestinationRefused):
        extract(tmp_path, GOOD, force=force)
    assert tree(outside) == {}
    assert not (tmp_path / "new").exists()
    assert not [name for name in tree(dest) if ".tarlayers" in name]


UP = "../" * 9
HOSTILE: dict[str, tuple[tuple[Member, ...], ...]] = {
    "dot-dot file": ((file(f"{UP}outside/x", b"!"),),),
    "dot-dot in the middle": ((file(f"a/{UP}outside/x", b"!"),),),
    "absolute file": ((file("/outside/x", b"!"),),),
    "dot-dot directory": ((directory(f"{UP}outside/d"),),),
    "link out, then a file through it": ((symlink("l", "OUT"), file("l/x", b"!")),),
    "relative link out, then a file through it": ((symlink("l", f"{UP}OUT"), file("l/x", b"!")),),
    "link out below, then a file through it": ((symlink("l", "OUT"),), (file("l/x", b"!"),)),
    "chain of links": ((symlink("a", "b"), symlink("b", "OUT"), file("a/x", b"!")),),
    "link to the root's parent": ((symlink("l", ".."), file("l/outside/x", b"!")),),
    "link to the root": ((symlink("l", "/"), file("l/outside/x", b"!")),),
    "link to itself": ((symlink("l", "l"), file("l/x", b"!")),),
    "link, then a directory over it": ((symlink("l", "OUT"), directory("l"), file("l/x", b"!")),),
    "directory, then a link over it": ((directory("l"), symlink("l", "OUT"), file("l/x", b"!")),),
    "directory below, link above": ((directory("l"), file("l/x", b"!")), (symlink("l", "OUT"),), (file("l/y", b"!"),)),
    "hard link out": ((hardlink("h", "OUT/secret"),),),
    "hard link with dot-dot": ((hardlink("h", f"{UP}OUT/secret"),),),
    "hard link through a link": ((symlink("l", "OUT"), hardlink("h", "l/secret")),),
    "hard link to a link out": ((symlink("l", "OUT/secret"), hardlink("h", "l")),),
    "hard link to a link, then written": ((symlink("l", "OUT/new"), hardlink("h", "l"), file("h", b"!")),),
    "hard link to itself": ((hardlink("h", "h"),),),
    "hard link to a directory": ((directory("d"), hardlink("h", "d")),),
    "hard link to the root": ((hardlink("h", "/"),),),
    "whiteout of the parent": ((file("d/.wh..", b""),),),
    "whiteout of the parent above": ((file("d/x"),), (file("d/.wh..", b""),)),
    "whiteout of dot-dot": ((file("d/.wh...", b""),),),
    "bare whiteout": ((file(".wh.", b""),),),
    "whiteout with dot-dot": ((whiteout(f"{UP}outside/secret"),),),
    "whiteout through a link": ((symlink("l", "OUT"),), (whiteout("l/secret"),)),
    "opaque through a link": ((symlink("l", "OUT"),), (opaque("l"),)),
    "opaque with dot-dot": ((opaque(f"{UP}outside"),),),
    "opaque at the root": ((file("x"),), (opaque(),)),
    "file named for the root": ((file("/", b"!"), file("..", b"!"), file(".", b"!")),),
    "link named for the root": ((symlink("/", "OUT"), file("x", b"!")),),
    "empty name": ((Member("", "0", b"!"),),),
    "device named for a file": ((device("etc/passwd", 1, 3),),),
    "device 0:0": ((file("x"),), (device("x", 0, 0),)),
    "fifo for a directory": ((fifo("d"), file("d/x", b"!")),),
    "file for a directory": ((file("d"), file("d/x", b"!")),),
    "newline and escape in names": ((file("a\n\x1b[2J/x", b"!"),),),
    "a very deep path": ((file("d/" * 200 + "x", b"!"),),),
    "a very long name": ((file("n" * 300, b"!"),),),
    "many links": ((*(symlink(f"l{i}", f"l{i + 1}") for i in range(300)), symlink("l300", "OUT"), file("l0/x", b"!")),),
    "the name of our temporary files": ((symlink(".tarlayers-0", "OUT"), file(".tarlayers-0/x", b"!")),),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_stay_inside(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    layers = [
        layer(*(Member(**{**vars(m), "link": m.link.replace("OUT", str(outside))}) for m in members))
        for members in HOSTILE[name]
    ]
    links = (outside / "secret").stat().st_nlink
    with suppress(TarlayersError, OSError):  # refusing is fine: what must not be is a trace outside
        extract(tmp_path, *layers)
    assert tree(outside) == {"secret": b"secret"}
    assert (outside / "secret").stat().st_nlink == links
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "dest", "image.tar"}


def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    """Somebody else swaps a directory for a link to elsewhere, all the time."""
    outside, dest, done = tmp_path / "outside", tmp_path / "dest", threading.Event()
    outside.mkdir()
    inner, moved = dest / "a" / "b", dest / "a" / "moved"

    def swap() -> None:
        while not done.is_set():
            with suppress(OSError):
                inner.rename(moved)
                inner.symlink_to(outside)
                done.wait(0.0005)
                inner.unlink()
                moved.rename(inner)
            done.wait(0.001)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        files = [file(f"a/b/f{number}", b"x" * 100) for number in range(100)]
        for force in (False, True) * 10:
            shutil.rmtree(dest, ignore_errors=True)
            with suppress(DestinationRefused, FileNotFoundError):
                extract(tmp_path, layer(*files, symlink("a/b/link", "f0")), force=force)
            assert list(outside.iterdir()) == []
    finally:
        done.set()
        swapping.join()
    assert list(tmp_path.rglob(".tarlayers-*")) == []


def owned(member: Member, uid: int, gid: int) -> Member:
    return replace(member, uid=uid, gid=gid)


@pytest.mark.parametrize(
    ("more", "said"), [(0, ""), (1, "; 3 of another owner in the image (--privileged)")], ids=["same", "another"]
)
def test_verbose_counts_what_was_written(more: int, said: str, tmp_path: Path) -> None:
    uid, gid = os.geteuid(), os.getegid() + more
    members = (directory("etc"), file("etc/a", b"1"), symlink("etc/l", "a"))
    (tmp_path / "image.tar").write_bytes(
        archive("docker-25", image(layer(*(owned(each, uid, gid) for each in members))))
    )
    ran = run("extract", tmp_path / "image.tar", tmp_path / "dest", "-v", "/etc")
    assert (ran.code, ran.stderr.splitlines()[-1]) == (0, f"tarlayers: 2 files, 1B, 1 new directory{said}")


def test_a_link_in_the_way_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "usr").symlink_to(tmp_path)
    with pytest.raises(DestinationRefused, match=r"dest/usr: a symlink or no directory is in the way"):
        extract(tmp_path, layer(directory("usr"), directory("usr/bin"), file("usr/bin/x", b"1")))


def test_a_directory_that_cannot_be_made_is_named_below_the_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.tar").write_bytes(archive("docker-25", image(layer(file("etc/a", b"1")))))
    (tmp_path / "ro").mkdir()

    real = os.mkdir

    def refuse(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse)
    ran = run("extract", tmp_path / "image.tar", tmp_path / "ro")
    assert (ran.code, ran.stderr) == (3, f"tarlayers: {tmp_path}/ro/etc: Permission denied\n")
