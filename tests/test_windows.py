"""Windows images: the file system below Files/, the registry below Hives/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build import archive, directory, file, hardlink, image, layer, whiteout
from tests.run import run

BASE = layer(
    directory("Files"), directory("Files/Windows"), file("Files/Windows/a.dll", b"a"), file("Files/old.txt"),
    hardlink("Files/b.dll", "Files/Windows/a.dll"), directory("Hives"), file("Hives/Software_Delta", b"regf"),
    directory("UtilityVM"), file("UtilityVM/Files/x"),
)  # fmt: skip
TOP = layer(file("Files/app.exe", b"MZ"), whiteout("Files/old.txt"), file("Hives/System_Delta"))
PLAIN = layer(file("etc/hosts"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "windows.tar"
    made.write_bytes(archive("docker-25-gzip", image(BASE, TOP, PLAIN, platform="windows/amd64")))
    return made


def test_what_a_container_sees_lies_below_files(path: Path) -> None:
    """PLAIN was made by a tool that does not know the form: it stands as it is."""
    entries = run("ls", "-R", path, "-f", "json").json["entries"]
    assert {entry["path"]: entry["layer"] for entry in entries} == {
        "/Windows": 0, "/Windows/a.dll": 0, "/b.dll": 0, "/app.exe": 1, "/etc": 2, "/etc/hosts": 2,
    }  # fmt: skip
    assert {entry["path"]: entry.get("links") for entry in entries}["/b.dll"] == ["/Windows/a.dll"]
    assert run("cat", path, "/b.dll").stdout == b"a"


def test_layers_say_what_they_have(path: Path) -> None:
    rows = run("layers", path, "-f", "json").json["layers"]
    assert [row.get("windows") for row in rows] == [["Files", "Hives", "UtilityVM"], ["Files", "Hives"], None]
    assert "gzip windows (Files, Hives)" in run("layers", path).stdout.decode()


def test_a_layer_alone_stays_raw(path: Path) -> None:
    assert run("ls", path, "--only", "1").stdout.decode().splitlines() == [
        "/Files/app.exe", "/Files/.wh.old.txt", "/Hives/System_Delta",
    ]  # fmt: skip
    assert run("cat", path, "/Files/app.exe", "--only", "1").stdout == b"MZ"


def test_the_same_layers_of_a_linux_image_stand_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "linux.tar"
    path.write_bytes(archive("docker-25", image(BASE, TOP)))
    assert "/Files/app.exe" in run("ls", "-R", path).stdout.decode().splitlines()
    assert "windows" not in run("layers", path, "-f", "json").json["layers"][0]


def test_directories_that_no_entry_lists_lie_below_files_too(tmp_path: Path) -> None:
    path = tmp_path / "windows.tar"
    layers = layer(file("Files/a/b/c"), hardlink("Files/d/e", "Files/a/b/c")), layer(whiteout("Files/a/b/c"))
    path.write_bytes(archive("docker-20", image(*layers, platform="windows/amd64")))
    for engine in ("containerd", "oci"):
        assert run("ls", "-R", path, "--at", "0", "--engine", engine).lines == ["/a", "/a/b", "/a/b/c", "/d", "/d/e"]
        assert run("ls", "-R", path, "--engine", engine).lines == ["/a", "/a/b", "/d", "/d/e"]
