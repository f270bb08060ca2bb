"""The life of one path: every layer that wrote it, changed it or took it away.

A layer that takes it away need not name it: a whiteout or another type put over a directory above does, and so
does an opaque marker. A layer counts as well when it writes the path again as it was, or only implies it by what
it has below; and when it changes the inode through another name (a hard link's own header does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.comparison import Contents
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Image, Layer, require_layers
from tarlayers.merging.engine import merge_layers
from tarlayers.rootfs import Node, Refusal, sort_paths
from tarlayers.trace import Event, Step, deny_path, follow_layers


class LogEvent(NamedTuple):
    """What one layer did to the path."""

    layer: Layer
    kind: str
    """A, C or D."""
    what: tuple[str, ...]
    """Of a C: which of content mode owner mtime type link xattrs rdev; none where it was written as it was."""
    cause: str
    """`entry`; of a D `whiteout`, `opaque` or `replaced`."""
    by: str
    """The path that was written, whited out, made opaque or replaced: this one, or one above it."""
    node: Node | None
    """What the path is after this layer; its layer is the one that holds the bytes. None when it is gone."""
    links: tuple[str, ...]
    """Other names of the same inode that are visible after this layer."""

    @property
    def entry(self) -> Entry | None:
        """What the path is after this layer."""
        return self.node.entry if self.node is not None else None


@dataclass(frozen=True, slots=True)
class PathLog:
    """The answer."""

    path: str
    """Where symlinked parents led, if the path as it was given never was."""
    visible: bool
    events: tuple[LogEvent, ...]
    """Newest first; at least one."""
    refused: tuple[Refusal, ...]


def trace_path(image: Image, path: str, *, engine: str = "containerd") -> PathLog:
    """Follow one path through all layers. Of their files those that it ever was are hashed.

    A path that never was is looked for once more where the final view's symlinks lead. NoSuchPath when it never
    was there either; ContentAbsent when a layer cannot be read.
    """
    wanted = clean_path(path)
    if not wanted:
        raise NoSuchPath("the root directory has no history: engines ignore what layers say of it", place=path)
    require_layers(image.layers)
    log = _follow(image, wanted, engine)
    if not log.events:
        elsewhere = merge_layers(image.layers, engine=engine).resolve_parents(wanted)
        if elsewhere != wanted:
            log = _follow(image, elsewhere, engine)
    if not log.events:
        raise deny_path(image.layers, wanted, place=path)
    return log


def _follow(image: Image, path: str, engine: str) -> PathLog:
    found: list[tuple[Layer, Event, tuple[str, ...]]] = []
    refused: list[Refusal] = []
    visible = False
    names = _Names()
    for step in follow_layers(image.layers, engine=engine):
        refused += step.refused
        names.take(step)
        event = step.event(path)
        if event is not None:
            visible = event.after is not None
            links = names.find_others(step, path, event.after) if event.after is not None else ()
            found.append((image.layers[step.layer], event, links))
    digests = Contents(image.layers)
    files = [event.after for _, event, _ in found if event.after is not None and event.after.entry.type == "file"]
    digests.fetch((0, node) for node in files)
    events = (_tell(layer, event, links, digests) for layer, event, links in reversed(found))
    return PathLog(path, visible, tuple(events), tuple(refused))


class _Names:
    """The names of inodes that have, or had, several: to ask each view for them would cost all names in each layer."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], dict[str, None]] = {}

    def take(self, step: Step) -> None:
        """Take note of the names that a layer gave."""
        for path, node in step.renamed():
            self._names.setdefault((node.layer, node.entry.offset), {})[path] = None

    def find_others(self, step: Step, path: str, node: Node) -> tuple[str, ...]:
        """Give the other names of the inode at `path` that are visible after a layer, sorted."""
        key, view = (node.layer, node.entry.offset), step.view
        candidates = dict.fromkeys((node.entry.path, *self._names.get(key, ())))
        names = [name for name in candidates if node.is_same(view.find_node(name))]
        self._names[key] = dict.fromkeys(names)  # a layer that gives one back tells of it
        return tuple(sort_paths(name for name in names if name != path))


def _tell(layer: Layer, event: Event, links: tuple[str, ...], contents: Contents) -> LogEvent:
    before, after = event.before, event.after
    what = contents.differences(before, after) if before is not None and after is not None else ()
    if after is not None and after.entry.type == "file":
        after = after._replace(entry=after.entry._replace(sha256=contents.digest(0, after)))
    return LogEvent(layer, event.kind, what, event.cause, event.by, after, links)
