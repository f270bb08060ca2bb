"""What each layer did to the merged file system, as `docker diff` would print it.

Paths are held against the view of the layers below, as docker does (moby/go-archive changes.go): a deleted
directory is one change and so is one that another type replaced, whatever was below them; a directory that was
made opaque loses each of its children on its own; of the first layer everything is new.

Engines list a directory in a layer because something below it changed. So a directory whose time alone changed,
and anything written again as it was, is noise: left out unless it is asked for. With it the list of a committed
layer is that of `docker diff`, and what docker does not see beside it: files copied up without a change (chmod
to the same mode, a new hard link elsewhere), directories where something came and went again.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.comparison import Contents, load_comparable
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchLayer
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Image, Layer
from tarlayers.merging.engine import merge_layers
from tarlayers.rootfs import Node, Refusal
from tarlayers.trace import Event, deny_path, follow_layers


class Change(NamedTuple):
    """What a layer did to one path."""

    kind: str
    """A, C or D, as `docker diff` has it."""
    path: str
    what: tuple[str, ...]
    """Of a C: which of content mode owner mtime type link xattrs rdev. None of them: written again as it was."""
    before: Node | None
    after: Node | None
    cause: str
    """`entry`; of a D `whiteout`, `opaque` or `replaced`."""
    by: str
    """The path that was written, whited out, made opaque or replaced: this one, or one above it."""
    below: int
    """How many paths went with a directory that is gone."""

    @property
    def type(self) -> str:
        """What the path is now; of a D what it was."""
        node = self.after or self.before
        return node.entry.type if node else ""

    @property
    def is_noise(self) -> bool:
        """Nothing that one would call a change: see above."""
        return self.kind == "C" and (not self.what or (self.type == "dir" and self.what == ("mtime",)))


class ChangeList(Collection[Change]):
    """Changes in the order of their paths' bytes. What a layer added, most of all it did, is kept as the entries that
    are there anyway, and told as it is come to.
    """

    def __init__(
        self, layer: int, paths: Sequence[str], added: Sequence[Entry | None], others: Mapping[str, Change]
    ) -> None:
        """Take all paths; what of them is new, with None for what is not; and what is to tell of the latter."""
        self._layer = layer
        self._paths = paths
        self._added = added
        self._others = others

    def __len__(self) -> int:
        return len(self._added) - self._added.count(None) + len(self._others)

    def __contains__(self, change: object) -> bool:
        return any(change == own for own in self)

    def count(self, kind: str) -> int:
        """Count the changes of a kind."""
        added = len(self._added) - self._added.count(None) if kind == "A" else 0
        return added + sum(change.kind == kind for change in self._others.values())

    @property
    def inodes(self) -> Iterator[Entry]:
        """What is new or changed; an inode as often as it has names."""
        yield from (entry for entry in self._added if entry is not None)
        yield from (change.after.entry for change in self._others.values() if change.after is not None)

    def __iter__(self) -> Iterator[Change]:
        for path, entry in zip(self._paths, self._added, strict=True):
            if entry is not None:
                yield Change("A", path, (), None, Node(entry, self._layer), "entry", path, 0)
            elif path in self._others:
                yield self._others[path]


@dataclass(frozen=True, slots=True)
class LayerChanges:
    """The changes of one layer, in the order of their paths' bytes."""

    layer: Layer
    changes: ChangeList

    def count(self, kind: str) -> int:
        """Count the changes of a kind."""
        return self.changes.count(kind)

    @property
    def content_size(self) -> int:
        """Bytes of content of the files that are new or changed, in whatever way; hard-linked names count once."""
        return sum({id(entry): entry.size for entry in self.changes.inodes if entry.size}.values())


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """The answer: layers base first, and what the engine would not unpack up to the last of them."""

    layers: tuple[LayerChanges, ...]
    refused: tuple[Refusal, ...]


def list_changes(
    image: Image, *, layer: int | None = None, path: str = "/", noise: bool = False, engine: str = "containerd"
) -> ImageChanges:
    """List what every layer did, or the one of index `layer`, at and below `path`.

    With `noise` also what was written again without a change, and directories whose time alone changed. A `path`
    that none of them touched is looked for once more where the last view's symlinks lead. Reads the layers up to the
    last that is asked for; files are hashed where a path is written again with the same size. NoSuchLayer when there
    is no such index; NoSuchPath when none of the layers that are read ever showed `path`; ContentAbsent when one
    cannot be read.
    """
    if layer is not None and not 0 <= layer < len(image.layers):
        raise NoSuchLayer(f"no layer {layer}: the image has {len(image.layers)}", place=image.name)
    layers = image.layers if layer is None else image.layers[: layer + 1]
    load_comparable(layers)
    wanted = range(len(layers)) if layer is None else (layer,)
    traces = _trace_asked(layers, clean_path(path), engine, wanted)
    if traces is None:
        raise deny_path(layers, clean_path(path), place=path, count=len(image.layers))
    contents = Contents(layers)
    contents.fetch_open((event.before, event.after) for trace in traces for event in trace.events)
    return ImageChanges(
        tuple(
            LayerChanges(layers[trace.layer], _changes_of(layers[trace.layer], trace, contents, noise=noise))
            for trace in traces
            if trace.layer in wanted
        ),
        tuple(refusal for trace in traces for refusal in trace.refused),
    )


def _changes_of(layer: Layer, trace: _Trace, contents: Contents, *, noise: bool) -> ChangeList:
    others = fold_events(trace.events, contents)
    if not noise:
        others = [change for change in others if not change.is_noise]
    changes = ChangeList(trace.layer, trace.paths, trace.added, {change.path: change for change in others})
    if not layer.is_container:
        return changes
    kept = {change.path: change for change in drop_copies(changes)}
    return ChangeList(trace.layer, list(kept), [None] * len(kept), kept)


def drop_copies(changes: Collection[Change]) -> Sequence[Change]:
    """Leave out what a container's own layer holds as it was: files that were only opened for writing or linked to.

    They were copied up, but `docker diff` does not list them; directories it lists for what changed below them.
    """
    changed = {change.path for change in changes if change.kind != "C" or change.what}
    above: set[str] = set()
    for path in changed:
        parent = path.rpartition("/")[0]
        while parent and parent not in above:
            above.add(parent)
            parent = parent.rpartition("/")[0]
    return [change for change in changes if change.path in changed or change.path in above]


class _Trace(NamedTuple):
    """What one layer did at and below a path."""

    layer: int
    refused: tuple[Refusal, ...]
    paths: list[str]
    added: list[Entry | None]
    """What is new at each path; None for what `events` has."""
    events: list[Event]


def _trace_asked(layers: Sequence[Layer], path: str, engine: str, wanted: Container[int]) -> list[_Trace] | None:
    """Trace what is at and below a path, or where symlinks lead it; None if no layer ever showed either."""
    traces = _trace_below(layers, path, engine, wanted)
    if not path or any(trace.paths for trace in traces):
        return traces
    view = merge_layers(layers, engine=engine)
    elsewhere = view.resolve_parents(path)
    if elsewhere != path:
        traces = _trace_below(layers, elsewhere, engine, wanted)
    if any(trace.paths for trace in traces) or path in view or elsewhere in view:
        return traces
    steps = follow_layers(layers, engine=engine)
    return traces if any(step.event(path) or step.event(elsewhere) for step in steps) else None


def _trace_below(layers: Sequence[Layer], path: str, engine: str, wanted: Container[int]) -> list[_Trace]:
    """Trace all layers, but keep only what those that are wanted did, at and below a path."""
    below = path + "/"
    traces: list[_Trace] = []
    for step in follow_layers(layers, engine=engine):
        trace = _Trace(step.layer, step.refused, [], [], [])
        for event in step.events() if step.layer in wanted else ():
            if path and event.path != path and not event.path.startswith(below):
                continue
            after = event.after
            is_plain = event.before is None and after is not None and after.layer == step.layer
            trace.paths.append(event.path)
            trace.added.append(after.entry if is_plain and after is not None else None)
            if not is_plain:
                trace.events.append(event)
        traces.append(trace)
    return traces


def fold_events(events: Iterable[Event], contents: Contents | None = None) -> Sequence[Change]:
    """Turn events, sorted by path, into changes: what was below a directory that is gone is counted there.

    Without `contents` files are compared by the digests that their entries carry.
    """
    changes: dict[str, Change] = {}
    top_of: dict[str, str] = {}  # of each directory that is gone, the one that stands for it
    for event in events:
        path, before, after, cause, by = event
        top = top_of.get(path.rpartition("/")[0])
        if top is None:
            if contents is None or before is None or after is None:
                what = event.what
            else:
                what = contents.differences(before, after)
            changes[path] = Change(event.kind, path, what, before, after, cause, by, 0)
        else:
            changes[top] = changes[top]._replace(below=changes[top].below + 1)
        if before is not None and before.entry.type == "dir" and (after is None or after.entry.type != "dir"):
            top_of[path] = path if top is None else top
    return tuple(changes.values())
