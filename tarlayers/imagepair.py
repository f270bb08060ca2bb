"""Two images held against each other: what they have in common is read and merged once, and hashed never.

Layers are told apart by what documents claim: equal diff IDs are equal layers, as a hash is for git, and nobody
reads them to see whether that is true. `verify` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tarlayers.image import Image, Layer, load_layers, run_each
from tarlayers.rootfs import Node, RootFS, merge_forks

Stack = tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class ImagePair:
    """Two images, and how many of their layers, from the base up, are the same."""

    old: Image
    new: Image
    common: int
    """Layers whose chain IDs are equal."""

    @property
    def same_layers(self) -> bool:
        """Neither image has a layer that is not in common."""
        return self.common == len(self.old.layers) == len(self.new.layers)

    @property
    def stacks(self) -> tuple[Stack, Stack]:
        """The layers of both, a common one in both as the archive has it where it is cheaper to read."""
        base = tuple(map(_cheaper, self.old.layers[: self.common], self.new.layers[: self.common]))
        return (*base, *self.old.layers[self.common :]), (*base, *self.new.layers[self.common :])


def pair_images(old: Image, new: Image, *, contents: bool = True) -> ImagePair:
    """Hold two images against each other. No layer is read, but for those whose diff ID nothing claims; `contents`
    says whether their files will have to be compared later.
    """
    for image in (old, new):
        unclaimed = [layer for layer in image.layers if layer.claimed_diff_id is None]
        load_layers(unclaimed, hashed=True, contents=contents)
    common = 0
    for a, b in zip(old.layers, new.layers, strict=False):
        if not is_same_layer(a, b):
            break
        common += 1
    return ImagePair(old, new, common)


def is_same_layer(a: Layer, b: Layer) -> bool:
    """Say whether both layers claim the same diff ID. Two plain tars of different sizes cannot have the same,
    whatever they claim.
    """
    if a.diff_id is None or a.diff_id != b.diff_id:
        return False
    return not (a.compression == b.compression == "none" and a.size != b.size)


def _cheaper(a: Layer, b: Layer) -> Layer:
    return min((a, b), key=lambda layer: (layer.unreadable is not None, layer.compression != "none"))


def merge_pair(pair: ImagePair, *, engine: str = "containerd") -> tuple[RootFS, RootFS]:
    """Merge both images. Of common layers only the headers are read, and what neither image changes above them is
    one object in both results (see `pair_nodes`). ContentAbsent when a layer cannot be read.
    """
    old, new = pair.stacks
    shared = 0
    for a, b in zip(pair.old.layers[: pair.common], pair.new.layers, strict=False):
        # The media type that one of the archives claims may make an engine refuse the same bytes.
        if (a.blob_refusal is None) != (b.blob_refusal is None):
            old, new = (*old[:shared], *pair.old.layers[shared:]), (*new[:shared], *pair.new.layers[shared:])
            break
        shared += 1
    own = {layer.source for layer in (*old[pair.common :], *new[pair.common :])}
    layers = (*old, *new[shared:])
    for layer in layers:
        layer.require_readable()
    # What has to be decompressed is hashed as it passes; plain layers are hopped over, and hashed where it matters.
    load_layers(layers, contents=lambda layer: layer.compression != "none" and layer.source in own)
    merged = merge_forks(old[:shared], old[shared:], new[shared:], engine=engine)
    return merged[0], merged[1]


def _number_layers(stacks: Iterable[Stack]) -> tuple[list[int], ...]:
    """Give each layer a number; equal ones have the same, and so has what is one blob."""
    first: dict[object, tuple[int, Layer]] = {}

    def number(layer: Layer) -> int:
        found = first.get(layer.source) or first.get(layer.diff_id)
        if found is None or not (found[1].source == layer.source or is_same_layer(found[1], layer)):
            found = len(first), layer
        first.setdefault(layer.source, found)
        first.setdefault(layer.diff_id, found)
        return found[0]

    return tuple([number(layer) for layer in stack] for stack in stacks)


class Contents:
    """The digests of the contents of both images' files, fetched when they are needed.

    A file is known by its layer's diff ID and its offset in it: where these are equal the contents are.
    """

    def __init__(self, pair: ImagePair) -> None:
        self._stacks = pair.stacks
        self._numbers = _number_layers(self._stacks)
        self._digests: dict[tuple[int, int], bytes] = {}

    def key(self, side: int, node: Node) -> tuple[int, int]:
        """Give what the content of a file is known by; `side` is 0 for the old image and 1 for the new."""
        return self._numbers[side][node.layer], node.entry.offset

    def digest(self, side: int, node: Node) -> bytes | None:
        """Give the sha256 of a file; None where it was not fetched."""
        return node.entry.sha256 or self._digests.get(self.key(side, node))

    def are_equal(self, old: Node, new: Node) -> bool:
        """Say whether two files of one size hold the same bytes; unless that is known they must be fetched."""
        if not old.entry.size or self.key(0, old) == self.key(1, new):
            return True
        digest = self.digest(0, old)
        return digest is not None and digest == self.digest(1, new)

    def fetch(self, wanted: Iterable[tuple[int, Node]]) -> None:
        """Hash the files that are not hashed yet: several layers at a time, each read once."""
        todo: dict[int, tuple[Layer, set[int]]] = {}
        for side, node in wanted:
            if self.digest(side, node) is None:
                number, offset = self.key(side, node)
                todo.setdefault(number, (self._stacks[side][node.layer], set()))[1].add(offset)
        offsets = {layer.source: (number, found) for number, (layer, found) in todo.items()}

        def fetch(layer: Layer) -> None:
            number, found = offsets[layer.source]
            self._keep(number, layer.hash_files(found))

        run_each([layer for layer, _ in todo.values()], fetch)

    def _keep(self, number: int, digests: Mapping[int, bytes]) -> None:
        self._digests.update({(number, offset): digest for offset, digest in digests.items()})
