"""containers-storage: the same questions as of an archive, from `overlay-images` and its neighbours."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tarlayers import open_images
from tarlayers.analysis.changes import list_changes
from tarlayers.analysis.verify_root import verify_root
from tarlayers.image import load_layers
from tarlayers.merging.engine import merge_layers
from tarlayers.reference import choose_image
from tests.build import Member, archive, compact, device, directory, file, image, layer, opaque, sha256, whiteout
from tests.dataroot import Root, container, pack_root, podman_root, write_root
from tests.test_docker_root import corpus, letters, saved_archive

BASE = layer(directory("etc"), file("etc/x", b"1"), directory("d"), file("d/old"))
TOP = layer(whiteout("etc/x"), directory("d"), opaque("d"), file("d/new", b"2"))
APP = image(BASE, TOP, names=("localhost/app:v1",))
UNNAMED = image(BASE, names=(), created="2024-04-01T00:00:00Z")
WEB = container("web", APP, directory("d"), device("d/new", 0, 0), file("y", b"3"))


def in_directory(root: Root, where: Path) -> Path:
    return write_root(root, where / "storage")


def in_tar(root: Root, where: Path) -> Path:
    (where / "root.tar").write_bytes(pack_root(root, "containers/storage"))
    return where / "root.tar"


@pytest.mark.parametrize("put", [in_directory, in_tar])
def test_a_store_answers_as_the_archive_of_its_images(put: Callable[[Root, Path], Path], tmp_path: Path) -> None:
    found = open_images(put(podman_root([APP]), tmp_path))
    saved = open_images(io.BytesIO(archive("docker-20", APP)), contents=True)
    assert (found.kind, found.faults) == ("podman-root", ())
    (ours,), (theirs,) = found.images, saved.images
    assert (ours.names, ours.image_id, ours.history) == (theirs.names, theirs.image_id, theirs.history)
    assert ours.chain_ids == theirs.chain_ids
    load_layers(ours.layers, contents=True)
    assert [each.entries for each in ours.layers] == [each.entries for each in theirs.layers]
    assert [each.size for each in ours.layers] == [len(BASE), len(TOP)]
    assert [b"".join(each.open_plain()) for each in ours.layers] == [BASE, TOP]


def test_a_file_of_a_layer_that_was_hashed_before(tmp_path: Path) -> None:
    [app] = open_images(in_tar(podman_root([APP]), tmp_path)).images
    [entry] = [entry for entry in app.layers[1].read(hashed=True).entries if entry.path == "/d/new"]
    assert b"".join(app.layers[1].open_content(entry)) == b"2"


def test_images_that_others_stand_on_are_not_listed(tmp_path: Path) -> None:
    found = open_images(in_tar(podman_root([UNNAMED, APP]), tmp_path))
    assert [each.name for each in found.images] == ["localhost/app:v1"]
    below = choose_image(found.images, sha256(UNNAMED.config_bytes)[:12], None, unlisted=found.unlisted)
    assert len(below.layers) == 1


def test_manifests_and_their_digests(tmp_path: Path) -> None:
    root = podman_root([APP])
    manifest = next(member.data for path, member in root.items() if path.endswith("/manifest"))
    (app,) = open_images(in_tar(root, tmp_path)).images
    assert str(app.manifest_digest) == f"sha256:{sha256(manifest)}"
    assert [str(each.digest) for each in app.layers] == APP.diff_ids


def test_a_container_is_its_image_and_its_own_layer(tmp_path: Path) -> None:
    found = open_images(in_tar(podman_root([APP], [WEB]), tmp_path))
    web = choose_image(found.images, "container:web", None, unlisted=found.unlisted)
    assert [each.on_disk.role for each in web.layers if each.on_disk] == ["image", "image", "container"]
    assert sorted(merge_layers(web.layers)) == ["/d", "/etc", "/y"]
    assert letters(web) == ["C /d", "D /d/new", "A /y"]
    assert web.container is not None
    assert (web.container.state, web.container.image_id) == ("unknown", f"sha256:{sha256(APP.config_bytes)}")
    assert web.container.directories["UpperDir"].endswith(f"overlay/{web.container.mount_id}/diff")
    assert verify_root(found).findings == ()


def put(path: str, data: bytes) -> Callable[[Root], object]:
    return lambda root: root.update({path: replace(root.get(path, Member(path)), data=data)})


def edit_layers(**fields: object) -> Callable[[Root], object]:
    def edit(root: Root) -> None:
        layers = json.loads(root["overlay-layers/layers.json"].data)
        root["overlay-layers/layers.json"] = file(
            "overlay-layers/layers.json", compact([{**layers[0], **fields}, *layers[1:]])
        )

    return edit


FAULTS = {
    "layers that are no list": (put("overlay-layers/layers.json", b"{}"), "layers.json"),
    "layers that are no JSON": (put("overlay-layers/layers.json", b"["), "layers.json"),
    "an ID that leads away": (edit_layers(id="../../x"), "layers.json"),
    "a diff-digest that is none": (edit_layers(**{"diff-digest": "md5:1"}), "diff-digest"),
    "images that are numbers": (put("overlay-images/images.json", b"[1]"), "images.json"),
    "a container without a layer": (put("overlay-containers/containers.json", b'[{"id":"ab"}]'), "containers.json"),
    "a manifest that is no JSON": (put(f"overlay-images/{sha256(APP.config_bytes)}/manifest", b"x"), "manifest"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_is_named(fault: str, tmp_path: Path) -> None:
    spoil, place = FAULTS[fault]
    root = podman_root([APP], [WEB])
    spoil(root)
    found = open_images(in_tar(root, tmp_path))
    assert place in found.faults[0].place
    assert "V106" in [finding.code for finding in verify_root(found).findings]


def test_documents_are_held_against_what_the_store_says(tmp_path: Path) -> None:
    root = podman_root([APP])
    (config,) = (path for path in root if "/=" in path)
    root[config] = replace(root[config], data=root[config].data.replace(b"step 0", b"step 10"))
    report = verify_root(open_images(in_tar(root, tmp_path)))
    assert sorted({finding.code for finding in report.findings}) == ["V001", "V002"]


def test_a_list_of_manifests_is_no_image(tmp_path: Path) -> None:
    root = podman_root([APP])
    images = json.loads(root["overlay-images/images.json"].data)
    images.append({"id": "ab" * 32, "names": ["localhost/list:1"]})
    put("overlay-images/images.json", compact(images))(root)
    put(f"overlay-images/{'ab' * 32}/manifest", compact({"schemaVersion": 2, "manifests": []}))(root)
    found = open_images(in_tar(root, tmp_path))
    assert [(each.kind, each.names) for each in found.others] == [("index", ("localhost/list:1",))]
    assert len(found.images) == 1


@pytest.mark.conformance
def test_the_store_of_a_real_podman(tmp_path: Path) -> None:
    found = {path.rpartition("/")[2]: data for path, data in corpus("h1-store.podman58.")}
    data = {**found, "tar": next(d for p, d in corpus("h1-store.podman58.tar") if not p.endswith(".json"))}
    (tmp_path / "root.tar").write_bytes(data["tar"])
    opened = open_images(tmp_path / "root.tar")
    recorded = {each["Id"]: each for each in json.loads(data["h1-store.podman58.images.json"])}
    assert {each.image_id.hex for each in opened.images if each.image_id} == recorded.keys()
    for each in opened.images:
        assert each.image_id is not None
        truth = recorded[each.image_id.hex]
        assert (list(each.names), str(each.manifest_digest)) == (truth["Names"], truth["Digest"])
        saved = open_images(io.BytesIO(saved_archive(each)), contents=True).images[0]
        load_layers(each.layers, contents=True)
        assert [one.entries for one in each.layers] == [one.entries for one in saved.layers]
        assert list_changes(each, noise=True).layers[0].count("A") > 0
    assert verify_root(opened).findings == ()
