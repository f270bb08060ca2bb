"""Data roots that claim much: files with many names, layers in many images, chains without an end. Each costs no more
than the limits allow, and what has no end is named.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tarlayers import open_images
from tarlayers.errors import LimitExceeded
from tarlayers.imagearchive import ImageArchive
from tarlayers.limits import DEFAULT_LIMITS, NO_LIMITS, Limits
from tests.build import compact, directory, file, hardlink, image, layer, sha256, tar
from tests.dataroot import Root, chain_ids, container, docker_root, pack_root, podman_root

APP = image(layer(file("a")), layer(file("b")), layer(file("c")), names=("x/app:1",))
OTHER = image(layer(file("d")), names=("x/other:1",))
DEEP = image(layer(file("e")), names=("x/deep:1",), run={"Deep": json.loads("[" * 20 + "]" * 20)})
WEB = container("web", APP)


def open_root(root: Root, where: Path, limits: Limits = DEFAULT_LIMITS) -> ImageArchive:
    (where / "root.tar").write_bytes(pack_root(root))
    return open_images(where / "root.tar", limits=limits)


def without_image(root: Root) -> Root:
    """A container whose image is gone has its layers by the parents that the root records."""
    config = f"image/overlay2/imagedb/content/sha256/{sha256(APP.config_bytes)}"
    return {path: member for path, member in root.items() if path != config}


AT_THE_BOUND: dict[str, tuple[Root, dict[str, int]]] = {
    "images and containers, docker": (docker_root([APP, OTHER], [WEB]), {"manifests": 3}),
    "images and containers, podman": (podman_root([APP, OTHER], [WEB]), {"manifests": 3}),
    "layers of an image, docker": (docker_root([APP]), {"layers": 3}),
    "layers of a container, docker": (without_image(docker_root([APP], [WEB])), {"layers": 3}),
    "layers of an image, podman": (podman_root([APP]), {"layers": 3}),
    "depth of a configuration, docker": (docker_root([DEEP]), {"document_depth": 22}),
    "depth of a configuration, podman": (podman_root([DEEP]), {"document_depth": 22}),
}


@pytest.mark.parametrize("what", AT_THE_BOUND)
def test_the_bound_itself_passes_and_one_more_fails(what: str, tmp_path: Path) -> None:
    root, bounds = AT_THE_BOUND[what]
    assert open_root(root, tmp_path, Limits(**bounds)).faults == ()
    ((name, bound),) = bounds.items()
    with pytest.raises(LimitExceeded, match=rf"\(limit {name} = {bound - 1}\)"):
        open_root(root, tmp_path, Limits(**{name: bound - 1}))
    open_root(root, tmp_path, NO_LIMITS)


def test_a_file_of_one_line_is_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    root = docker_root([APP])
    place = next(path for path in root if path.endswith("/size"))
    root[place] = file(place, b"0" * (1 << 16))
    open_root(root, tmp_path)
    root[place] = file(place, b"0" * ((1 << 16) + 1))
    with pytest.raises(LimitExceeded, match=rf"{place}.*limit path_bytes"):
        open_root(root, tmp_path)


def edit_layer(root: Root, layer_id: str, **fields: object) -> None:
    layers = json.loads(root["overlay-layers/layers.json"].data)
    layers = [{**each, **fields} if each["id"] == layer_id else each for each in layers]
    root["overlay-layers/layers.json"] = file("overlay-layers/layers.json", compact(layers))


def test_a_docker_layer_that_stands_on_itself_is_named(tmp_path: Path) -> None:
    root = without_image(docker_root([APP, OTHER], [WEB]))
    for at, (below, chain_id) in enumerate(zip(chain_ids(APP), [chain_ids(APP)[-1], *chain_ids(APP)], strict=False)):
        place = f"image/overlay2/layerdb/{below.replace(':', '/')}/parent"
        assert at == 0 or root[place].data == chain_id.encode()
        root[place] = file(place, chain_id.encode())
    found = open_root(root, tmp_path)
    [fault] = found.faults
    assert fault.place == f"image/overlay2/layerdb/mounts/{WEB.id}"
    assert "stands on itself" in fault.reason
    assert [each.name for each in found.images] == ["x/other:1"]
    assert found.unlisted == ()


def test_a_podman_layer_that_stands_on_itself_is_named(tmp_path: Path) -> None:
    root = podman_root([APP, OTHER], [WEB])
    top, bottom = (sha256(f"layer {chain_ids(APP)[at]}".encode()) for at in (-1, 0))
    edit_layer(root, bottom, parent=top)
    found = open_root(root, tmp_path)
    assert [fault.place for fault in found.faults] == [f"overlay-images/{sha256(APP.config_bytes)}", WEB.id]
    assert all("stands on itself" in fault.reason for fault in found.faults)
    assert [each.name for each in found.images] == ["x/other:1"]


def test_layers_count_for_each_image_that_has_them(tmp_path: Path) -> None:
    """Two thousand images of twenty thousand layers are 40 million, which 0.7 MB can claim."""
    layers = [{"id": f"l{i}", **({"parent": f"l{i - 1}"} if i else {})} for i in range(500)]
    images = [{"id": f"i{i}", "layer": "l499"} for i in range(100)]
    documents = {"overlay-layers/layers.json": compact(layers), "overlay-images/images.json": compact(images)}
    root = {path: file(path, data) for path, data in documents.items()}
    size = sum(map(len, documents.values()))
    assert len(open_root(root, tmp_path).images) == 100
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        open_root(root, tmp_path, Limits(documents_bytes=100 * size))


def test_a_file_counts_under_each_of_its_names(tmp_path: Path) -> None:
    root = docker_root([APP])
    place = f"image/overlay2/layerdb/{chain_ids(APP)[0].replace(':', '/')}/cache-id"
    root[place] = replace(root[place], data=b"c" * 50_000)
    for i in range(20):
        name = f"image/overlay2/layerdb/sha256/{i:064}/cache-id"
        root[name] = hardlink(name, place)
    open_root(root, tmp_path)
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        open_root(root, tmp_path, Limits(documents_bytes=500_000))


def test_a_blob_of_a_content_store_counts_under_each_of_its_names(tmp_path: Path) -> None:
    base = "io.containerd.content.v1.content/blobs/sha256/"
    document = compact({"x": [0] * 5000})
    names = [f"{base}{i:064}" for i in range(20)]
    members = [directory(base), file(names[0], document), *(hardlink(name, names[0]) for name in names[1:])]
    (tmp_path / "root.tar").write_bytes(tar(members))
    open_images(tmp_path / "root.tar", limits=Limits(documents_bytes=100 * len(document)))
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        open_images(tmp_path / "root.tar", limits=Limits(documents_bytes=19 * len(document)))


@pytest.mark.parametrize("text", ["!" * 60_000, "sha256:" + "x" * 60_000])
def test_a_message_has_the_front_of_what_is_wrong(text: str, tmp_path: Path) -> None:
    root = docker_root([APP], [WEB])
    for path in list(root):
        if path.endswith(("/cache-id", "/diff", "/mount-id")) and "layerdb" in path:
            root[path] = file(path, text.encode())
    found = open_root(root, tmp_path)
    assert found.faults
    assert all(len(fault.reason) < 250 for fault in found.faults)
