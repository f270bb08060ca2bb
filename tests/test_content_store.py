"""containerd's content store: manifests by content, names from its database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tarlayers import open_images
from tarlayers.analysis.verify import verify_archive
from tarlayers.merging.engine import merge_layers
from tarlayers.reference import choose_image
from tests.build import Files, Image, compact, directory, file, image, layer, oci, sha256, tar
from tests.test_bolt import Writer
from tests.test_docker_root import corpus

APP = image(layer(directory("etc"), file("etc/x", b"1")), names=("example.org/app:v1",))
LIB = image(layer(file("lib", b"2")), names=("example.org/lib:2",))
CONTENT = "io.containerd.content.v1.content"


def store_files(*, names: bool = True) -> Files:
    """The blobs of two images, and a database that names one of them twice."""
    packed = oci([APP, LIB])
    blobs = {name: data for name, data in packed.items() if name.startswith("blobs/sha256/") and data}
    files: Files = {f"{CONTENT}/{name}": data for name, data in blobs.items()}
    files[f"{CONTENT}/ingest/"] = b""
    if names:
        app = next(n for n, d in blobs.items() if isinstance(d, bytes) and b'"layers"' in d and config_of(APP) in d)
        target = {b"digest": b"sha256:" + app.rpartition("/")[2].encode(), b"mediatype": b"x"}
        tree = {b"v1": {b"default": {b"images": {name: {b"target": target} for name in (b"a:1", b"b:2")}}}}
        files["io.containerd.metadata.v1.bolt/meta.db"] = Writer(inline=300).write(tree)
    return files


def config_of(each: Image) -> bytes:
    return sha256(each.config_bytes).encode()


def write(files: Files, where: Path) -> Path:
    for name, data in files.items():
        path = where / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/") and isinstance(data, bytes):
            path.write_bytes(data)
    return where


def forms(files: Files, where: Path) -> Iterator[Path]:
    yield write(files, where / "containerd")
    members = [directory(name) if name.endswith("/") else file(name, data) for name, data in files.items()]
    (where / "root.tar").write_bytes(tar(members))
    yield where / "root.tar"


def test_images_have_the_names_of_the_database(tmp_path: Path) -> None:
    for path in forms(store_files(), tmp_path):
        found = open_images(path)
        assert (found.kind, found.faults) == ("containerd-root", ())
        assert [each.names for each in found.images] == [("a:1", "b:2"), ()]
        assert list(merge_layers(choose_image(found.images, "b:2").layers)) == ["/etc", "/etc/x"]
        assert verify_archive(found).ok


DATABASES = {
    "absent": None,
    "damaged": b"x" * 9000,
    "cut": Writer().write({b"v1": {b"default": {b"images": {}}}})[: 4 * 4096],
}


@pytest.mark.parametrize("database", DATABASES)
def test_without_names_images_are_listed_by_digest(database: str, tmp_path: Path) -> None:
    files = store_files(names=False)
    data = DATABASES[database]
    if data is not None:
        files["io.containerd.metadata.v1.bolt/meta.db"] = data
    found = open_images(write(files, tmp_path))
    assert [each.names for each in found.images] == [(), ()]
    assert "listed by digest" in found.faults[0].reason


def test_the_content_directory_alone_will_do(tmp_path: Path) -> None:
    found = open_images(write(store_files(), tmp_path) / CONTENT)
    assert (found.kind, len(found.images)) == ("containerd-root", 2)


def test_a_name_whose_blob_is_gone_is_absent(tmp_path: Path) -> None:
    files = store_files(names=False)
    tree = {b"v1": {b"k8s.io": {b"images": {b"gone:1": {b"target": {b"digest": b"sha256:" + b"ab" * 32}}}}}}
    files["io.containerd.metadata.v1.bolt/meta.db"] = Writer().write(tree)
    found = open_images(write(files, tmp_path))
    assert [(each.kind, each.names) for each in found.others] == [("absent", ("gone:1",))]


def test_manifests_below_an_index_are_listed_by_it(tmp_path: Path) -> None:
    files = store_files(names=False)
    manifests = [
        {"digest": f"sha256:{name.rpartition('/')[2]}", "size": len(data)}
        for name, data in files.items()
        if isinstance(data, bytes) and b'"schemaVersion"' in data
    ]
    index = compact({"schemaVersion": 2, "manifests": manifests})
    files[f"{CONTENT}/blobs/sha256/{sha256(index)}"] = index
    files["io.containerd.metadata.v1.bolt/meta.db"] = Writer().write(
        {b"v1": {b"default": {b"images": {b"all:1": {b"target": {b"digest": f"sha256:{sha256(index)}".encode()}}}}}}
    )
    assert [each.names for each in open_images(write(files, tmp_path)).images] == [("all:1",), ("all:1",)]
    del files["io.containerd.metadata.v1.bolt/meta.db"]
    found = open_images(write(files, tmp_path / "again"))
    assert [claim.place for claim in found.layout.claims if claim.role == "index"] == ["index.json manifests[0]"]
    assert not [claim for claim in found.layout.claims if claim.place.startswith("index.json manifests[1]")]


def test_documents_that_are_no_manifests_are_left_alone(tmp_path: Path) -> None:
    files = store_files()
    files[f"{CONTENT}/blobs/sha256/{'cd' * 32}"] = compact({"layers": "none", "x": 1})
    files[f"{CONTENT}/blobs/sha256/{'ce' * 32}"] = b"{ no JSON"
    files[f"{CONTENT}/blobs/sha256/{'cf' * 32}"] = compact({"manifests": [{"name": "of something else"}]})
    files[f"{CONTENT}/blobs/sha256/{'da' * 32}"] = compact({"layers": [], "config": {"digest": 1}})
    assert len(open_images(write(files, tmp_path)).images) == 2


DEEP = b'{"manifests":[],"annotations":{"a":' + b"[" * 300 + b"]" * 300 + b"}}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ce" * 32, DEEP),
        ("cf" * 32, b'{"manifests":[],"annotations":{"a":1' + b"0" * 30 + b',"b":"\xff"}}'),
    ],
    ids=["nested deep", "a number of more than 64 bits"],
)
def test_an_odd_blob_does_not_stand_in_the_way_of_others(name: str, data: bytes, tmp_path: Path) -> None:
    found = open_images(write({**store_files(), f"{CONTENT}/blobs/sha256/{name}": data}, tmp_path))
    assert len(found.images) == 2


@pytest.mark.parametrize("name", ["stray.json", "\udcff", "ab" * 31])
def test_a_file_that_is_called_by_no_digest_is_no_blob(name: str, tmp_path: Path) -> None:
    files = {**store_files(), f"{CONTENT}/blobs/sha256/{name}": b'{"manifests":[]}'}
    for path in forms(files, tmp_path):
        found = open_images(path)
        assert len(found.images) == 2
        assert [fault.place.rpartition("/")[2] for fault in found.faults] == [name]


@pytest.mark.conformance
def test_the_store_of_a_real_containerd(tmp_path: Path) -> None:
    ((_, data),) = ((name, data) for name, data in corpus("h1-store.ctr21.tar") if not name.endswith(".json"))
    (tmp_path / "root.tar.zst").write_bytes(zstandard.compress(data))
    found = open_images(tmp_path / "root.tar.zst")
    assert sorted({name for each in found.images for name in each.names}) == [
        *(f"example.org/nekami/app:{tag}" for tag in ("base", "none", "oci", "v1", "v2")),
        *(f"example.org/nekami/multi:{tag}" for tag in ("1", "latest")),
        "example.org/nekami/tree:1.0",
    ]
    assert verify_archive(found).ok
