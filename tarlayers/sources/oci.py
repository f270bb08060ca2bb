"""OCI documents put together: indexes, however deep, and manifests, of OCI's and of Docker's media types.

image-spec image-layout.md and image-index.md. What a document is is told by its fields, not by its media type:
Docker manifest lists inside OCI indexes, and the other way round, are normal. Attestations (BuildKit's) and
artifacts are no images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput, ReadFailed
from tarlayers.formats.document_fields import MANIFEST
from tarlayers.formats.documents import Descriptor, Manifest, Platform, parse_index, parse_manifest
from tarlayers.formats.json_fields import parse_fields
from tarlayers.formats.mediatypes import IMAGE_CONFIGS, names_no_layers, read_layer_type
from tarlayers.limits import limit_exceeded
from tarlayers.sources.inventory import Inventory
from tarlayers.sources.layout import ImageRecord, LayerRecord, pair_layers
from tarlayers.sources.names import names_of

_ATTESTATION = "vnd.docker.reference.type"


class _Above(NamedTuple):
    """What stands above a document: the name and annotations it passes down, and the indexes on the way."""

    names: tuple[str, ...]
    annotations: Mapping[str, str]
    indexes: tuple[Digest, ...]


_TOP = _Above((), {}, ())


def read_index(found: Inventory, place: str) -> None:
    """Read an index that is a member of its own (`index.json`) and all that it leads to, depth first."""
    _read_index(found, place, found.documents[place], _TOP)


def _read_index(found: Inventory, place: str, raw: bytes, above: _Above) -> bool:
    """Read an index; say whether there is an image below it."""
    if len(above.indexes) > found.limits.index_depth:
        raise limit_exceeded(found.limits, "index_depth", "indexes nested deeper than is allowed", place=place)
    index = parse_index(raw, place, streamed=not above.indexes)
    images = 0
    for i, descriptor in enumerate(index.manifests):
        found.count_manifest(place)
        names = names_of(descriptor.annotations) or above.names
        annotations = {**above.annotations, **index.annotations, **descriptor.annotations}
        found.take_annotations(annotations, place)
        own = _Above(names, annotations, above.indexes)
        images += read_descriptor(found, f"{place} manifests[{i}]", descriptor, own)
    return images > 0


def read_descriptor(
    found: Inventory, place: str, descriptor: Descriptor, above: _Above = _TOP, blob: str | None = None
) -> bool:
    """Read what a descriptor points at; say whether that is or leads to an image. A document that cannot be parsed
    fails what it is of alone.

    `blob` names its member where that is not called by its digest.
    """
    try:
        return _read_descriptor(found, place, descriptor, above, blob)
    except ReadFailed:
        raise
    except MalformedInput as error:
        found.add_other(descriptor, "unreadable", above.names, on_top=not above.indexes, error=error)
        return False


def _read_descriptor(found: Inventory, place: str, descriptor: Descriptor, above: _Above, blob: str | None) -> bool:
    blob = blob or found.find_blob(descriptor.digest)
    if blob is None or blob not in found.documents:
        found.claim(place, descriptor, "manifest", blob)
        kind = "attestation" if _is_attestation(descriptor) else "absent" if blob is None else "artifact"
        found.add_other(descriptor, kind, above.names, on_top=not above.indexes)
        return False
    raw = found.documents[blob]
    value = parse_fields(raw, blob, MANIFEST)
    nested = isinstance(value, dict) and "manifests" in value
    found.claim(place, descriptor, "index" if nested else "manifest", blob)
    if not nested:
        return read_manifest(found, blob, descriptor, above)
    if descriptor.digest in above.indexes:
        raise MalformedInput("an index that names itself", place=blob)
    if _read_index(found, blob, raw, above._replace(indexes=(*above.indexes, descriptor.digest))):
        return True
    found.add_other(descriptor, "index", above.names)
    return False


def read_manifest(
    found: Inventory, blob: str, descriptor: Descriptor, above: _Above = _TOP, flavour: str = "oci"
) -> bool:
    """Read the manifest that the member `blob` holds; say whether it is an image."""
    names = above.names
    if descriptor.digest in found.images:
        found.add_names(descriptor.digest, names)
        return True
    raw = found.documents[blob]
    value = parse_fields(raw, blob, MANIFEST)
    if isinstance(value, dict) and "fsLayers" in value:
        # Docker's schema 1 has neither a configuration nor diff IDs.
        found.add_other(descriptor, "artifact", names)
        return False
    manifest = parse_manifest(raw, blob)
    _claim_parts(found, manifest, blob)
    kind = _other_kind(manifest, descriptor)
    if kind is None:
        found.check_layer_count(len(manifest.layers), blob)
        image = _make_image(found, manifest, descriptor, above, flavour)
        if not _is_of_no_layers(manifest, image):
            found.images[descriptor.digest] = image
            return True
        kind = "artifact"
    found.add_other(descriptor, kind, names)
    return False


def _other_kind(manifest: Manifest, descriptor: Descriptor) -> str | None:
    """Say what a manifest that is no image is; None for an image."""
    if _is_attestation(descriptor):
        return "attestation"
    if manifest.config is None:
        return "artifact"
    media_type = manifest.config.media_type
    if media_type is not None and media_type not in IMAGE_CONFIGS:
        return "artifact"
    # Engines go by the configuration, whatever else a manifest calls itself: skopeo copies such a one as an image.
    if manifest.artifact_type and not all(read_layer_type(layer.media_type) for layer in manifest.layers):
        return "artifact"
    return None


def _is_of_no_layers(manifest: Manifest, image: ImageRecord) -> bool:
    """Say whether what has an image's configuration is something else: that of cosign's documents has no platform."""
    platform = image.config.platform if image.config is not None else image.claimed_platform
    return names_no_layers([layer.media_type for layer in manifest.layers], runs=platform is not None)


def _is_attestation(descriptor: Descriptor) -> bool:
    return _ATTESTATION in descriptor.annotations or _is_unknown(descriptor.platform)


def _is_unknown(platform: Platform | None) -> bool:
    """BuildKit gives attestations the platform unknown/unknown."""
    return platform is not None and platform.os == "unknown" and platform.architecture == "unknown"


def _claim_parts(found: Inventory, manifest: Manifest, place: str) -> None:
    if manifest.config is not None:
        found.claim(f"{place} config", manifest.config, "config")
    for i, layer in enumerate(manifest.layers):
        found.claim(f"{place} layers[{i}]", layer, "layer")


def _make_image(
    found: Inventory, manifest: Manifest, descriptor: Descriptor, above: _Above, flavour: str
) -> ImageRecord:
    config_blob = found.find_blob(manifest.config.digest) if manifest.config else None
    config, image_id = found.read_config(config_blob)
    diff_ids = config.diff_ids if config and config.diff_ids is not None else ()
    return ImageRecord(
        names=above.names,
        image_id=image_id,
        manifest_digest=descriptor.digest,
        platform=(config.platform if config else None) or descriptor.platform,
        config=config,
        config_blob=config_blob,
        layers=tuple(
            LayerRecord(
                found.find_blob(layer.digest), layer.digest, layer.size, layer.media_type, diff_id,
                layer.annotations, layer.urls, untyped=layer.media_type is None and flavour == "oci",
            )
            for layer, diff_id in pair_layers(manifest.layers, diff_ids)
        ),
        annotations={**above.annotations, **manifest.annotations, **descriptor.annotations},
        flavour=flavour,
        claimed_platform=descriptor.platform,
    )  # fmt: skip
