"""Contents by the names of a tar: from directories that may be hostile, and from tars in any order."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tarlayers.errors import ContentAbsent, MalformedInput
from tarlayers.sources.contents import open_layer, open_unpacked
from tests.build import directory, file, hardlink, layer
from tests.splits import CONTENT, REGIONS, pax_sparse


def content(runs: object) -> bytes:
    return b"".join(run if isinstance(run, bytes) else bytes(run) for run in runs)  # type: ignore[attr-defined]


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"outside")
    root = tmp_path / "diff"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/x").write_bytes(b"inside")
    (root / "top").write_bytes(b"top")
    (root / "lib").symlink_to("usr/lib")
    (root / "abs").symlink_to("/usr/lib")
    (root / "usr/back").symlink_to("/")
    (root / "up").symlink_to("usr/lib/../../usr/lib")
    (root / "out").symlink_to("..")
    (root / "far").symlink_to("../../../../../../..")
    (root / "loop").symlink_to("loop")
    (root / "link").symlink_to("top")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (b"top", b"top"),
        (b"/top", b"top"),
        (b"./usr//lib/x", b"inside"),
        (b"usr/../top", b"top"),
        (b"../../top", b"top"),
        (b"lib/x", b"inside"),
        (b"abs/x", b"inside"),
        (b"up/x", b"inside"),
        (b"usr/back/top", b"top"),
        (b"out/top", b"top"),
        (b"far/usr/lib/x", b"inside"),
    ],
)
def test_a_directory_is_the_root_that_names_and_links_end_at(unpacked: Path, name: bytes, want: bytes) -> None:
    with open_unpacked(str(unpacked)) as open_content:
        assert content(open_content(name)) == want


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"secret", "No such file"),
        (b"../secret", "No such file"),
        (b"out/secret", "No such file"),
        (b"far/etc/passwd", "No such file"),
        (b"far/etc/hostname", "No such file"),
        (b"link", "no regular file"),
        (b"usr", "no regular file"),
        (b"pipe", "no regular file"),
        (b"top/x", "Not a directory"),
        (b"loop/x", "Too many levels"),
        (b"a\0b", "embedded null"),
        (b"", "No such file"),
        (b"..", "No such file"),
        (b"n" * 300, "File name too long"),
    ],
)
def test_what_is_no_file_inside_is_absent(unpacked: Path, name: bytes, reason: str) -> None:
    with open_unpacked(str(unpacked)) as open_content, pytest.raises(ContentAbsent, match=reason):
        content(open_content(name))


def open_descriptors() -> set[int]:
    """Those below 256 that are open."""
    found = set()
    for descriptor in range(256):
        with suppress(OSError):
            os.fstat(descriptor)
            found.add(descriptor)
    return found


def test_descriptors_are_closed(unpacked: Path) -> None:
    before = open_descriptors()
    for _ in range(3):
        with open_unpacked(str(unpacked)) as open_content:
            for name in (b"top", b"usr/lib/x", b"loop/x", b"nope/x", b"lib/x", b"top"):
                try:
                    next(iter(open_content(name)))
                except ContentAbsent:
                    continue
    assert open_descriptors() == before


def test_holes_of_the_file_system_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as stream:
        stream.seek(1 << 40)
        stream.write(b"end")
        stream.truncate((1 << 40) + (1 << 20))
    with open_unpacked(str(tmp_path)) as open_content:
        runs = list(open_content(b"holes"))
    sizes = [run if isinstance(run, int) else len(run) for run in runs]
    assert sum(sizes) == (1 << 40) + (1 << 20)
    if sum(len(run) for run in runs if isinstance(run, bytes)) < 1 << 20:  # a file system that knows holes
        assert b"end" in b"".join(run for run in runs if isinstance(run, bytes))


LAYER = layer(
    directory("d"), file("d/b", b"b" * 300_000), file("./a", b"first"), file("a", b"second"), hardlink("h", "a"),
    pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"), file("bad\udcff", b"raw"), file("e"),
)  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_layer_gives_its_files_in_any_order(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "layer"
    path.write_bytes(pack(LAYER))
    with open_layer(str(path)) as open_content:
        assert content(open_content(b"bad\xff")) == b"raw"
        assert content(open_content(b"/d/b")) == b"b" * 300_000
        assert content(open_content(b"e")) == b""
        assert [content(open_content(b"a")) for _ in range(3)] == [b"first", b"second", b"second"]
        sparse = content(open_content(b"sparse"))
        assert (len(sparse), sparse[10:60], sparse[4096:4216]) == (8192, CONTENT[:50], CONTENT[80:])
        for name in (b"h", b"d", b"nope"):
            with pytest.raises(ContentAbsent):
                content(open_content(name))


def test_a_layer_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(LAYER[:1000])
    with pytest.raises(MalformedInput, match="layer"), open_layer(str(tmp_path / "layer")):
        pass
