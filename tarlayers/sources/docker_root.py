"""A Docker data root (`/var/lib/docker`): which images and containers it has, and where their layers lie.

    image/<driver>/repositories.json                name -> image ID
    image/<driver>/imagedb/content/sha256/<ID>      the configuration, whose digest is the ID
    image/<driver>/imagedb/metadata/sha256/<ID>/parent
    image/<driver>/layerdb/sha256/<chain ID>/       cache-id diff parent size tar-split.json.gz
    image/<driver>/layerdb/mounts/<container>/      mount-id init-id parent
    containers/<container>/config.v2.json
    <driver>/<cache-id>/diff                        the unpacked files (overlay2), with `link` and `lower` beside

Source: moby image/fs.go, layer/filestore.go, daemon/graphdriver/overlay2/overlay.go, container/container.go. Only
small files are read here, and never one below a `diff`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tarlayers.digest import Digest, chain_ids
from tarlayers.errors import ContentAbsent, MalformedInput, quote
from tarlayers.formats.documents import Config, parse_config
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
from tarlayers.sources.layout import BlobClaim, Fault, ImageRecord, LayerRecord, OnDisk

_DIFFS = {
    "overlay2": "overlay2/{}/diff",
    "fuse-overlayfs": "fuse-overlayfs/{}/diff",
    "aufs": "aufs/diff/{}",
    "vfs": "vfs/dir/{}",
}
"""Where each driver unpacks a layer. Others keep them in block devices or subvolumes: headers alone are read."""
_WHOLE_TREES = frozenset(("vfs",))
_NEVER = "0001-01-01T00:00:00Z"


def read_docker_root(tree: FileTree, limits: Limits) -> DataRoot | None:
    """Read a data root; None when the tree is none."""
    drivers = [name for name in tree.names("image") if is_directory(tree, f"image/{name}/layerdb")]
    if not drivers:
        return None
    reader = _Reader(RootDocuments(tree, limits), tree)
    for driver in drivers:
        reader.read_driver(driver)
    return reader.finish(drivers)


@dataclass
class _Reader:
    """The state of reading one root."""

    source: RootDocuments
    tree: FileTree
    layers: dict[str, StoredLayer] = field(default_factory=dict)
    images: dict[str, ImageRecord] = field(default_factory=dict)  # by the driver's directory and the ID
    documents: dict[str, bytes] = field(default_factory=dict)
    uppers: set[str] = field(default_factory=set)
    above: set[str] = field(default_factory=set)
    claims: list[BlobClaim] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def read_driver(self, driver: str) -> None:
        base = f"image/{driver}"
        for algorithm, digits in self._digests(f"{base}/layerdb"):
            layer = self._read_layer(driver, f"{base}/layerdb/{algorithm}/{digits}", Digest(algorithm, digits))
            if layer is not None:
                self.layers[layer.name] = layer
        names = self._read_names(f"{base}/repositories.json")
        for algorithm, digits in self._digests(f"{base}/imagedb/content"):
            image_id = Digest(algorithm, digits)
            try:
                self._read_image(base, image_id, names.get(str(image_id), ()))
            except MalformedInput as error:
                self.faults.append(Fault(error.place, error.reason))

    def finish(self, drivers: list[str]) -> DataRoot:
        listed = {key: image for key, image in self.images.items() if image.names or key not in self.above}
        parents = [image for key, image in self.images.items() if key not in listed]
        containers = tuple(self._read_containers(drivers))
        return DataRoot(
            kind="docker-root",
            tree=self.tree,
            images=sort_images(listed.values()),
            parents=sort_images(parents),
            layers=self.layers,
            uppers=self.uppers,
            containers=containers,
            documents=self.documents,
            claims=tuple(self.claims),
            faults=tuple(self.faults),
        )

    def _digests(self, directory: str) -> Iterator[tuple[str, str]]:
        """Yield what is kept by digest: `<algorithm>/<hex>`."""
        found = self.tree.status(directory)
        if found is not None and found.kind == "symlink":
            raise ContentAbsent("is a symlink, and none is followed out of a data root", place=directory)
        for algorithm in self.tree.names(directory):
            for digits in self.tree.names(f"{directory}/{algorithm}") if algorithm in ("sha256", "sha512") else ():
                try:
                    yield Digest.parse(f"{algorithm}:{digits}")
                except MalformedInput as error:
                    self.faults.append(Fault(f"{directory}/{algorithm}/{digits}", error.reason))

    # -- layers ------------------------------------------------------------------------------------

    def _read_layer(self, driver: str, place: str, chain_id: Digest) -> StoredLayer | None:
        cache_id = self.source.read_line(f"{place}/cache-id")
        parent = self.source.read_line(f"{place}/parent")
        size = self.source.read_line(f"{place}/size")
        try:
            if cache_id is None or not STORED_ID.fullmatch(cache_id):
                raise MalformedInput(f"cache-id is {quote(cache_id)}", place=place)
            diff_id = Digest.parse(self.source.read_line(f"{place}/diff"), f"{place}/diff")
            below = Digest.parse(parent, f"{place}/parent") if parent is not None else None
        except MalformedInput as error:
            self.faults.append(Fault(error.place, error.reason))
            return None
        layerdb = place.rpartition("/")[0].rpartition("/")[0]
        split = next((f"{place}/{n}" for n in _TAR_SPLITS if self.tree.status(f"{place}/{n}") is not None), None)
        return StoredLayer(
            name=place,
            claimed_chain_id=chain_id,
            claimed_diff_id=diff_id,
            parent=f"{layerdb}/{below.algorithm}/{below.hex}" if below is not None else None,
            cache_id=cache_id,
            claimed_size=int(size) if size is not None and _SIZE.fullmatch(size) else None,
            size_of="files",
            tar_split=split,
            diff=self._diff(driver, cache_id),
            real_owners=driver != "fuse-overlayfs",
            only_own=driver not in _WHOLE_TREES,
        )

    def _diff(self, driver: str, cache_id: str) -> str | None:
        """Give where a layer is unpacked, if the copy has it."""
        pattern = _DIFFS.get(driver)
        return unpacked_directory(self.tree, pattern.format(cache_id)) if pattern is not None else None

    # -- images ------------------------------------------------------------------------------------

    def _read_names(self, place: str) -> Mapping[str, tuple[str, ...]]:
        """Read `repositories.json`: image ID to its names, tags before digests."""
        raw = self.source.read(place)
        names: dict[str, list[str]] = {}
        if raw is None:
            return {}
        try:
            repositories = as_mapping(as_mapping(parse_json(raw, place), place).get("Repositories"), place)
            for references in repositories.values():
                for name, image_id in as_mapping(references, place).items():
                    names.setdefault(str(image_id), []).append(name)
        except MalformedInput as error:
            self.faults.append(Fault(error.place, error.reason))
        return {key: tuple(sorted(found, key=lambda name: ("@" in name, name))) for key, found in names.items()}

    def _read_image(self, base: str, image_id: Digest, names: tuple[str, ...]) -> None:
        place = f"{base}/imagedb/content/{image_id.algorithm}/{image_id.hex}"
        self.source.count_image(place)
        raw = self.source.read(place)
        if raw is None:
            raise MalformedInput("is no file", place=place)
        parent = self.source.read_line(f"{base}/imagedb/metadata/{image_id.algorithm}/{image_id.hex}/parent")
        if parent is not None:
            self.above.add(f"{base} {parent}")
        self.documents[place] = raw
        self.claims.append(BlobClaim(place, place, image_id, None, None, "name"))
        config = parse_config(raw, place)
        tags = tuple(name for name in names if "@" not in name)
        digests = [name.partition("@")[2] for name in names if "@" in name]
        self.images[f"{base} {image_id}"] = ImageRecord(
            names=tags or names,
            image_id=image_id,
            manifest_digest=Digest.parse(digests[0], f"{base}/repositories.json") if digests else None,
            platform=config.platform,
            config=config,
            config_blob=place,
            layers=tuple(self._layer_records(f"{base}/layerdb", config)),
            annotations={},
            flavour="docker-root",
        )

    def _layer_records(self, layerdb: str, config: Config) -> Iterator[LayerRecord]:
        diff_ids = config.diff_ids or ()
        self.source.count_layers(len(diff_ids), layerdb)
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
            name = f"{layerdb}/{chain_id.algorithm}/{chain_id.hex}"
            yield make_record(self.layers.get(name), diff_id)

    # -- containers --------------------------------------------------------------------------------

    def _read_containers(self, drivers: list[str]) -> Iterator[ContainerImage]:
        home = ""
        found: list[_Container] = []
        for container_id in self.tree.names("containers"):
            place = f"containers/{container_id}/config.v2.json"
            self.source.count_image(place)
            raw = self.source.read(place)
            try:
                if raw is None or not STORED_ID.fullmatch(container_id):
                    continue
                document = as_mapping(parse_json(raw, place), place)
            except MalformedInput as error:
                self.faults.append(Fault(error.place, error.reason))
                continue
            found.append(_take_fields(container_id, document))
            home = home or _find_home(document, container_id)
        for container in found:
            driver = container.driver or drivers[0]
            if driver not in drivers:
                continue
            try:
                yield self._read_container(driver, container, home or self.tree.path)
            except MalformedInput as error:
                self.faults.append(Fault(error.place, error.reason))

    def _read_container(self, driver: str, fields: _Container, home: str) -> ContainerImage:
        container_id, image_id = fields.id, fields.image_id
        layerdb = f"image/{driver}/layerdb"
        mount = f"{layerdb}/mounts/{container_id}"
        mount_id = self._read_id(f"{mount}/mount-id") or container_id
        init_id = self._read_id(f"{mount}/init-id") or f"{mount_id}-init"
        image = self.images.get(f"image/{driver} {image_id}")
        if image is not None:
            layers = image.layers
            self.source.count_layers(len(layers), mount)
        else:
            layers = self._chain(layerdb, mount)
        own = [self._upper(driver, init_id, "init"), self._upper(driver, mount_id, "container")]
        name = (fields.name or container_id).removeprefix("/")
        cache_ids = [init_id, *(record.on_disk.cache_id for record in layers[::-1] if record.on_disk)]
        container = StoredContainer(
            id=container_id,
            name=name,
            image_id=image_id,
            created=fields.created,
            state=fields.state,
            mount_id=mount_id,
            directories=overlay_directories(self.source, driver, mount_id, cache_ids, home),
        )
        base = image or _IMAGELESS
        record = base._replace(names=(name,), manifest_digest=None, layers=(*layers, *own))
        return ContainerImage(container, record)

    def _read_id(self, place: str) -> str | None:
        """Read the name of a directory; one that would lead elsewhere is a fault."""
        found = self.source.read_line(place)
        if found is not None and not STORED_ID.fullmatch(found):
            self.faults.append(Fault(place, f"{quote(found)} is no ID"))
            return None
        return found

    def _chain(self, layerdb: str, mount: str) -> tuple[LayerRecord, ...]:
        """Give the layers below a container whose image is gone, by the parents that the root records."""
        top = self.source.read_line(f"{mount}/parent")
        start = f"{layerdb}/{top.replace(':', '/')}" if top else None
        layers = map(self.layers.get, reversed(self.source.follow_parents(self.layers, start, mount)))
        return tuple(make_record(layer, layer.claimed_diff_id if layer is not None else None) for layer in layers)

    def _upper(self, driver: str, cache_id: str, role: str) -> LayerRecord:
        merged = driver in _WHOLE_TREES
        name = None if merged else self._diff(driver, cache_id)
        if name is not None:
            self.uppers.add(name)
        return record_upper(name, cache_id, role, merged=merged)


_SIZE = re.compile(r"[0-9]{1,19}")
_TAR_SPLITS = ("tar-split.json.gz", "tar-split.json")
_IMAGELESS = ImageRecord((), None, None, None, None, None, (), {}, "docker-root")


def make_record(layer: StoredLayer | None, diff_id: Digest | None) -> LayerRecord:
    """Give a layer as an image has it; one that the root lacks is absent."""
    if layer is None:
        return LayerRecord(None, None, None, None, diff_id, {}, ())
    parent = f"sha256:{layer.parent.rpartition('/')[2]}" if layer.parent is not None else None
    on_disk = OnDisk(layer.cache_id, parent, "image", layer.diff is not None)
    return LayerRecord(layer.name, None, layer.claimed_size, None, diff_id, {}, (), on_disk)


class _Container(NamedTuple):
    """What is needed of a container's document, which may be large."""

    id: str
    driver: str | None
    image_id: str | None
    name: str | None
    created: str | None
    state: str


def _take_fields(container_id: str, document: Mapping[str, object]) -> _Container:
    driver, image_id, name, created = (as_text(document.get(key)) for key in ("Driver", "Image", "Name", "Created"))
    return _Container(container_id, driver, image_id, name, created, _state(document.get("State")))


def _find_home(document: Mapping[str, object], container_id: str) -> str:
    """Find where the root was when the engine ran: a container's documents name files in it."""
    for key in ("LogPath", "HostnamePath", "HostsPath", "ResolvConfPath"):
        path = as_text(document.get(key)) or ""
        home, found, _ = path.partition(f"/containers/{container_id}/")
        if found:
            return home
    return ""


def _state(value: object) -> str:
    """Moby container/state.go, StateString."""
    state = value if isinstance(value, dict) else {}
    if state.get("Running"):
        return "paused" if state.get("Paused") else "restarting" if state.get("Restarting") else "running"
    for key, name in (("RemovalInProgress", "removing"), ("Dead", "dead")):
        if state.get(key):
            return name
    return "created" if state.get("StartedAt") in (None, "", _NEVER) else "exited"
