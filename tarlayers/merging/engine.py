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
    """A layer, as far as merging goes."""

    @property
    def entries(self) -> Sequence[Entry]:
        """In tar order."""


class Stratum(NamedTuple):
    """A layer that is about to be laid on what is below it, as containerd unpacked it."""

    layer: int
    entries: Sequence[Entry]
    unpacked: LayerTree
    refused: Sequence[Refusal]
    below: RootFS
    """What the layers below show, until the visit is over."""


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

    name: str
    limits: Limits
    outline: Outline


class _PartialLayer(NamedTuple):
    """Some of a layer's entries."""

    name: str
    limits: Limits
    entries: Sequence[Entry]


def merge_reached(base: Sequence[OutlinedLayer], *stacks: Sequence[HasEntries]) -> tuple[RootFS, ...] | None:
    """Merge as `merge_forks` does, by containerd's rules, but of `base` only what the stacks reach: of what they leave
    alone the results have only the parents and the other names of what they do not.

    None where that cannot be told from the stacks alone, and what is wrong with one is for `merge_forks` to say.
    """
    nothing = LowerTrees()
    try:
        unpacked = [
            [unpack_layer(layer.entries, index, nothing) for index, layer in enumerate(stack, len(base))]
            for stack in stacks
        ]
    except LimitExceeded:
        return None
    if nothing.asked or any(tree.refused for trees in unpacked for tree in trees):
        return None
    reach = Reach(chain.from_iterable(unpacked), [layer.outline for layer in base])
    shared = Merging("containerd")
    for name, limits, outline in base:
        shared.add(_PartialLayer(name, limits, outline.select(reach.choose(outline))))
    return tuple(_lay_onto(Merging("containerd", shared), trees) for trees in unpacked)


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


class LayerRecord:
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

    def add(self, layer: HasEntries, record: LayerRecord | None = None) -> None:
        """Put a layer on, and write down what it does where a record is given."""
        entries = layer.entries
        # Bare entries have neither a name nor bounds of their own.
        self._effort.limits = getattr(layer, "limits", DEFAULT_LIMITS)
        with naming(getattr(layer, "name", f"layer {self.count}")):
            self._effort.take_entries(len(entries))
            self._add(layer, entries, record)

    def _add(self, layer: HasEntries, entries: Sequence[Entry], record: LayerRecord | None) -> None:
        index = self.count
        self.count += 1
        if self._engine == "oci":
            self._apply(entries, index, record)
            return
        unpacked = unpack_layer(entries, index, self.lower, record.lose if record is not None else None, self._effort)
        self.lower.add(unpacked)
        refused = unpacked.refused
        # Only layers of images carry a media type that an engine may refuse; bare entries do not.
        blob_refusal: Refused | None = getattr(layer, "blob_refusal", None)
        if blob_refusal is not None:
            refused = [Refusal(index, "/", *blob_refusal.args), *refused]
        if self._visit is not None:
            self._visit(Stratum(index, entries, unpacked, refused, RootFS(self.tree, self.refused)))
        if refused:
            self.refused += refused
            if record is not None:
                record.lost.clear()
            self._apply(entries, index, record, known=True)
        else:
            if record is not None:
                record.unpacked = unpacked
            Overlay(self.tree, unpacked, record.log if record is not None else None).run()

    def _apply(self, entries: Sequence[Entry], index: int, record: LayerRecord | None, *, known: bool = False) -> None:
        """Put a layer on in place; what it refuses counts unless the layer is `known` to be refused."""
        refused = apply_in_place(self.tree, entries, index, record.note_in_place(index) if record is not None else None)
        if not known:
            self.refused += refused
