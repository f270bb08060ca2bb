"""Every file that the layers ship, and what became of it in the merged file system.

A shipped file is the content of one entry of one layer, however many names (hard links) it has. It is visible as long
as one of its names is; it is hidden by the layer that took the last one away. A file that its own layer
displaces again is hidden by that layer, and one that no engine unpacks was never there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.merging.engine import HasEntries, merge_layers
from tarlayers.merging.inode import is_whiteout_device
from tarlayers.merging.tree import Directory
from tarlayers.rootfs import Node, Refusal, RootFS, path_key
from tarlayers.trace import Event, Step, follow_layers

FILES = frozenset(("file",))
NO_DIRECTORIES = frozenset(("file", "symlink", "char", "block", "fifo"))

_Key = tuple[int, int]
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
    """`overwritten`: another entry took its path; `deleted_file`: its own name was whited out; `deleted_dir`: a
    directory above it went (whited out, made opaque, or replaced by what is no directory); `not_unpacked`: no engine
    unpacks such an entry, or it is one for the root itself. None for a visible file.
    """
    event: Event | None
    """What hid it; None for a visible file and for one that was not unpacked."""


class ShippedFiles(Iterable[ShippedFile]):
    """All files of all layers, in the order of layers and of their tars. Each pass over them tells them anew: of the
    visible ones, which are most, nothing is kept beside the merged view.
    """

    def __init__(self, layers: Sequence[HasEntries], tracing: _Tracing) -> None:
        self._layers = layers
        self._tracing = tracing

    def __iter__(self) -> Iterator[ShippedFile]:
        for index, entry in self._shipped():
            yield self._tracing.tell(index, entry)

    def find_hidden(self) -> Iterator[ShippedFile]:
        """Yield those that the merged view does not show."""
        directories = self._tracing.directories
        last, beside = "", directories.get("")
        for index, entry in self._shipped():
            path = entry.path
            parent = path[: path.rfind("/")]
            if parent != last:  # most have the parent of the one before, and are shown there as they are
                last, beside = parent, directories.get(parent)
            if beside is not None and beside.get(path) is entry and beside.layer_of(path) == index:
                continue
            file = self._tracing.tell(index, entry)
            if file.cause is not None:
                yield file

    def _shipped(self) -> Iterator[tuple[int, Entry]]:
        types = self._tracing.types
        for index, layer in enumerate(self._layers):
            overlaid = index not in self._tracing.in_place
            for entry in layer.entries:
                if (
                    entry.type in types
                    and entry.role == "entry"
                    and not (overlaid and entry.rdev and is_whiteout_device(entry))
                ):
                    yield index, entry


@dataclass(frozen=True, slots=True)
class Shipment:
    """The answer."""

    files: ShippedFiles
    view: RootFS
    refused: tuple[Refusal, ...]

    @property
    def hidden(self) -> Iterator[ShippedFile]:
        """Those that the merged view does not show."""
        return self.files.find_hidden()


def trace_files(layers: Sequence[HasEntries], *, engine: str = "containerd", types: frozenset[str] = FILES) -> Shipment:
    """Follow every regular file (or every entry of `types`) through the merge. Reads each layer's entries."""
    tracing = _Tracing(types)
    refused: list[Refusal] = []
    view = merge_layers(())
    for step in follow_layers(layers, engine=engine):
        tracing.take(step)
        refused += step.refused
        if step.layer == len(layers) - 1:
            view = step.view
    return Shipment(ShippedFiles(layers, tracing), view, tuple(refused))


class _Tracing:
    """The view so far, and the events that took the last names of files that it does not show."""

    def __init__(self, types: frozenset[str]) -> None:
        self.types = types
        self.directories: Mapping[str, Directory] = {}  # of the view so far
        self.in_place: set[int] = set()
        """The layers in which a device 0:0 is no whiteout."""
        self._others: dict[_Key, dict[str, None]] = {}
        """Names that files have, or had, beside the one that their entries say."""
        self._hidden: dict[_Key, tuple[int, Event]] = {}
        """The layer that took the last name of a file, and what it did to the one that the file is known by."""
        self._gone: dict[_Key, tuple[str, ...]] = {}
        """The names that went together, where there were several."""

    def take(self, step: Step) -> None:
        self.directories = step.directories
        if step.in_place:
            self.in_place.add(step.layer)
        went: dict[_Key, list[Event]] = {}
        # Names that come are counted before names that go: in place, a layer may link to a file and then delete
        # the name that it had.
        for path, node in step.renamed():
            key = self._key(node)
            if key is not None:
                self._others.setdefault(key, {})[path] = None
        for event in step.lost():
            key = self._key(event.before)
            if key is not None:
                went.setdefault(key, []).append(event)
        for event in step.displaced():
            key = self._key(event.before)
            if key in self._others:
                went.setdefault(key, []).append(event)
            elif key is not None:
                self._hidden[key] = step.layer, event  # its only name
        for key, events in went.items():
            self._hide(key, events, step.layer)

    def _hide(self, key: _Key, events: Sequence[Event], layer: int) -> None:
        """Take note of a file some names of which went, unless it has others."""
        before = events[0].before
        if before is None or self._has_name(key, before.entry):
            return
        names = tuple(sorted({event.path for event in events}, key=path_key))
        main = _main_name(names, before.entry)
        self._hidden[key] = layer, next(event for event in events if event.path == main)
        if len(names) > 1:
            self._gone[key] = names

    def _key(self, node: Node | None) -> _Key | None:
        if node is None or node.entry.type not in self.types:
            return None
        return node.layer, node.entry.offset

    def _has_name(self, key: _Key, entry: Entry) -> bool:
        """Say whether a file has a visible name. Those that it had are forgotten on the way: a layer that gives one
        back tells of it, and to pass them again in each layer would cost the product of both.
        """
        if self._shows(entry.path, key):
            return True
        others = self._others.get(key)
        while others:
            name, _ = others.popitem()
            if self._shows(name, key):
                others[name] = None
                return True
        return False

    def _names(self, key: _Key, entry: Entry) -> list[str]:
        """Give the names of a file that are visible."""
        return [name for name in self._others.get(key, {}).keys() | {entry.path} if self._shows(name, key)]

    def _shows(self, path: str, key: _Key) -> bool:
        """Say whether a path is a file in the view so far."""
        beside = self.directories.get(path.rpartition("/")[0])
        return beside is not None and self._key(beside.node(path)) == key

    def tell(self, layer: int, entry: Entry) -> ShippedFile:
        """Say what became of a file."""
        key = layer, entry.offset
        if key in self._others:
            names = tuple(sorted(self._names(key, entry), key=path_key))
        else:
            names = (entry.path,) if self._shows(entry.path, key) else ()
        if names:
            return ShippedFile(_main_name(names, entry), entry, layer, names, None, None, None)
        if key not in self._hidden:
            return ShippedFile(entry.path, entry, layer, (entry.path,), layer, "not_unpacked", None)
        hidden_by, event = self._hidden[key]
        names = self._gone.get(key) or (event.path,)
        return ShippedFile(event.path, entry, layer, names, hidden_by, cause_of(event), event)


def _main_name(names: Sequence[str], entry: Entry) -> str:
    return entry.path if entry.path in names else names[0]


def cause_of(event: Event) -> str:
    """Say why the path that the event speaks of is not what it was."""
    if event.by != event.path:
        return "deleted_dir" if event.after is None else "overwritten"
    return "deleted_file" if event.cause == "whiteout" else "overwritten"
