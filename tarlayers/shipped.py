"""Every file that the layers ship, and what became of it in the merged file system.

A shipped file is the content of one entry of one layer, however many names (hard links) it has. It is visible as long
as one of its names is; it is hidden by the layer that took the last one away. A file that its own layer
displaces again is hidden by that layer, and one that no engine unpacks was never there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.rootfs import HasEntries, Node, Refusal, path_key
from tarlayers.trace import Event, LayerTrace, trace_layers

FILES = frozenset(("file",))
NO_DIRECTORIES = frozenset(("file", "symlink", "char", "block", "fifo"))

CAUSES = ("overwritten", "deleted_file", "deleted_dir", "not_unpacked")
"""Why a file is hidden: another entry took its path; its own name was whited out; a directory above it went
(whited out, made opaque, or replaced by what is no directory); no engine unpacks such an entry, or it is one for
the root itself."""

Key = tuple[int, int]
"""The layer and the offset of the entry's header: what a file is known by."""


class ShippedFile(NamedTuple):
    """One file of one layer."""

    path: str
    """Where the merged view has it, or had it last; of several names the entry's own before the first by its bytes."""
    entry: Entry
    """As the layer has it."""
    layer: int
    names: tuple[str, ...]
    """All visible names, or all that went together with the last one; sorted."""
    hidden_by: int | None
    """The layer that hid it; None for a visible file."""
    cause: str | None
    """One of CAUSES; None for a visible file."""
    event: Event | None
    """What hid it; None for a visible file and for one that was not unpacked."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """All files of all layers, in the order of layers and of their tars."""

    files: tuple[ShippedFile, ...]
    refused: tuple[Refusal, ...]

    @property
    def hidden(self) -> Iterator[ShippedFile]:
        """Those that the merged view does not show."""
        return (file for file in self.files if file.cause is not None)


def trace_files(layers: Sequence[HasEntries], *, engine: str = "containerd", types: frozenset[str] = FILES) -> Shipment:
    """Follow every regular file (or every entry of `types`) through the merge. Reads each layer's entries."""
    tracing = _Tracing(types)
    refused: list[Refusal] = []
    for trace in trace_layers(layers, engine=engine):
        tracing.take(trace)
        refused += trace.refused
    files = (
        tracing.tell(index, entry)
        for index, layer in enumerate(layers)
        for entry in layer.entries
        if entry.type in types and entry.role == "entry" and entry.rdev != (0, 0)  # X4: a whiteout
    )
    return Shipment(tuple(files), tuple(refused))


class _Tracing:
    """The names that each file has so far, and the events that took the last ones."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types
        self._names: dict[Key, list[str]] = {}
        self._hidden: dict[Key, tuple[int, list[Event]]] = {}

    def take(self, trace: LayerTrace) -> None:
        went: dict[Key, list[Event]] = {}
        for event in trace.lost:
            key = self._key(event.before)
            if key is not None:
                went.setdefault(key, []).append(event)
        # Names that come are counted before names that go: in place, a layer may link to a file and then delete
        # the name that it had.
        for event in trace.events:
            key = self._key(event.after)
            if key is not None:
                self._names.setdefault(key, []).append(event.path)
        for event in trace.events:
            key = self._key(event.before)
            if key is not None:
                self._names[key].remove(event.path)
                went.setdefault(key, []).append(event)
        for key, events in went.items():
            if not self._names.get(key):
                self._names.pop(key, None)
                self._hidden[key] = trace.layer, events

    def _key(self, node: Node | None) -> Key | None:
        if node is None or node.entry.type not in self._types:
            return None
        return node.layer, node.entry.offset

    def tell(self, layer: int, entry: Entry) -> ShippedFile:
        key = layer, entry.offset
        if key in self._names:
            names = tuple(sorted(self._names[key], key=path_key))
            return ShippedFile(_main_name(names, entry), entry, layer, names, None, None, None)
        if key not in self._hidden:
            return ShippedFile(entry.path, entry, layer, (entry.path,), layer, "not_unpacked", None)
        hidden_by, events = self._hidden[key]
        names = tuple(sorted({event.path for event in events}, key=path_key))
        path = _main_name(names, entry)
        event = next(event for event in events if event.path == path)
        return ShippedFile(path, entry, layer, names, hidden_by, cause_of(event), event)


def _main_name(names: Sequence[str], entry: Entry) -> str:
    return entry.path if entry.path in names else names[0]


def cause_of(event: Event) -> str:
    """Say why the path that the event speaks of is not what it was."""
    if event.by != event.path:
        return "deleted_dir" if event.after is None else "overwritten"
    return "deleted_file" if event.cause == "whiteout" else "overwritten"
