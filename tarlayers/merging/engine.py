"""Layers put together as an engine does.

Two rule sets, which differ where docs/semantics.md says so: `containerd` (what Docker 29 and containerd show:
each layer is unpacked on its own, then the layers are overlaid) and `oci` (the image-spec's, as umoci unpacks:
each layer is unpacked onto the ones below). A layer that containerd refuses is put on by the image-spec's rule,
so that there is still an answer, and the refusals say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from tarlayers.entry import Entry
from tarlayers.errors import LimitExceeded, Refused, naming
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.merging.inplace import OnChange, apply_in_place
from tarlayers.merging.lower import LowerTrees
from tarlayers.merging.overlay import Log, Overlay
from tarlayers.merging.reach import Reach
from tarlayers.merging.tree import Effort, Node, Refusal, Tree
from tarlayers.merging.unpack import LayerTree, unpack_layer
from tarlayers.outline import Outline
from tarlayers.rootfs import RootFS

ENGINES = ("containerd", "oci")


class HasEntries(Protocol):
    """A layer, as far as merging goes: one of an image, an index of a blob, or a BareLayer."""

    @property
    def entries(self) -> Sequence[Entry]:
        """In tar order."""


class BareLayer(NamedTuple):
    """All that merging asks of a layer."""

    entries: Sequence[Entry]
    place: str
    """Where errors say that it is."""
    limits: Limits
    blob_refusal: Refused | None = None
    """Why an engine would not unpack the blob, whatever its entries are."""


def _strip(layer: HasEntries, number: int) -> BareLayer:
    """Ask a layer for what merging needs of it. An index of a blob is not called anything, and has no bounds."""
    return BareLayer(
        layer.entries,
        getattr(layer, "place", f"layer {number}"),
        getattr(layer, "limits", DEFAULT_LIMITS),
        getattr(layer, "blob_refusal", None),
    )


class Stratum(NamedTuple):
    """A layer that is about to be laid on what is below it, as containerd unpacked it."""

    layer: int
    entries: Sequence[Entry]
    unpacked: LayerTree
    refused: Sequence[Refusal]
    below: RootFS
    """What the layers below show, until the visit is over."""
    limits: Limits
    """The layer's bounds."""

    def unpack_as(self, index: int) -> LayerTree:
        """Unpack the layer once more, as if it were another one of its image and nothing were below it."""
        return unpack_layer(self.entries, index, effort=Effort(self.limits))


def merge_layers(layers: Sequence[HasEntries], *, engine: str = "containerd") -> RootFS:
    """Merge layers, base first. Reads each layer's entries, so what is wrong with one is raised here.

    An engine that is not in ENGINES is ValueError.
    """
    return _merge_onto(Merging(engine), layers)


def merge_forks(
    base: Sequence[HasEntries], *stacks: Sequence[HasEntries], engine: str = "containerd"
) -> tuple[RootFS, ...]:
    """Merge several stacks of layers that all stand on `base`, which is merged once.

    What no stack touches is one object in all of the results, and `differing_paths` passes it by.
    """
    shared = Merging(engine)
    for layer in base:
        shared.add(layer)
    return tuple(_merge_onto(Merging(engine, shared), stack) for stack in stacks)


class OutlinedLayer(NamedTuple):
    """A layer of which single entries can be had."""

    place: str
    limits: Limits
    outline: Outline


def merge_reached(base: Sequence[OutlinedLayer], *stacks: Sequence[HasEntries]) -> tuple[RootFS, ...] | None:
    """Merge as `merge_forks` does, by containerd's rules, but of `base` only what the stacks reach: of what they leave
    alone the results have only the parents and the other names of what they do not.

    None where that cannot be told from the stacks alone, and what is wrong with one is for `merge_forks` to say.
    """
    nothing = LowerTrees()
    try:
        unpacked = [_unpack_stack(stack, len(base), nothing) for stack in stacks]
    except LimitExceeded:
        return None
    if nothing.asked or any(tree.refused for trees in unpacked for tree in trees):
        return None
    reach = Reach(chain.from_iterable(unpacked), [layer.outline for layer in base])
    shared = Merging("containerd")
    for place, limits, outline in base:
        shared.add(BareLayer(outline.select(reach.choose(outline)), place, limits))
    return tuple(_lay_onto(Merging("containerd", shared), trees) for trees in unpacked)


def _unpack_stack(stack: Sequence[HasEntries], start: int, lower: LowerTrees) -> list[LayerTree]:
    effort = Effort()
    unpacked: list[LayerTree] = []
    for index, layer in enumerate(stack, start):
        bare = _strip(layer, index)
        effort.limits = bare.limits
        unpacked.append(unpack_layer(bare.entries, index, lower, effort=effort))
    return unpacked


def _lay_onto(merging: Merging, trees: Iterable[LayerTree]) -> RootFS:
    for tree in trees:
        Overlay(merging.tree, tree, None).run()
    return RootFS(merging.tree, merging.refused)


def _merge_onto(merging: Merging, layers: Sequence[HasEntries]) -> RootFS:
    for layer in layers:
        merging.add(layer)
    return RootFS(merging.tree, merging.refused)


def visit_layers(layers: Sequence[HasEntries], visit: Callable[[Stratum], object]) -> RootFS:
    """Merge layers by containerd's rules, and let `visit` see each of them before it is laid on the others."""
    merging = Merging("containerd", visit=visit)
    for layer in layers:
        merging.add(layer)
    return RootFS(merging.tree, merging.refused)


class LayerNotes:
    """What is written down while one layer is put on."""

    def __init__(self) -> None:
        self.log: Log = {}
        self.lost: list[tuple[str, Node, str, str]] = []
        """What the layer wrote and displaced or deleted again itself: path, what it was, and why and by what it
        went; in tar order.
        """
        self.unpacked: LayerTree | None = None
        """What was laid on the layers below; None where the layer was put on in place."""

    def lose(self, path: str, node: Node, cause: str, by: str) -> None:
        """Note something that no view ever shows."""
        self.lost.append((path, node, cause, by))

    def note_in_place(self, index: int) -> OnChange:
        """Give what is to hear of every change by layer `index`."""
        log = self.log

        def note(path: str, node: Node | None, cause: str, by: str) -> None:
            known = log.get(path)
            if known is not None:
                log[path] = known[0], cause, by
            elif path not in log:
                log[path] = (node, cause, by) if node is not None else None
            if node is not None and node.layer == index:
                self.lose(path, node, cause, by)

        return note


class Merging:
    """The merged tree so far, and what it takes to put the next layer on."""

    def __init__(
        self, engine: str, base: Merging | None = None, visit: Callable[[Stratum], object] | None = None
    ) -> None:
        """Start empty, or go on from where `base` is, which must not go on itself then."""
        if engine not in ENGINES:
            raise ValueError(f"no such engine: {engine!r} (there are {', '.join(ENGINES)})")
        self._engine = engine
        self._visit = visit
        self.count: int = base.count if base else 0
        self.lower: LowerTrees = LowerTrees(base.lower.trees if base else ())
        self._effort = Effort()
        self.tree: Tree = Tree(base.tree if base else None, self._effort)
        self.refused: list[Refusal] = [*base.refused] if base else []

    def add(self, layer: HasEntries, notes: LayerNotes | None = None) -> None:
        """Put a layer on, and write down what it does where there are notes to put it in."""
        bare = _strip(layer, self.count)
        self._effort.limits = bare.limits
        with naming(bare.place):
            self._effort.take_entries(len(bare.entries))
            self._add(bare, notes)

    def _add(self, layer: BareLayer, notes: LayerNotes | None) -> None:
        entries, index = layer.entries, self.count
        self.count += 1
        if self._engine == "oci":
            self._apply(entries, index, notes)
            return
        unpacked = unpack_layer(entries, index, self.lower, notes.lose if notes is not None else None, self._effort)
        self.lower.add(unpacked)
        refused = unpacked.refused
        if layer.blob_refusal is not None:
            refused = [Refusal(index, "/", *layer.blob_refusal.args), *refused]
        if self._visit is not None:
            below = RootFS(self.tree, self.refused)
            self._visit(Stratum(index, entries, unpacked, refused, below, layer.limits))
        if refused:
            self.refused += refused
            if notes is not None:
                notes.lost.clear()
            self._apply(entries, index, notes, known=True)
        else:
            if notes is not None:
                notes.unpacked = unpacked
            Overlay(self.tree, unpacked, notes.log if notes is not None else None).run()

    def _apply(self, entries: Sequence[Entry], index: int, notes: LayerNotes | None, *, known: bool = False) -> None:
        """Put a layer on in place; what it refuses counts unless the layer is `known` to be refused."""
        refused = apply_in_place(self.tree, entries, index, notes.note_in_place(index) if notes is not None else None)
        if not known:
            self.refused += refused
