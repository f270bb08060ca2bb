"""How each layer changes the merged file system: what every path was before it and is after it, and why.

`trace_layers` gives each layer's events whole; `follow_layers` stops after each layer and makes only those that are
asked for, since of most paths nothing is asked but that they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.errors import NoSuchPath
from tarlayers.merging.difference import name_differences
from tarlayers.merging.engine import HasEntries, LayerNotes, Merging
from tarlayers.merging.tree import Directory, Tree
from tarlayers.rootfs import Node, Refusal, RootFS, sort_paths

_HINTS = 3


class Event(NamedTuple):
    """What one layer did to one path."""

    path: str
    before: Node | None
    after: Node | None
    cause: str
    """`entry`; for a path that is gone `whiteout`, `opaque` or `replaced` (by another type)."""
    by: str
    """The path that was whited out, made opaque, replaced or written."""

    @property
    def kind(self) -> str:
        """A, C or D, as `docker diff` has it."""
        return "A" if self.before is None else "D" if self.after is None else "C"

    @property
    def what(self) -> tuple[str, ...]:
        """Which aspects of a C differ; none where the path was written again as it was."""
        if self.before is None or self.after is None:
            return ()
        return name_differences(self.before.entry, self.after.entry)


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """What one layer did."""

    layer: int
    events: tuple[Event, ...]
    """One for each path whose node changed; in the order of their paths' bytes."""
    refused: tuple[Refusal, ...]
    lost: tuple[Event, ...] = ()
    """What the layer wrote and displaced or deleted again itself, so that no view ever shows it; in tar order.
    `after` is what the path shows when the layer is done."""


class Step:
    """A layer that was just put on. It answers until the next one is."""

    def __init__(self, layer: int, notes: LayerNotes, tree: Tree, refused: Sequence[Refusal], known: int) -> None:
        self.layer = layer
        self.refused = tuple(refused[known:])
        """What the engine would not unpack of this layer."""
        self._all_refused = refused
        self._notes = notes
        self._tree = tree

    @property
    def in_place(self) -> bool:
        """Whether it was unpacked onto the layers below, as `oci` has it, and all that the engine refuses."""
        return self._notes.unpacked is None

    @property
    def view(self) -> RootFS:
        """What this layer and those below it show."""
        return RootFS(self._tree, self._all_refused)

    @property
    def directories(self) -> Mapping[str, Directory]:
        """What each directory of the view holds, by path."""
        return self._tree.dirs

    def events(self) -> Iterator[Event]:
        """Yield one event for each path whose node changed, in the order of their paths' bytes."""
        for path in sort_paths(self._touched()):
            event = self.event(path)
            if event is not None:
                yield event

    def event(self, path: str) -> Event | None:
        """Give what happened to a path; None where nothing did."""
        after = self._tree.get(path)
        known = self._notes.log.get(path)
        if known is not None:
            before, cause, by = known
            if after is None:
                return Event(path, before, None, cause, by)
            return None if before.is_same(after) else Event(path, before, after, "entry", path)
        return Event(path, None, after, "entry", path) if after is not None and self._is_written(path) else None

    def displaced(self) -> Iterator[Event]:
        """Yield the events of what was there before, in no order that means anything."""
        for path, known in self._notes.log.items():
            event = self.event(path) if known is not None else None
            if event is not None:
                yield event

    def renamed(self) -> Iterator[tuple[str, Node]]:
        """Yield what the layer wrote that is not where, or whose, one would think: all names of an inode but one,
        what stands below symlinks, and names of an inode of a lower layer. In no order that means anything.
        """
        unpacked = self._notes.unpacked
        if unpacked is not None:
            yield from ((path, node) for path, node in unpacked.renamed() if node.entry.type != "whiteout")
            return
        for path in self._notes.log:
            node = self._tree.get(path)
            if node is not None and (node.entry.path != path or node.layer != self.layer):
                yield path, node

    def lost(self) -> Iterator[Event]:
        """Yield what the layer wrote and displaced or deleted again itself, in tar order."""
        for path, node, cause, by in self._notes.lost:
            yield Event(path, node, self._tree.get(path), cause, by)

    def _touched(self) -> Iterator[str]:
        log, unpacked = self._notes.log, self._notes.unpacked
        yield from log
        for children in unpacked.dirs.values() if unpacked is not None else ():
            yield from (path for path in children if path not in log)

    def _is_written(self, path: str) -> bool:
        unpacked = self._notes.unpacked
        return path in self._notes.log if unpacked is None else unpacked.entry(path) is not None


def follow_layers(layers: Sequence[HasEntries], *, engine: str = "containerd") -> Iterator[Step]:
    """Merge layers one at a time, base first, and stop after each."""
    merging = Merging(engine)
    for index, layer in enumerate(layers):
        notes = LayerNotes()
        known = len(merging.refused)
        merging.add(layer, notes)
        yield Step(index, notes, merging.tree, merging.refused, known)


def trace_layers(layers: Sequence[HasEntries], *, engine: str = "containerd") -> Iterator[LayerTrace]:
    """Merge layers one at a time and yield what each did, base first.

    Folding the events over an empty mapping gives what `merge_layers` gives after each layer.
    """
    for step in follow_layers(layers, engine=engine):
        yield LayerTrace(step.layer, tuple(step.events()), step.refused, tuple(step.lost()))


def deny_path(layers: Sequence[HasEntries], path: str, *, place: str, count: int | None = None) -> NoSuchPath:
    """Make the error for a path that none of these layers ever showed; it names paths that end as this one does.

    `place` is the path as it was asked for; `count` is how many layers the image has, where these may not be all.
    """
    base = path[path.rindex("/") :]
    names = (entry.path for layer in layers for entry in layer.entries if entry.path.endswith(base))
    found = sort_paths(set(names))[:_HINTS]
    which = "no layer" if count in (None, len(layers)) else f"no layer up to {len(layers) - 1}"
    hint = f"; there is {', '.join(found)}" if found else ""
    return NoSuchPath(f"{which} ever had it{hint}", place=place)
