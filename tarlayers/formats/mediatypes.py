"""Media types of images, and what each claims of the bytes it names. A claim is for `verify` to check: what is
read is told by content, except that encrypted bytes and file system images are believed to be what they are called.

OCI image-spec (media-types.md, layer.md "Distributable Format"), Docker's schema 2, ocicrypt's `+encrypted`, and
those that converters and other runtimes write. Suffixes are written with a dot or a plus (`tar.gzip`, `tar+zstd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tarlayers.errors import Refused


class LayerType(NamedTuple):
    """What a layer's media type claims."""

    content: str
    """`tar`, or what it is instead: `encrypted`, `erofs`, `squashfs`, `sif`, `wasm`."""
    compression: str | None
    """Of the blob as stored; None where the type says nothing about it."""
    foreign: bool
    """Not meant to be in archives: engines fetch it from the descriptor's URLs."""


_OCI = "application/vnd.oci.image.layer.v1.tar"
_OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
_DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

_TARS = {_OCI: False, _OCI_FOREIGN: True, _DOCKER: False, _DOCKER_FOREIGN: True}
"""Types of layers that are tars, and whether they are foreign; a suffix of `_SUFFIXES` may follow."""

_SUFFIXES = {"": "none", "+gzip": "gzip", ".gzip": "gzip", "+zstd": "zstd", ".zstd": "zstd"}
_ENCRYPTED = "+encrypted"

_OTHER_LAYERS = {
    "application/vnd.docker.container.image.rootfs.diff+x-gtar": LayerType("tar", "gzip", False),  # schema 1
    "application/vnd.oci.image.serialization.rootfs.tar.gzip": LayerType("tar", "gzip", False),  # before OCI 1.0
    "application/vnd.erofs": LayerType("erofs", None, False),
    "application/vnd.erofs.layer.v1": LayerType("erofs", None, False),
    "application/vnd.oci.image.layer.v1.erofs": LayerType("erofs", None, False),
    "application/vnd.oci.image.layer.v1.squashfs": LayerType("squashfs", None, False),
    "application/vnd.oci.image.layer.squashfs": LayerType("squashfs", None, False),
    "application/vnd.sylabs.sif.layer.v1.sif": LayerType("sif", None, False),
    "application/vnd.sylabs.sif.layer.v1.squashfs": LayerType("squashfs", None, False),
    "application/vnd.wasm.content.layer.v1+wasm": LayerType("wasm", None, False),
    "application/wasm": LayerType("wasm", None, False),
}

# Words that name a file system image in types which nobody registered (stacker's `layer.squashfs+zstd+verity`).
_FILE_SYSTEMS = ("erofs", "squashfs")

IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
"""Configurations that make a manifest an image; any other makes it an artifact."""

_ARTIFACT_LAYERS = (
    "application/vnd.in-toto",
    "application/vnd.oci.empty",
    "application/vnd.dev.cosign",
    "application/vnd.dsse.envelope",
)
"""How the types of layers begin that are never file systems."""

_CONTAINERD_LAYERS = (
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.rootfs.diff.",
    "application/vnd.docker.image.rootfs.foreign.diff.",
)


def read_layer_type(media_type: str | None) -> LayerType | None:
    """Give what a layer's media type claims; None where it is absent or nobody knows it."""
    if not media_type:
        return None
    if media_type in _OTHER_LAYERS:
        return _OTHER_LAYERS[media_type]
    encrypted = media_type.endswith(_ENCRYPTED)
    plain = media_type.removesuffix(_ENCRYPTED)
    for base, foreign in _TARS.items():
        compression = _SUFFIXES.get(plain.removeprefix(base)) if plain.startswith(base) else None
        if compression is not None:
            return LayerType("encrypted", None, foreign) if encrypted else LayerType("tar", compression, foreign)
    if encrypted:
        return LayerType("encrypted", None, False)
    return next((LayerType(name, None, False) for name in _FILE_SYSTEMS if name in media_type), None)


def names_no_layers(media_types: Sequence[str | None], *, runs: bool) -> bool:
    """Say whether what a manifest lists as layers is nothing of the sort, as cosign's signatures and bills of material
    are, by their types. `runs`: the image has a platform. Then only types that are known to be none count, because
    podman loads layers of any type.
    """
    if not media_types or None in media_types:
        return False
    known = all(media_type.startswith(_ARTIFACT_LAYERS) for media_type in media_types if media_type)
    return known or not (runs or any(map(_claims_layer, media_types)))


def _claims_layer(media_type: str | None) -> bool:
    return read_layer_type(media_type) is not None or (media_type or "").startswith(_CONTAINERD_LAYERS)


def why_unreadable(media_type: str | None, compression: str) -> str | None:
    """Say what a stored layer is whose content is no tar that could be read; None for one that may be read.

    `compression` is that of the bytes. Encrypted bytes look like anything, so that claim is believed; a file
    system image starts with no compression's magic, so one that does is read after all.
    """
    claimed = read_layer_type(media_type)
    if claimed is None or claimed.content == "tar":
        return None
    return claimed.content if claimed.content == "encrypted" or compression == "none" else None


def containerd_refusal(media_type: str | None, compression: str | None) -> Refused | None:
    """Say why containerd would not even read a blob as a layer; None when it would.

    It sniffs gzip and zstd alone; it never decompresses what claims to be OCI's plain type, and takes nothing for
    a layer that has another than a layer's media type.
    """
    if compression in ("xz", "bzip2"):
        return Refused("bad-compression", f"containerd reads no {compression}", "L9")
    if media_type is None or compression is None:
        return None
    if media_type in (_OCI, _OCI_FOREIGN) and compression != "none":
        return Refused("bad-compression", f"{media_type} is never decompressed, but this is {compression}", "L9")
    if not media_type.startswith(_CONTAINERD_LAYERS):
        return Refused("bad-media-type", f"{media_type} is no layer type", "L9")
    return None
