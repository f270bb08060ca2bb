"""What an archive holds, as its documents tell it: images, layers, what is no image, and every claim about a blob.

`rootfs.diff_ids` is the truth about layers; history is matched to them where the counts agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from tarlayers.digest import Digest
from tarlayers.formats.documents import Config, HistoryStep, Platform

_T = TypeVar("_T")
LAYOUT_FILE = "oci-layout"
"""The member that says of which version an OCI layout is."""


class OnDisk(NamedTuple):
    """Where a layer lies in a data root."""

    cache_id: str
    """The name of its directory below the driver's."""
    parent: str | None
    """What the root records as the layer below: a chain ID, or an ID of containers-storage."""
    role: str
    """`image`; `init` and `container` for the two layers that a container has of its own."""
    files: bool
    """The copy has its unpacked files; without them its headers alone are known."""
    merged: bool = False
    """The driver (vfs) keeps what is below in the same directory: nothing tells this layer's own files."""


class LayerRecord(NamedTuple):
    """One layer as the documents have it."""

    blob: str | None
    """Its name in the archive; None when it is not there."""
    claimed_digest: Digest | None
    claimed_size: int | None
    media_type: str | None
    claimed_diff_id: Digest | None
    annotations: Mapping[str, str]
    urls: tuple[str, ...]
    on_disk: OnDisk | None = None
    """Where an engine keeps it unpacked; None in archives."""
    untyped: bool = False
    """An OCI descriptor tells of it, but gives no media type; other documents have none to give."""


class ImageRecord(NamedTuple):
    """One image as the documents have it."""

    names: tuple[str, ...]
    image_id: Digest | None
    """sha256 of the configuration's bytes."""
    manifest_digest: Digest | None
    platform: Platform | None
    config: Config | None
    config_blob: str | None
    layers: tuple[LayerRecord, ...]
    annotations: Mapping[str, str]
    flavour: str
    """Whose documents tell of it: `oci`, `docker` or `dir`, or those of a `docker-root` or `podman-root`."""
    claimed_platform: Platform | None = None
    """What the index says that the image runs on: engines choose by it."""


class Fault(NamedTuple):
    """Something that is not as who wrote it has it; what it describes is left out."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class OtherRecord(NamedTuple):
    """Something that is no image: `attestation`, `artifact`, `index`, a manifest that is `absent`, or an image that is
    `unreadable`: a document of it cannot be parsed.
    """

    digest: Digest | None
    media_type: str | None
    kind: str
    platform: Platform | None
    annotations: Mapping[str, str]
    names: tuple[str, ...]
    on_top: bool = False
    """The archive itself lists it, not an index in it."""
    fault: Fault | None = None
    """Of what is unreadable: the document, and what is wrong with it."""


class BlobClaim(NamedTuple):
    """What a document, or a member's name, says of a blob."""

    place: str
    blob: str | None
    digest: Digest | None
    size: int | None
    media_type: str | None
    role: str
    """`index manifest config layer`, or `name` for what the member's own name claims."""
    data: str | None = None
    """What the document embeds as the blob's bytes, in base64."""


class Layout(NamedTuple):
    """What an archive holds. `kind` is `none` when no document speaks of an image."""

    kind: str
    """`docker-archive`, `oci-archive`, `dir`, a data root's `docker-root` or `podman-root`, or `none`."""
    images: tuple[ImageRecord, ...] = ()
    others: tuple[OtherRecord, ...] = ()
    claims: tuple[BlobClaim, ...] = ()


def pair_layers(layers: Sequence[_T], diff_ids: Sequence[Digest]) -> list[tuple[_T, Digest | None]]:
    """Pair layers with diff IDs by position; the surplus of either goes without."""
    return [(layer, diff_id) for layer, diff_id in zip_longest(layers, diff_ids[: len(layers)]) if layer is not None]


def map_history(config: Config | None, layer_count: int) -> list[tuple[HistoryStep, int | None]]:
    """Pair each build step with the index of the layer it made.

    Steps that are `empty_layer` have none; where the others are not as many as the layers, nobody has one.
    """
    if config is None:
        return []
    matched = sum(not step.empty_layer for step in config.history) == layer_count
    rows: list[tuple[HistoryStep, int | None]] = []
    index = 0
    for step in config.history:
        rows.append((step, index if matched and not step.empty_layer else None))
        index += not step.empty_layer
    return rows
