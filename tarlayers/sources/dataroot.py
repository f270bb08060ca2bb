"""What an engine keeps of images when there is no archive: layers unpacked, their headers beside them.

The nouns that every kind of data root is read into. Names of layers are the paths, in the root, of what
describes them, so that a message names a place that can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tarlayers.digest import Digest
from tarlayers.errors import ContentAbsent, MalformedInput
from tarlayers.formats.json_text import check_depth
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.sources.filetree import FileTree, join_path, read_small
from tarlayers.sources.layout import BlobClaim, Fault, ImageRecord, LayerRecord, OnDisk, OtherRecord

STORED_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")
"""What an engine names its layers and containers by; anything else may lead out of the root, and is no name."""
_MOST_CANDIDATES = 1000
_LAYER_BYTES = 1000  # that one layer of one image takes in memory, about
_ROOT_NAMES = r"(^|/)(image/[^/]+/layerdb/|[a-z]+-layers/layers\.json$|io\.containerd\.content\.v1\.content/blobs/)"


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """One layer as it lies unpacked. What the root's own files say is `claimed_`."""

    name: str
    """The path of its description in the root."""
    claimed_chain_id: Digest | None
    claimed_diff_id: Digest | None
    parent: str | None
    """The name of the layer below; None for a base."""
    cache_id: str
    """The name of its directory below the driver's."""
    claimed_size: int | None
    size_of: str
    """What that size counts: `files` (the bytes that lie unpacked) or `tar` (those of the uncompressed tar)."""
    tar_split: str | None
    """The path of its headers; None when there are none."""
    diff: str | None
    """The path of its unpacked files; None when the copy lacks them."""
    real_owners: bool
    """Files on disk have the modes and owners that the layer says (a rootless store maps them)."""
    only_own: bool
    """The directory holds this layer's files and no others (vfs keeps the whole merged tree)."""


@dataclass(frozen=True, slots=True)
class StoredContainer:
    """One container: its image, and the directories of its own layer."""

    id: str
    name: str
    image_id: str | None
    created: str | None
    state: str
    """As `docker ps` calls it: `created running paused restarting removing exited dead`; `unknown` where the root
    keeps it in a database."""
    mount_id: str
    directories: Mapping[str, str]
    """LowerDir, MergedDir, UpperDir and WorkDir, as `docker inspect` gives them."""


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """A container as an image: the layers of its image, its init layer, and its own on top."""

    container: StoredContainer
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class DataRoot:
    """All that one data root holds."""

    kind: str
    """`docker-root` or `podman-root`."""
    tree: FileTree
    images: tuple[ImageRecord, ...]
    """What `docker images` lists: images with a name, and those without that no other is built on."""
    parents: tuple[ImageRecord, ...]
    """Images that others are built on and that have no name of their own (`docker images --all`)."""
    layers: Mapping[str, StoredLayer]
    """By name."""
    uppers: AbstractSet[str]
    """Layers without a tar (a container's own and its init layer), each by its directory."""
    containers: tuple[ContainerImage, ...]
    documents: Mapping[str, bytes] = field(repr=False)
    """Configurations and manifests by path."""
    claims: tuple[BlobClaim, ...]
    """What the root says of those."""
    faults: tuple[Fault, ...]
    others: tuple[OtherRecord, ...] = ()
    """What is no image: lists of manifests."""


class RootDocuments:
    """Reads the documents of a root and puts its chains of layers together, as far as the limits allow: one file may
    have many names, and one layer be in many images.
    """

    def __init__(self, tree: FileTree, limits: Limits) -> None:
        self.tree = tree
        self._limits = limits
        self._taken = 0
        self._images = 0

    def read(self, path: str) -> bytes | None:
        """Read a JSON document; None when it is not there, LimitExceeded when it or all of them are too large."""
        data = read_small(self.tree, path, self._limits)
        if data is None:
            return None
        self.take(len(data), path)
        check_depth(data, self._limits, path)
        return data

    def read_line(self, path: str) -> str | None:
        """Read a file that holds one short text, as data roots keep them; None when there is none."""
        data = read_small(self.tree, path, self._limits, "path_bytes")
        if data is None:
            return None
        self.take(len(data), path)
        return data.decode("utf-8", "surrogateescape").strip()

    def take(self, size: int, place: str) -> None:
        """Count bytes that are read, or are taken once more from what has been read."""
        self._taken += size
        if self._taken > self._limits.documents_bytes:
            raise limit_exceeded(self._limits, "documents_bytes", "more to read than is allowed", place=place)

    def count_image(self, place: str) -> None:
        """Take note of one more image or container."""
        self._images += 1
        if self._images > self._limits.manifests:
            raise limit_exceeded(self._limits, "manifests", "one image more than is allowed", place=place)

    def count_layers(self, count: int, place: str) -> None:
        """Take note of the layers that one more image or container has."""
        if count > self._limits.layers:
            raise limit_exceeded(self._limits, "layers", f"{count} layers", place=place)
        self.take(count * _LAYER_BYTES, place)

    def follow_parents(self, layers: Mapping[str, StoredLayer], top: str | None, place: str) -> list[str]:
        """Give the names of the layers that `place` stands on, top first; a parent that is not there is the last."""
        names: dict[str, None] = {}
        while top is not None:
            if top in names:
                raise MalformedInput(f"its layers have no end: {top} stands on itself", place=place)
            names[top] = None
            if len(names) > self._limits.layers:
                break
            layer = layers.get(top)
            top = layer.parent if layer is not None else None
        self.count_layers(len(names), place)
        return list(names)


def sort_images(images: Iterable[ImageRecord]) -> tuple[ImageRecord, ...]:
    """Sort images by their names, and those without one behind them by their IDs."""
    return tuple(sorted(images, key=lambda image: (not image.names, image.names, str(image.image_id))))


def record_upper(directory: str | None, cache_id: str, role: str, *, merged: bool) -> LayerRecord:
    """Give a layer that a container has of its own, by the directory that it wrote to, if the copy has one."""
    on_disk = OnDisk(cache_id, None, role, directory is not None, merged)
    return LayerRecord(directory, None, None, None, None, {}, (), on_disk)


def overlay_directories(
    source: RootDocuments, driver: str, mount_id: str, cache_ids: Sequence[str], home: str
) -> Mapping[str, str]:
    """Give the directories of a container's overlay, below the `home` that the root had when its engine ran.

    The lower ones stand in `lower` as short links (`l/ABC`, a symlink to `../<cache-id>/diff`), because mount options
    have to fit into a page; where those are gone, or may not be read, `cache_ids` says them, top first.
    """
    if driver not in ("overlay", "overlay2", "fuse-overlayfs"):
        return {}
    base = f"{home}/{driver}"
    links = _read_lower(source, driver, mount_id)
    lower = links if links and all(links) else [f"{cache_id}/diff" for cache_id in cache_ids]
    source.take(len(lower) * len(base), f"{driver}/{mount_id}")
    paths = [f"{base}/{path}" for path in lower]
    return {
        "LowerDir": ":".join(paths),
        "MergedDir": f"{base}/{mount_id}/merged",
        "UpperDir": f"{base}/{mount_id}/diff",
        "WorkDir": f"{base}/{mount_id}/work",
    }


def _read_lower(source: RootDocuments, driver: str, mount_id: str) -> list[str | None]:
    try:
        lower = source.read_line(f"{driver}/{mount_id}/lower")
        return [_short_link(source.tree, driver, link) for link in lower.split(":")] if lower else []
    except ContentAbsent:
        return []


def _short_link(tree: FileTree, driver: str, link: str) -> str | None:
    found = tree.status(f"{driver}/{link}") if ".." not in link else None
    if found is None or found.kind != "symlink":
        return None
    return tree.target(f"{driver}/{link}").removeprefix("../")


def unpacked_directory(tree: FileTree, path: str) -> str | None:
    """Give the directory that a layer is unpacked in, if the copy has it. Neither it nor the directory that an
    engine makes around it is ever a symlink; one that is would lead out of the copy. One that may not be looked at is
    not absent: who reads what is in it will be told why that cannot be.
    """
    try:
        around = tree.status(path.rpartition("/")[0])
        found = tree.status(path) if around is not None and around.kind == "dir" else None
    except ContentAbsent:
        return path
    return path if found is not None and found.kind == "dir" else None


def as_mapping(value: object, place: str) -> Mapping[str, object]:
    """Take a JSON object, or null as an empty one; MalformedInput for all else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedInput("expected an object", place=place)
    return value


def as_text(value: object) -> str | None:
    """Take a JSON string; None for an empty one and all else."""
    return value if isinstance(value, str) and value else None


def may_be_root(names: Iterable[str]) -> bool:
    """Say, by the names of its members alone, whether a tar may be one of a data root."""
    likely = (name for name in names if "layer" in name or "/blobs/" in name)  # a tenth of the time that patterns take
    return any(map(re.compile(_ROOT_NAMES).search, likely))


def find_candidates(tree: FileTree) -> Iterator[str]:
    """Yield the directories that may be a data root: the tree itself, and those at most two below the first that
    branches. ContentAbsent when that one may not be read.
    """
    top = ""
    while len(names := tree.names(top)) == 1 and _is_directory(tree, join_path(top, names[0])):
        yield top
        top = join_path(top, names[0])
    level = [top]
    for _ in range(3):
        below: list[str] = []
        for at in level:
            try:
                names = tree.names(at)
            except ContentAbsent:
                if at == top:
                    raise
                continue  # a directory that may not be read, among others
            yield at
            below += (join_path(at, name) for name in names)
        level = [path for path in below[:_MOST_CANDIDATES] if _is_directory(tree, path)]


def _is_directory(tree: FileTree, path: str) -> bool:
    found = tree.status(path)
    return found is not None and found.kind == "dir"
