"""What an engine keeps of images when there is no archive: layers unpacked, their headers beside them.

The nouns that every kind of data root is read into. Names of layers are the paths, in the root, of what
describes them, so that a message names a place that can be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tarlayers.digest import Digest
from tarlayers.sources.filetree import FileTree
from tarlayers.sources.layout import BlobClaim, ImageRecord


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
    """As `docker ps` calls it: `created running paused restarting removing exited dead`."""
    mount_id: str
    directories: Mapping[str, str]
    """LowerDir, MergedDir, UpperDir and WorkDir, as `docker inspect` gives them."""


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """A container as an image: the layers of its image, its init layer, and its own on top."""

    container: StoredContainer
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the root that is not as the engine writes it; what it describes is left out."""

    place: str
    reason: str


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
    uppers: Mapping[str, str]
    """Names of layers without a tar (a container's own and its init layer), to the directory of each."""
    containers: tuple[ContainerImage, ...]
    documents: Mapping[str, bytes] = field(repr=False)
    """Configurations and manifests by path."""
    claims: tuple[BlobClaim, ...]
    """What the root says of those."""
    faults: tuple[Fault, ...]
