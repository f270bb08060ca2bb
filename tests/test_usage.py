"""`ls --du`: what stands below a path, where it comes from, and in which order it is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import tarlayers
from tarlayers.analysis.usage import Usage, measure_usage
from tests.build import archive, directory, file, hardlink, image, layer, symlink
from tests.strategies import LAYERS
from tests.test_waste import visible_bytes

STACK = (
    layer(
        directory("usr"), file("usr/a", b"x" * 300), file("usr/lib/b", b"x" * 50), hardlink("usr/lib/c", "usr/lib/b")
    ),
    layer(file("usr/lib/d", b"x" * 700), file("gone", b"x" * 9000), symlink("bin", "usr")),
)


def rootfs_of(*layers: bytes) -> tarlayers.RootFS:
    return tarlayers.merge_layers(
        tarlayers.open_images(io.BytesIO(archive("docker-25", image(*layers)))).images[0].layers
    )


def test_sums_by_directory_and_layer() -> None:
    root = rootfs_of(*STACK)
    assert measure_usage(root, ["", "/usr", "/usr/lib", "/usr/a", "/bin"]) == [
        Usage("", 10_050, 4, {1: 9700, 0: 350}),
        Usage("/usr", 1050, 3, {1: 700, 0: 350}),
        Usage("/usr/lib", 750, 2, {1: 700, 0: 50}),
        Usage("/usr/a", 300, 1, {0: 300}),
        Usage("/bin", 0, 0, {}),
    ]


def test_a_hard_link_counts_in_each_directory_and_once_above() -> None:
    root = rootfs_of(layer(file("a/x", b"12"), hardlink("b/x", "a/x"), hardlink("b/y", "a/x")))
    sizes = {usage.path: (usage.bytes, usage.files) for usage in measure_usage(root, ["", "/a", "/b"])}
    assert sizes == {"": (2, 1), "/a": (2, 1), "/b": (2, 1)}


@given(layers=LAYERS)
@settings(max_examples=60, deadline=None)
def test_the_root_has_what_is_visible(layers: list[bytes]) -> None:
    stack = tarlayers.open_images(io.BytesIO(archive("docker-25", image(*layers)))).images[0]
    (usage,) = measure_usage(tarlayers.merge_layers(stack.layers), [""])
    assert usage.bytes == sum(usage.by_layer.values()) == visible_bytes(stack, "containerd")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("docker-25", image(*STACK)))
    return path


def test_text_is_largest_first_and_the_total_last(app: Path, run: Any) -> None:
    assert run("ls", "--du", app).decode().splitlines() == [
        "   9kB  L1 9kB             /gone",
        "1.05kB  L1 700B, L0 350B   /usr",
        "    0B                     /bin",
        "10.1kB  L1 9.7kB, L0 350B  /",
    ]


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ([], ["/gone", "/usr", "/bin", "/"]),
        (["--depth", "2"], ["/gone", "/usr", "/usr/lib", "/usr/a", "/bin", "/"]),
        (["-R", "--type", "dir"], ["/usr", "/usr/lib", "/"]),
        (["--depth", "1"], ["/gone", "/usr", "/bin", "/"]),
    ],
)
def test_what_is_listed(arguments: list[str], paths: list[str], app: Path, run: Any) -> None:
    lines = run("ls", "--du", *arguments, app).decode().splitlines()
    assert [line.split()[-1] for line in lines] == paths


def test_below_a_path_and_of_a_file(app: Path, run: Any) -> None:
    lines = run("ls", "--du", app, "/bin/lib").decode().splitlines()
    assert [line.split()[-1] for line in lines] == ["/usr/lib/d", "/usr/lib/b", "/usr/lib/c", "/usr/lib"]
    assert run("ls", "--du", app, "/usr/a").decode().split() == ["300B", "L0", "300B", "/usr/a"]


def test_json_stays_in_the_order_of_paths(app: Path, run: Any) -> None:
    document = json.loads(run("ls", "--du", app, "-f", "json"))
    assert [entry["path"] for entry in document["entries"]] == ["/bin", "/gone", "/usr"]
    assert document["entries"][2]["du"] == {
        "bytes": 1050,
        "files": 3,
        "layers": [{"layer": 1, "bytes": 700}, {"layer": 0, "bytes": 350}],
    }
    assert document["total"]["bytes"] == 10_050


def test_depth_without_du(app: Path, run: Any) -> None:
    assert run("ls", "--depth", "2", app).decode().split() == ["/bin", "/gone", "/usr", "/usr/a", "/usr/lib"]
