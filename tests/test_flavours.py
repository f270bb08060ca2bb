"""One image, every layout: the same answers. And odd archives: what they are, what is answered."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.build import Image, directory, file, hardlink, image, layer, pack, symlink, unpack, whiteout
from tests.flavours import PRODUCERS
from tests.run import run

BASE = layer(
    directory("etc"), file("etc/os-release", b"ID=x\n"), file("etc/secret", b"s" * 700), symlink("bin", "usr/bin"),
    directory("usr"), directory("usr/bin"), file("usr/bin/sh", b"#!" * 900, mode=0o755),
)  # fmt: skip
AGAIN = layer(directory("srv"), file("srv/again", b"again"))
APP = layer(whiteout("etc/secret"), file("app", b"app", mode=0o755), hardlink("app2", "app"))


def app(**overrides: Any) -> Image:
    """Four layers, one of them twice, an empty step among them, two names."""
    steps: list[dict[str, Any]] = [{"created": "2024-05-01T10:00:00Z", "created_by": f"step {i}"} for i in range(4)]
    steps.insert(2, {"created": "2024-05-01T10:00:01Z", "created_by": "ENV A=1", "empty_layer": True})
    names = ("example.org/app:v1", "example.org/app:extra")
    return image(BASE, AGAIN, APP, AGAIN, names=names, **{"history": steps, **overrides})


STORAGE = ("digest", "size", "compression", "media_type")
"""Of a layer: how it is stored, which is what flavours differ in."""


def answers(*archive: str | Path, stdin: bytes = b"") -> dict[str, Any]:
    """`inspect`, `layers` and `ls -R`, without what tells how blobs are stored."""
    (found,) = run("inspect", *archive, "-f", "json", stdin=stdin).json["images"]
    cost = run("layers", *archive, "-f", "json", stdin=stdin).json["layers"]
    for row in (*found["layers"], *cost):
        for key in STORAGE:
            del row[key]
    for key in ("manifest_digest", "annotations"):
        del found[key]
    return {**found, "cost": cost, "ls": run("ls", "-R", *archive, "-f", "json", stdin=stdin).json["entries"]}


def lay_out(flavour: str, images: list[Image], tmp_path: Path) -> Path:
    producer = PRODUCERS[flavour]
    if not producer.tar:
        return unpack(producer.make(images), tmp_path / "image")
    path = tmp_path / "image.tar"
    path.write_bytes(pack(producer.make(images)))
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What OCI's plain layout says, after a look that it says what was built."""
    built = app()
    found = answers(lay_out("oci-none", [built], tmp_path_factory.mktemp("expected")))
    assert found["names"] == list(built.names)
    assert [row["diff_id"] for row in found["layers"]] == built.diff_ids
    assert [entry["path"] for entry in found["ls"]] == [
        "/app", "/app2", "/bin", "/etc", "/etc/os-release", "/srv", "/srv/again", "/usr", "/usr/bin", "/usr/bin/sh",
    ]  # fmt: skip
    assert [(row["created_by"], row["layer"]) for row in found["history"]] == [
        ("step 3", 3), ("step 2", 2), ("ENV A=1", None), ("step 1", 1), ("step 0", 0),
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("flavour", PRODUCERS)
def test_every_flavour_gives_the_same_answers(flavour: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = answers(lay_out(flavour, [app()], tmp_path))
    lacks = PRODUCERS[flavour].lacks
    different = {key for key in expected if found[key] != expected[key]}
    assert different == set(lacks)
    assert run("verify", lay_out(flavour, [app()], tmp_path), "-q").code == 0


OUTER: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
