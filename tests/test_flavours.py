"""One image, every layout: the same answers. And odd archives: what they are, what is answered."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from tests.build import (
    OCI,
    REF_NAME,
    Files,
    Image,
    compact,
    descriptor,
    directory,
    file,
    hardlink,
    image,
    layer,
    oci_manifest,
    pack,
    sha256,
    symlink,
    unpack,
    whiteout,
)
from tests.flavours import PRODUCERS
from tests.oci_flavours import INDEX, index, oci_layout
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


MULTIPLE = [name for name in PRODUCERS if name not in ("jib", "dir", "docker-1.0-by-id")]
"""Those that can hold several images; v1.0 without `repositories` could, but has no names to tell them by."""


@pytest.mark.parametrize("flavour", MULTIPLE)
def test_every_flavour_holds_several_images(flavour: str, expected: dict[str, Any], tmp_path: Path) -> None:
    second = image(BASE, APP, names=("example.org/other:v2",))
    path = lay_out(flavour, [app(), second], tmp_path)
    found = run("inspect", path, "-f", "json").json["images"]
    lacks = PRODUCERS[flavour].lacks
    assert [row["names"] for row in found] == (
        [[], []] if "names" in lacks else [expected["names"], ["example.org/other:v2"]]
    )
    assert [[layer["diff_id"] for layer in row["layers"]] for row in found] == [app().diff_ids, second.diff_ids]
    assert run("ls", path).code == 2
    reference = "@1" if "names" in lacks else "other:v2" if flavour == "docker-25" else "v2"
    assert run("cat", f"{path}#{reference}", "/app").stdout == b"app"


# -- how it comes ------------------------------------------------------------------------------------

OUTER: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("inspect",), ("layers",), ("history",), ("ls", "-R", "--digests"), ("ls", "--only", "0"), ("verify",),
)  # fmt: skip


def every_answer(source: str | Path, stdin: bytes = b"") -> list[Any]:
    found = []
    for question in QUESTIONS:
        ran = run(*question, source, "-f", "json", stdin=stdin)
        document = json.loads(ran.stdout) if ran.stdout else {}
        document.pop("archive", None)
        found.append(
            (ran.code, orjson.dumps(document), ran.stderr.replace(str(source), "-").replace("standard input", "-"))
        )
    return found


TARS = [name for name, producer in PRODUCERS.items() if producer.tar]


@pytest.mark.parametrize("flavour", TARS)
def test_a_stream_answers_as_the_file_does(flavour: str, tmp_path: Path) -> None:
    path = lay_out(flavour, [app()], tmp_path)
    assert every_answer("-", path.read_bytes()) == every_answer(path)


@pytest.mark.parametrize("outer", OUTER)
def test_outer_compression_changes_nothing_but_itself(outer: str, tmp_path: Path) -> None:
    path = lay_out("podman skopeo", [app()], tmp_path)
    packed = tmp_path / "image.packed"
    packed.write_bytes(OUTER[outer](path.read_bytes()))
    assert every_answer(packed) == every_answer("-", packed.read_bytes()) == every_answer(path)
    assert run("inspect", packed, "-f", "json").json["archive"] == {
        "path": str(packed), "kind": "docker-archive", "size": packed.stat().st_size, "compression": outer,
    }  # fmt: skip
    assert run("cat", packed, "/etc/os-release").stdout == run("cat", path, "/etc/os-release").stdout == b"ID=x\n"


@pytest.mark.parametrize("compress", [bytes, *OUTER.values()], ids=["none", *OUTER])
def test_a_bare_layer_is_an_image_of_one_layer(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A layer blob, or what `docker export` writes: nothing tells of it, so everything is computed."""
    path = tmp_path / "layer"
    path.write_bytes(compress(BASE))
    found = run("inspect", path, "-f", "json").json
    assert found["archive"]["kind"] == "layer"
    assert [layer["diff_id"] for layer in found["images"][0]["layers"]] == [f"sha256:{sha256(BASE)}"]
    assert run("cat", path, "/etc/os-release").stdout == b"ID=x\n"
    assert every_answer("-", path.read_bytes()) == every_answer(path)


@pytest.mark.parametrize("linked", ["blobs", "blobs/sha256", "blobs/sha256/*"])
def test_blobs_that_are_linked_into_a_layout(linked: str, expected: dict[str, Any], tmp_path: Path) -> None:
    """As Bazel lays out an image, and as people share blobs between layouts."""
    root = unpack(PRODUCERS["oci-gzip"].make([app()]), tmp_path / "layout")
    for path in list(root.glob(linked)):
        path.rename(away := tmp_path / f"away-{path.name}")
        path.symlink_to(away)
    (root / "elsewhere").symlink_to("/usr")
    assert answers(root) == expected


@pytest.mark.parametrize(
    ("flavour", "others"),
    [
        ("attested", ["attestation"]),
        ("absent-platform", ["absent"]),
        ("nested-index", []),
        ("docker-25", []),
    ],
)
def test_what_is_no_image_is_listed_once(flavour: str, others: list[str], tmp_path: Path) -> None:
    """Each of the two names leads to the same index, which therefore is met twice."""
    found = run("inspect", lay_out(flavour, [app()], tmp_path), "-f", "json").json
    assert [other["kind"] for other in found["others"]] == others
    assert len(found["images"]) == 1


def test_annotations_come_down_from_every_document(tmp_path: Path) -> None:
    """The manifest's, the indexes' above it and those of the descriptors, with labels beside them."""
    files: Files = {}
    built = app(run={"Labels": {"org.opencontainers.image.title": "app"}})
    manifest = json.loads(oci_manifest(files, built, "gzip")) | {"annotations": {"a": "manifest", "b": "manifest"}}
    inner = descriptor(files, f"{OCI}.manifest.v1+json", compact(manifest), annotations={"a": "descriptor"})
    nested_index = descriptor(
        files, INDEX, index([inner], annotations={"b": "index", "c": "index"}), annotations={REF_NAME: "app:v1"}
    )
    path = tmp_path / "annotated.tar"
    path.write_bytes(pack(oci_layout(files, [nested_index])))
    (found,) = run("inspect", path, "-f", "json").json["images"]
    assert found["annotations"] == {"a": "descriptor", "b": "manifest", "c": "index", REF_NAME: "app:v1"}
    text = run("inspect", path).stdout.decode()
    assert "label       org.opencontainers.image.title=app" in text
    assert f"annotation  {REF_NAME}=app:v1" in text


@pytest.mark.parametrize("flavour", PRODUCERS)
def test_every_layer_has_the_digest_of_its_blob(flavour: str, tmp_path: Path) -> None:
    """Also where no document says it, as in most docker-archives."""
    blobs = [data for data in PRODUCERS[flavour].make([app()]).values() if isinstance(data, bytes)]
    sizes = {f"sha256:{sha256(data)}": len(data) for data in blobs}
    path = lay_out(flavour, [app()], tmp_path)
    for row in run("layers", path, "-f", "json").json["layers"]:
        assert sizes[row["digest"]] == row["size"]
    for row in run("inspect", path, "-f", "json").json["images"][0]["layers"]:
        assert row["digest"] in sizes or (row["digest"] is None and row["compression"] != "none")
