"""Where `manifest.json` and the OCI documents of a hybrid archive tell different things of one image.

Docker's classic store and podman load by the one, containerd (and with it Docker 29) by the other, so where they
disagree the image depends on who loads it. The archive is read as each of them does, and the two are compared.
Either spells names in several ways (`v1`, `app:v1`, `docker.io/library/app:v1`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tarlayers.errors import MalformedInput, ReadFailed
from tarlayers.formats.mediatypes import read_layer_type
from tarlayers.limits import Limits
from tarlayers.nouns import count_noun
from tarlayers.sources.layout import LAYOUT_FILE, ImageRecord, LayerRecord
from tarlayers.sources.locate import locate_images
from tarlayers.sources.names import spell_out

_OCI_ONLY = frozenset(("index.json", LAYOUT_FILE))
_DOCKER_ONLY = frozenset(("manifest.json", "repositories"))


class Disagreement(NamedTuple):
    """Something that `manifest.json` and the OCI documents tell differently."""

    place: str
    claimed: str | None
    """By `manifest.json`."""
    computed: str | None
    """By the OCI documents; None where they agree, and the archive lacks what both speak of."""
    message: str


class _Without(Mapping[str, bytes]):
    """Documents, some of them left out."""

    def __init__(self, documents: Mapping[str, bytes], names: frozenset[str]) -> None:
        self._documents = documents
        self._names = names

    def __getitem__(self, name: str) -> bytes:
        if name in self._names:
            raise KeyError(name)
        return self._documents[name]

    def __contains__(self, name: object) -> bool:
        return name not in self._names and name in self._documents

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._documents if name not in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def compare_documents(
    documents: Mapping[str, bytes], sizes: Mapping[str, int], limits: Limits
) -> Iterator[Disagreement]:
    """Compare an archive's two sets of documents; nothing comes for one that has not both.

    Also yields layers that `manifest.json` lists and the archive lacks, for docker load opens each of them.
    """
    if "index.json" not in documents or "manifest.json" not in documents:
        return
    docker = _read_without(documents, sizes, _OCI_ONLY, limits)
    oci = _read_without(documents, sizes, _DOCKER_ONLY, limits)
    if bool(docker) != bool(oci):
        empty, full = ("manifest.json", "index.json") if oci else ("index.json", "manifest.json")
        message = f"{empty} lists no image that could be read, {full} does"
        yield Disagreement(empty, count_noun(len(docker), "image"), count_noun(len(oci), "image"), message)
        return
    for i, image in enumerate(docker):
        place = f"manifest.json[{i}]"
        same = [other for other in oci if other.image_id == image.image_id]
        if not same:
            message = "manifest.json lists an image that the index does not"
            yield Disagreement(place, str(image.image_id), "no such image", message)
            continue
        yield from _compare_layers(place, image.layers, [other.layers for other in same])
        yield from _compare_names(place, image.names, [name for other in same for name in other.names])


def _read_without(
    documents: Mapping[str, bytes], sizes: Mapping[str, int], names: frozenset[str], limits: Limits
) -> tuple[ImageRecord, ...]:
    """Read an archive without some documents; one of which no image could be read has none."""
    kept = {name: size for name, size in sizes.items() if name not in names}
    try:
        return locate_images(_Without(documents, names), kept, limits).images
    except ReadFailed:
        raise
    except MalformedInput:
        return ()


def _compare_layers(
    place: str, listed: Sequence[LayerRecord], candidates: Sequence[Sequence[LayerRecord]]
) -> Iterator[Disagreement]:
    """One configuration may belong to several manifests, whose layers are compressed in several ways."""
    faults = [list(_differ(place, listed, layers)) for layers in candidates]
    yield from min(faults, key=len)
    foreign = {layer.claimed_digest for layers in candidates for layer in layers if _is_foreign(layer)}
    for i, layer in enumerate(listed):
        if layer.blob is None and layer.claimed_digest not in foreign:
            identity = str(layer.claimed_digest or "") or None
            message = "manifest.json lists this layer, but the archive lacks it"
            yield Disagreement(f"{place} Layers[{i}]", identity, None, message)


def _differ(place: str, listed: Sequence[LayerRecord], layers: Sequence[LayerRecord]) -> Iterator[Disagreement]:
    """A member that is not called by its digest may be any layer, and agrees."""
    if len(listed) != len(layers):
        here, there = (count_noun(len(found), "layer") for found in (listed, layers))
        yield Disagreement(place, here, there, f"manifest.json lists {here}, the OCI manifest {there}")
        return
    for i, (one, other) in enumerate(zip(listed, layers, strict=True)):
        if one.claimed_digest is not None and one.claimed_digest != other.claimed_digest:
            message = f"manifest.json has another layer {i} than the OCI manifest"
            yield Disagreement(f"{place} Layers[{i}]", str(one.claimed_digest), str(other.claimed_digest), message)


def _is_foreign(layer: LayerRecord) -> bool:
    claimed = read_layer_type(layer.media_type)
    return bool(layer.urls or (claimed and claimed.foreign))


def _compare_names(place: str, tags: Sequence[str], names: Sequence[str]) -> Iterator[Disagreement]:
    """Either may give an image no name at all. Of an image that two indexes of different names list docker's
    `manifest.json` has one name alone.
    """
    if not tags or not names:
        return
    known = {*map(spell_out, names), *(name for name in names if "/" not in name)}
    told = {spelling for tag in tags for spelling in _spellings(tag)}
    alone = [tag for tag in tags if not known & _spellings(tag)]
    strange = [name for name in names if not told & {spell_out(name), *([] if "/" in name else [name])}]
    if alone or len(strange) == len(names):
        alone += strange
        message = f"manifest.json and index.json name this image differently: {' '.join(dict.fromkeys(alone))}"
        yield Disagreement(place, " ".join(tags), " ".join(names), message)


def _spellings(tag: str) -> set[str]:
    """What the index may call what `manifest.json` calls so: in full, or by the end alone."""
    head, _, end = tag.rpartition(":")
    return {spell_out(tag), end, f"{head.rpartition(':')[2]}:{end}"}
