"""Faults of a layer's blob as a whole: compression and media type."""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.errors import MalformedInput
from tarlayers.formats.mediatypes import read_layer_type
from tarlayers.image import Layer
from tarlayers.nouns import count_noun

_DOCKER_TYPES = "application/vnd.docker."


def find_unreadable(layer: Layer, error: MalformedInput) -> LintFinding:
    """Say that a layer cannot be read to its end, which fails the image in every engine."""
    where = "" if error.offset is None else f" at offset {error.offset}"
    return found("L001", layer.index, None, f"{error.reason}{where}")


def find_blob_faults(layer: Layer) -> Iterator[LintFinding]:
    """Look at a layer's media type and at what surrounds its compressed stream; the layer has been read."""
    refusal = layer.blob_refusal
    if refusal is not None:
        code = "L002" if refusal.code == "bad-compression" else "L003"
        yield found(code, layer.index, None, refusal.message)
    index = layer.read()
    if index.behind_gzip:
        more = count_noun(index.behind_gzip, "byte")
        message = f"{more} after the gzip stream, which engines refuse where unpigz is not installed"
        yield found("L004", layer.index, None, message)
    if index.odd_header and index.compression == "gzip":
        message = "a gzip header with flags that mean nothing, which unpigz refuses and Go does not"
        yield found("L009", layer.index, None, message)
    if index.compression == "zstd":
        if index.odd_header:
            yield found("L005", layer.index, None, "a skippable zstd frame comes first, which podman refuses")
        yield found("L006", layer.index, None, "zstd, which Docker 20.10 cannot unpack")
    yield from _find_media_type_faults(layer)


def _find_media_type_faults(layer: Layer) -> Iterator[LintFinding]:
    media_type = layer.media_type
    if media_type is None:
        return
    claimed = read_layer_type(media_type)
    wanted = claimed.compression if claimed else None
    if wanted not in (None, "none", layer.compression):
        actual = "not compressed" if layer.compression == "none" else layer.compression
        yield found("L007", layer.index, None, f"{media_type}, but the bytes are {actual}: umoci refuses it")
    elif media_type.startswith(_DOCKER_TYPES):
        yield found("L008", layer.index, None, f"{media_type}, which umoci does not know")
