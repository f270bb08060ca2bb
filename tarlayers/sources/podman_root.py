"""A containers-storage root (`/var/lib/containers/storage`; podman, buildah, CRI-O): images, containers, layers.

    <driver>-images/images.json              id names layer digest big-data-names
    <driver>-images/<id>/manifest            and other big data; names beyond [0-9.a-z] as `=` and base64
    <driver>-layers/layers.json              id parent diff-digest diff-size compressed-diff-digest
    <driver>-layers/<id>.tar-split.gz
    <driver>-containers/containers.json      id names image layer
    overlay/<layer>/diff                     with `link` and `lower` beside

A layer's ID is no digest of anything that can be recomputed: pulls derive it from the diff IDs, builds draw it at
random. Source: containers/storage store.go, images.go, layers.go, containers.go, drivers/overlay/overlay.go.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput, quote
from tarlayers.formats.document_fields import MANIFEST
from tarlayers.formats.documents import Config, Manifest, parse_config, parse_manifest
from tarlayers.formats.json_fields import parse_fields
from tarlayers.formats.json_text import parse_json
from tarlayers.limits import Limits
from tarlayers.sources.dataroot import (
    STORED_ID,
    ContainerImage,
    DataRoot,
    RootDocuments,
    StoredContainer,
    StoredLayer,
    as_mapping,
    as_text,
    overlay_directories,
    record_upper,
    sort_images,
    unpacked_directory,
)
from tarlayers.sources.filetree import FileTree, is_directory
from tarlayers.sources.layout import BlobClaim, Fault, ImageRecord, LayerRecord, OnDisk, OtherRecord

_PLAIN_NAME = re.compile(r"[0-9.a-z]+")
_IMAGELESS = ImageRecord((), None, None, None, None, None, (), {}, "podman-root")


def read_podman_root(tree: FileTree, limits: Limits) -> DataRoot | None:
    """Read a storage root; None when the tree is none."""
    drivers = [
        name.removesuffix("-layers")
        for name in tree.names("")
        if name.endswith("-layers") and is_directory(tree, name) and tree.status(f"{name}/layers.json") is not None
    ]
    if not drivers:
        return None
    reader = _Reader(RootDocuments(tree, limits), tree)
    for driver in drivers:
        reader.read_driver(driver)
    return reader.finish()


@dataclass
class _Reader:
    """The state of reading one root."""

    source: RootDocuments
    tree: FileTree
    layers: dict[str, StoredLayer] = field(default_factory=dict)
    images: list[tuple[ImageRecord, str | None]] = field(default_factory=list)
    """With the name of the top layer."""
    below: set[str] = field(default_factory=set)
    """Layers that are under the top of some image."""
    by_id: dict[str, ImageRecord] = field(default_factory=dict)
    containers: list[ContainerImage] = field(default_factory=list)
    others: list[OtherRecord] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    claims: list[BlobClaim] = field(default_factory=list)
    uppers: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def read_driver(self, driver: str) -> None:
        for kind, read in (
            ("layers", self._read_layer),
            ("images", self._read_image),
            ("containers", self._read_container),
        ):
            for place in (f"{driver}-{kind}/{kind}.json", f"{driver}-{kind}/volatile-{kind}.json"):
                for fields in self._records(place):
                    try:
                        read(driver, place, fields)
                    except MalformedInput as error:
                        self.faults.append(Fault(error.place, error.reason))

    def finish(self) -> DataRoot:
        listed = [image for image, top in self.images if image.names or top not in self.below]
        parents = [image for image, top in self.images if not image.names and top in self.below]
        return DataRoot(
            kind="podman-root",
            tree=self.tree,
            images=sort_images(listed),
            parents=sort_images(parents),
            layers=self.layers,
            uppers=self.uppers,
            containers=tuple(self.containers),
            documents=self.documents,
            claims=tuple(self.claims),
            faults=tuple(self.faults),
            others=tuple(self.others),
        )

    def _records(self, place: str) -> Iterator[Mapping[str, object]]:
        raw = self.source.read(place)
        try:
            value = parse_json(raw, place) if raw else None
            if value is not None and not isinstance(value, list):
                raise MalformedInput("expected an array", place=place)
            for i, item in enumerate(value or ()):
                yield as_mapping(item, f"{place}: [{i}]")
        except MalformedInput as error:
            self.faults.append(Fault(error.place, error.reason))

    # -- layers ------------------------------------------------------------------------------------

    def _read_layer(self, driver: str, place: str, fields: Mapping[str, object]) -> None:
        layer_id = _read_id(fields.get("id"), place)
        parent = as_text(fields.get("parent"))
        digest, size = fields.get("diff-digest"), fields.get("diff-size")
        name = f"{driver}-layers/{layer_id}"
        split = f"{name}.tar-split.gz"
        diff = f"{driver}/{layer_id}/diff" if driver == "overlay" else f"{driver}/dir/{layer_id}"
        owner = self.tree.status(driver)
        self.layers[name] = StoredLayer(
            name=name,
            claimed_chain_id=None,
            claimed_diff_id=Digest.parse(digest, f"{name}: diff-digest") if digest else None,
            parent=f"{driver}-layers/{parent}" if parent else None,
            cache_id=layer_id,
            claimed_size=size if isinstance(size, int) and size >= 0 else None,
            size_of="tar",
            tar_split=split if self.tree.status(split) is not None else None,
            diff=unpacked_directory(self.tree, diff) if driver in ("overlay", "vfs") else None,
            real_owners=owner is not None and owner.uid == 0,
            only_own=driver == "overlay",
        )

    # -- images ------------------------------------------------------------------------------------

    def _read_image(self, driver: str, place: str, fields: Mapping[str, object]) -> None:
        self.source.count_image(place)
        image_id = _read_id(fields.get("id"), place)
        base = f"{driver}-images/{image_id}"
        raw = self._big_data(base, "manifest", fields)
        names = tuple(name for name in _texts(fields.get("names")) if "@sha256:" not in name)
        digest = as_text(fields.get("digest"))
        manifest_digest = Digest.parse(digest, f"{base}: digest") if digest else None
        value = as_mapping(parse_fields(raw, f"{base}/manifest", MANIFEST), f"{base}/manifest") if raw else {}
        if "manifests" in value:
            self.others.append(OtherRecord(manifest_digest, as_text(value.get("mediaType")), "index", None, {}, names))
            return
        manifest = parse_manifest(raw, f"{base}/manifest") if raw is not None else None
        config, config_blob = self._config(base, manifest, fields)
        top = as_text(fields.get("layer"))
        top = f"{driver}-layers/{top}" if top else None
        chain = self.source.follow_parents(self.layers, top, base)
        record = ImageRecord(
            names=names,
            image_id=Digest.of(config.raw) if config is not None else None,
            manifest_digest=manifest_digest,
            platform=config.platform if config is not None else None,
            config=config,
            config_blob=config_blob,
            layers=tuple(self._layer_records(chain, config, manifest)),
            annotations=manifest.annotations if manifest is not None else {},
            flavour="podman-root",
        )
        self.images.append((record, top))
        self.below.update(chain[1:])
        self.by_id[image_id] = record

    def _big_data(self, base: str, key: str, fields: Mapping[str, object]) -> bytes | None:
        """Read one of an image's documents, and keep what `images.json` says of it."""
        name = key if _PLAIN_NAME.fullmatch(key) else f"={b64encode(key.encode()).decode()}"
        path = f"{base}/{name}"
        raw = self.source.read(path)
        if raw is None:
            return None
        self.documents[path] = raw
        digest = as_mapping(fields.get("big-data-digests"), base).get(key)
        size = as_mapping(fields.get("big-data-sizes"), base).get(key)
        claimed = Digest.parse(digest, f"{base}: {key}") if digest else None
        role = "manifest" if key == "manifest" else "config"
        self.claims.append(BlobClaim(path, path, claimed, size if isinstance(size, int) else None, None, role))
        return raw

    def _config(
        self, base: str, manifest: Manifest | None, fields: Mapping[str, object]
    ) -> tuple[Config | None, str | None]:
        if manifest is None or manifest.config is None:
            return None, None
        key = str(manifest.config.digest)
        raw = self._big_data(base, key, fields)
        if raw is None:
            return None, None
        path = self.claims[-1].blob or base
        self.claims.append(
            BlobClaim(f"{base}/manifest config", path, manifest.config.digest, manifest.config.size, None, "config")
        )
        return parse_config(raw, path), path

    def _layer_records(
        self, chain: list[str], config: Config | None, manifest: Manifest | None
    ) -> Iterator[LayerRecord]:
        """Give a chain of layers, which is top first, base first, with what an image's documents say of as many."""
        names = chain[::-1]
        diff_ids = config.diff_ids if config is not None and config.diff_ids is not None else ()
        descriptors = manifest.layers if manifest is not None else ()
        for i, name in enumerate(names):
            layer = self.layers.get(name)
            recorded = layer.claimed_diff_id if layer is not None else None
            descriptor = descriptors[i] if len(descriptors) == len(names) else None
            yield LayerRecord(
                blob=name if layer is not None else None,
                claimed_digest=descriptor.digest if descriptor is not None else None,
                claimed_size=layer.claimed_size if layer is not None else None,
                media_type=None,
                claimed_diff_id=diff_ids[i] if len(diff_ids) == len(names) else recorded,
                annotations={},
                urls=(),
                on_disk=_on_disk(layer) if layer is not None else None,
            )

    # -- containers --------------------------------------------------------------------------------

    def _read_container(self, driver: str, place: str, fields: Mapping[str, object]) -> None:
        self.source.count_image(place)
        container_id = _read_id(fields.get("id"), place)
        layer_id = _read_id(fields.get("layer"), place)
        image_id = as_text(fields.get("image"))
        name = next(iter(_texts(fields.get("names"))), container_id)
        own = self.layers.pop(f"{driver}-layers/{layer_id}", None)
        image = self.by_id.get(image_id or "", _IMAGELESS)
        chain = self.source.follow_parents(self.layers, own.parent if own is not None else None, container_id)
        below = tuple(self._layer_records(chain, image.config, None))
        upper = own.diff if own is not None and own.only_own else None
        if upper is not None:
            self.uppers.add(upper)
        cache_ids = [record.on_disk.cache_id for record in below[::-1] if record.on_disk]
        top = record_upper(upper, layer_id, "container", merged=driver == "vfs")
        container = StoredContainer(
            id=container_id,
            name=name,
            image_id=f"sha256:{image_id}" if image_id else None,
            created=as_text(fields.get("created")),
            state="unknown",
            mount_id=layer_id,
            directories=overlay_directories(self.source, driver, layer_id, cache_ids, self.tree.path),
        )
        record = image._replace(names=(name,), manifest_digest=None, layers=(*below, top))
        self.containers.append(ContainerImage(container, record))


def _on_disk(layer: StoredLayer) -> OnDisk:
    parent = layer.parent.rpartition("/")[2] if layer.parent is not None else None
    return OnDisk(layer.cache_id, parent, "image", layer.diff is not None)


def _read_id(value: object, place: str) -> str:
    if not isinstance(value, str) or not STORED_ID.fullmatch(value):
        raise MalformedInput(f"{quote(value)} is no ID", place=place)
    return value


def _texts(value: object) -> Sequence[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
