"""Two images held against each other: what they have in common is read and merged once, and hashed for what it may be
equal to alone.

Layers are told apart by what documents claim: equal diff IDs are equal layers, as a hash is for git, and nobody
reads them to see whether that is true. `verify` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from tarlayers.comparison import LayerSource, Stack, find_rivals, is_same_layer
from tarlayers.errors import naming
from tarlayers.image import Image, Layer, count_hoppers, load_layers, run_each
from tarlayers.merging.engine import OutlinedLayer, merge_forks, merge_reached
from tarlayers.outline import Outline, outline_entries
from tarlayers.rootfs import RootFS
from tarlayers.stores.store import OnRead


@dataclass(frozen=True, slots=True)
class ImagePair:
    """Two images, and how many of their layers, from the base up, are the same."""

    old: Image
    new: Image
    common: int
    """Layers whose chain IDs are equal."""
    shared: int
    """Those of them that an engine unpacks alike: it may refuse the same bytes under another media type."""
    contents: bool
    """Their files will be compared."""

    @property
    def same_layers(self) -> bool:
        """Neither image has a layer that is not shared."""
        return self.shared == len(self.old.layers) == len(self.new.layers)

    @property
    def stacks(self) -> tuple[Stack, Stack]:
        """The layers of both, a shared one in both from the archive that has it where it is cheaper to read."""
        base = tuple(map(_cheaper, self.old.layers[: self.shared], self.new.layers[: self.shared]))
        return (*base, *self.old.layers[self.shared :]), (*base, *self.new.layers[self.shared :])


def pair_images(old: Image, new: Image, *, contents: bool = True) -> ImagePair:
    """Hold two images against each other. No layer is read, but for those whose diff ID nothing claims; `contents`
    says whether their files will have to be compared later.
    """
    for image in (old, new):
        unclaimed = [layer for layer in image.layers if layer.claimed_diff_id is None]
        load_layers(unclaimed, hashed=True, contents=contents)
    layers = list(zip(old.layers, new.layers, strict=False))
    common = sum(1 for _ in takewhile(lambda each: is_same_layer(*each), layers))
    alike = ((a.blob_refusal is None) == (b.blob_refusal is None) for a, b in layers[:common])
    return ImagePair(old, new, common, sum(takewhile(bool, alike)), contents)


def _cheaper(a: Layer, b: Layer) -> Layer:
    return min((a, b), key=lambda layer: (layer.unreadable is not None, layer.compression != "none"))


def merge_pair(
    pair: ImagePair, *, engine: str = "containerd", whole: bool = True, on_read: OnRead | None = None
) -> tuple[RootFS, RootFS]:
    """Merge both images. Of common layers only the headers are read, and what neither image changes above them is
    one object in both results (see `differing_paths`). ContentAbsent when a layer cannot be read.

    Unless `whole`, both may lack what no image changes, or have it wrong, but for the parents and the other names of
    what one of them does. Then it costs what the changes cost, where the common layers are in the layer cache.
    """
    merged = None if whole or engine != "containerd" else _merge_reached(pair, on_read)
    if merged is None:
        _load_pair(pair, on_read)
        old, new = pair.stacks
        merged = merge_forks(old[: pair.shared], old[pair.shared :], new[pair.shared :], engine=engine)
    return merged[0], merged[1]


def _merge_reached(pair: ImagePair, on_read: OnRead | None) -> tuple[RootFS, ...] | None:
    """Merge of the shared layers what those above them reach. None where all of them have to be merged: no outline of
    them is kept, one is not orderly, or containerd would not unpack a layer by its own rule.
    """
    old, new = pair.stacks
    base, above = old[: pair.shared], (old[pair.shared :], new[pair.shared :])
    if any(layer.windows or layer.blob_refusal is not None for stack in (base, *above) for layer in stack):
        return None
    kept = _load_pair(pair, on_read, outlined=True)
    if not kept:
        return None
    outlined: list[OutlinedLayer] = []
    for layer in base:
        outline = kept.get(layer.source) or outline_entries(layer.entries)
        if outline is None:
            return None
        outlined.append(OutlinedLayer(layer.place, layer.limits, outline))
    entries = sum(len(layer.outline.paths) for layer in outlined)
    if any(entries + sum(len(layer.entries) for layer in stack) > base[0].limits.image_entries for stack in above):
        return None
    return merge_reached(outlined, *above)


def _load_pair(pair: ImagePair, on_read: OnRead | None, *, outlined: bool = False) -> Mapping[LayerSource, Outline]:
    """Index the layers of both, several at a time, those first that are not shared. What of them has to be decompressed
    is hashed as it passes, and of shared layers those files that another may be equal to; plain ones are hopped over,
    and hashed where it turns out to matter.

    If `outlined`, give those outlines of shared layers that are kept, whose entries are then not made.
    """
    layers: dict[LayerSource, Layer] = {}
    places: dict[LayerSource, str] = {}
    hashed: set[LayerSource] = set()
    outlines: dict[LayerSource, Outline] = {}
    for which, image, stack in zip(("old", "new"), (pair.old, pair.new), pair.stacks, strict=True):
        for layer in stack:
            layers.setdefault(layer.source, layer)
            places.setdefault(layer.source, f"{which} image {image.name}")
            if pair.contents and layer.compression != "none" and layer.index >= pair.common:
                hashed.add(layer.source)
    above = [stack[pair.shared :] for stack in pair.stacks]
    own = {layer.source: layer for stack in above for layer in stack}
    shared = [layer for layer in layers.values() if layer.source not in own]

    def load(layer: Layer) -> None:
        with naming(places[layer.source]):
            layer.read(contents=layer.source in hashed, on_read=on_read)

    def load_shared(layer: Layer) -> None:
        with naming(places[layer.source]):
            outline = layer.find_outline(on_read) if outlined else None
            if outline is not None:
                outlines[layer.source] = outline
            else:
                layer.read(wanted=wanted, on_read=on_read)

    for layer in layers.values():
        with naming(places[layer.source]):
            layer.require_readable()
    run_each(list(own.values()), load, workers=count_hoppers(own.values()))
    wanted = find_rivals(*above) if pair.contents and shared else None
    run_each(shared, load_shared, workers=count_hoppers(shared))
    return outlines
