"""docker-archives: `manifest.json` as every `docker save` since 1.10 writes it, and version 1.0 before that, which
has a `<id>/json` for each layer and `repositories` to name the top ones (moby image/spec/v1.md, v1.1.md, v1.2.md).

Member names are whatever `manifest.json` says; each producer has its own (docs/formats.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput, ReadFailed, quote
from tarlayers.formats.documents import (
    Config,
    DockerManifestItem,
    V1Image,
    chain_v1_config,
    parse_docker_manifest,
    parse_repositories,
    parse_v1_image,
)
from tarlayers.formats.whiteout import clean_path
from tarlayers.sources.inventory import Inventory, digest_of_name
from tarlayers.sources.layout import ImageRecord, LayerRecord, pair_layers

_V1_DOCUMENT = re.compile(r"([0-9a-f]{64})/json")


def read_docker_archive(found: Inventory) -> None:
    """Read `manifest.json`: new images, and more names for those that the OCI documents told of."""
    by_id: dict[Digest | None, object] = {
        image.image_id: key for key, image in found.images.items() if image.image_id is not None
    }
    for i, item in enumerate(parse_docker_manifest(found.documents["manifest.json"], "manifest.json")):
        place = f"manifest.json[{i}]"
        found.count_manifest(place)
        found.check_layer_count(len(item.layers), place)
        config_blob = clean_path(item.config)[1:]
        try:
            config, image_id = found.read_config(config_blob)
            if config is None:
                raise MalformedInput(f"its Config {quote(item.config)} is not in the archive", place=place)
        except ReadFailed:
            raise
        except MalformedInput as error:
            found.add_unreadable(item.repo_tags, error)
            continue
        known = by_id.get(image_id)
        if known is not None:
            found.add_names(known, item.repo_tags)
            continue
        key = by_id[image_id] = ("docker", image_id)
        found.images[key] = _make_image(found, item, config, image_id, config_blob)


def _make_image(
    found: Inventory, item: DockerManifestItem, config: Config, image_id: Digest | None, config_blob: str
) -> ImageRecord:
    layers = []
    for name, diff_id in pair_layers(item.layers, config.diff_ids or ()):
        source = item.layer_sources.get(str(diff_id)) if diff_id else None
        blob = clean_path(name)[1:]
        layers.append(
            LayerRecord(
                blob=blob if blob in found.sizes else None,
                claimed_digest=digest_of_name(blob),
                claimed_size=None,
                media_type=source.media_type if source else None,
                claimed_diff_id=diff_id,
                annotations=source.annotations if source else {},
                urls=source.urls if source else (),
            )
        )
    return _docker_record(found.merge_names((), item.repo_tags), image_id, config, config_blob, layers)


def _docker_record(
    names: tuple[str, ...], image_id: Digest | None, config: Config, config_blob: str, layers: Sequence[LayerRecord]
) -> ImageRecord:
    return ImageRecord(
        names=names,
        image_id=image_id,
        manifest_digest=None,
        platform=config.platform,
        config=config,
        config_blob=config_blob,
        layers=tuple(layers),
        annotations={},
        flavour="docker",
    )


# -- version 1.0 -----------------------------------------------------------------------------------


def has_v1_images(found: Inventory) -> bool:
    """Say whether there are version 1.0 documents: `repositories` leads to one, or all that is there are layers."""
    try:
        return any(f"{top}/json" in found.documents for top in _find_v1_tops(found))
    except MalformedInput:
        return False


def read_v1_images(found: Inventory) -> None:
    """Read version 1.0: names point at the top layer, and each layer at its parent."""
    for top, names in _find_v1_tops(found).items():
        try:
            chain = list(_v1_chain(found, top))[::-1]
        except ReadFailed:
            raise
        except MalformedInput as error:
            found.add_unreadable(names, error)
            continue
        config = chain_v1_config(chain[-1].config, [image.step for image in chain])
        blobs = [f"{image.id}/layer.tar" for image in chain]
        layers = [LayerRecord(blob if blob in found.sizes else None, None, None, None, None, {}, ()) for blob in blobs]
        found.images[top] = _docker_record(found.merge_names((), names), None, config, f"{top}/json", layers)


def _find_v1_tops(found: Inventory) -> dict[str, list[str]]:
    """Map the ID of each top layer to its names. `docker save ID` wrote no `repositories` before 1.10:
    then the layers that nobody calls a parent are the top ones.
    """
    tops: dict[str, list[str]] = {}
    if "repositories" in found.documents:
        for name, top in parse_repositories(found.documents["repositories"], "repositories").items():
            tops.setdefault(top, []).append(name)
    if tops:
        return tops
    matches = [_V1_DOCUMENT.fullmatch(name) for name in found.sizes]
    layers = [match[1] for match in matches if match and f"{match[1]}/layer.tar" in found.sizes]
    documents = {v1_id: f"{v1_id}/json" for v1_id in layers if f"{v1_id}/json" in found.documents}
    parents = {parse_v1_image(found.documents[name], name).parent for name in documents.values()}
    return {v1_id: [] for v1_id in documents if v1_id not in parents}


def _v1_chain(found: Inventory, top: str) -> Iterator[V1Image]:
    seen: set[str] = set()
    at: str | None = top
    while at:
        place = f"{at}/json"
        if at in seen:
            raise MalformedInput("a layer that is its own ancestor", place=place)
        if place not in found.documents:
            raise MalformedInput("not in the archive, but a layer above names it as its parent", place=place)
        seen.add(at)
        found.check_layer_count(len(seen), place)
        image = parse_v1_image(found.documents[place], place)
        yield image._replace(id=at)
        at = image.parent
