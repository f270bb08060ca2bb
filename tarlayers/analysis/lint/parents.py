"""Directories that entries stand in: implied ones, and ones reached through symlinks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.analysis.lint.names import climbs
from tarlayers.entry import Entry
from tarlayers.formats.whiteout import clean_path
from tarlayers.linux import MAX_SYMLINKS
from tarlayers.merging.engine import Stratum
from tarlayers.merging.tree import MAX_LINKS, Tree


def find_parent_faults(stratum: Stratum) -> Iterator[LintFinding]:
    """Look at the directories that a layer makes without listing them, and at symlinks in the way to entries."""
    parents: dict[str, Entry] = {}
    for entry in stratum.entries:
        parents.setdefault(entry.path.rpartition("/")[0], entry)
    births = _Births(stratum.entries)
    if stratum.layer:
        yield from _find_passed_over(stratum, _with_ancestors(parents), births)
    yield from _find_attributes(stratum)
    yield from _find_links(stratum, parents, births)


# -- implied directories ---------------------------------------------------------------------------


def _find_passed_over(stratum: Stratum, directories: Iterable[str], births: _Births) -> Iterator[LintFinding]:
    """Find what a lower layer has as something else, and this one takes for a directory without listing it."""
    layer, below = stratum.layer, stratum.below
    for directory in directories:
        lower = below.get(directory)
        if lower is None or lower.type == "dir" or births.is_listed_first(directory):
            continue
        where = below.layer_of(directory)
        if lower.type == "symlink":
            message = (
                f"a directory replaces the symlink to {lower.link} of layer {where}; umoci and vfs write through it"
            )
            yield found("L032", layer, directory, message)
        elif directory not in stratum.unpacked.opaque or stratum.unpacked.dirs[directory]:
            message = f"a directory replaces the {lower.type} (layer {where}), which vfs refuses"
            yield found("L034", layer, directory, message)


def _find_attributes(stratum: Stratum) -> Iterator[LintFinding]:
    """Compare the attributes of a layer's directories with those of the lower ones."""
    for directory in stratum.unpacked.dirs:
        node = stratum.unpacked.get(directory)
        if node is not None and node.entry.offset < 0:
            yield from _find_inherited(stratum.layer, directory, node.entry)
        elif node is not None and stratum.layer:
            yield from _find_lost(stratum, directory, node.entry)
    yield from _find_added(stratum)


def _find_inherited(layer: int, directory: str, made: Entry) -> Iterator[LintFinding]:
    if (made.mode, made.uid, made.gid, made.xattrs) != (0o755, 0, 0, None):
        what = f"{made.mode:04o} {made.uid}:{made.gid}" + (f" and {', '.join(made.xattrs)}" if made.xattrs else "")
        message = f"not listed in this layer: keeps {what} in containerd, reset to 0755 0:0 by overlay2 and podman"
        yield found("L033", layer, directory, message)
    elif made.mtime is not None:
        message = "not listed in this layer: keeps its time in containerd, but not with overlay2 and podman"
        yield found("L033", layer, directory, message)


def _find_lost(stratum: Stratum, directory: str, listed: Entry) -> Iterator[LintFinding]:
    lower = stratum.below.get(directory)
    if lower is None or not lower.xattrs or lower.type != "dir":
        return
    lost = ", ".join(sorted(lower.xattrs.keys() - (listed.xattrs or {}).keys()))
    if lost:
        message = f"listed without {lost} of layer {stratum.below.layer_of(directory)}, which podman vfs keeps"
        yield found("L058", stratum.layer, directory, message)


def _find_added(stratum: Stratum) -> Iterator[LintFinding]:
    """Find what a directory inherited when something below it came first, and its own entry then left in place."""
    unpacked = stratum.unpacked
    listed = [node.entry for path in unpacked.dirs if (node := unpacked.get(path)) and node.entry.offset >= 0]
    marked = [entry for entry in listed if entry.xattrs] if stratum.layer else []
    if not marked:
        return
    alone = stratum.unpack_as(stratum.layer)
    for entry in marked:
        own = alone.get(entry.path)
        added = sorted((entry.xattrs or {}).keys() - ((own.entry.xattrs if own else None) or {}).keys())
        if added:
            message = (
                f"listed after what is below it: keeps {', '.join(added)} in containerd, lost in overlay2 and umoci"
            )
            yield found("L033", stratum.layer, entry.path, message)


# -- symlinks of the layer itself ------------------------------------------------------------------


class _Way(NamedTuple):
    """Where a path leads inside one layer."""

    links: int
    leaves: bool
    """Some relative symlink leaves the root."""
    targets: tuple[str, ...]
    """What its symlinks lead to in the end, each."""


def _find_links(stratum: Stratum, parents: dict[str, Entry], births: _Births) -> Iterator[LintFinding]:
    for parent, entry in parents.items():
        way = None if parent in stratum.unpacked.dirs else _follow(stratum.unpacked, parent, entry.offset)
        if way is None or not way.links:
            continue
        if way.links > MAX_SYMLINKS:
            message = f"reached through {way.links} symlinks; overlay2 and podman follow no more than {MAX_SYMLINKS}"
            yield found("L037", stratum.layer, entry.path, message)
        if way.leaves:
            message = "reached through a symlink that climbs above the root, which Docker 29's graph drivers refuse"
            yield found("L036", stratum.layer, entry.path, message)
        missing = [target for target in way.targets if target and not births.is_there(target, entry.offset)]
        if missing:
            message = f"reached through a symlink to {missing[0]}, which this layer lacks at that point: podman refuses"
            yield found("L035", stratum.layer, entry.path, message)


def _follow(tree: Tree, path: str, before: int) -> _Way | None:
    """Follow symlinks, their targets cleaned as texts, and count them; None where that leads nowhere, or where one of
    them comes later in the tar than the offset `before`.
    """
    links, leaves, at = 0, False, ""
    targets: list[str] = []
    left = -1  # how much of the path is left where the outermost symlink ends
    rest = path.split("/")[:0:-1]
    while rest:
        here = f"{at}/{rest.pop()}"
        node = tree.get(here)
        if node is None or node.entry.type != "symlink":
            at = here
            if len(rest) == left:
                targets.append(at)
                left = -1
            continue
        links += 1
        if links > MAX_LINKS or node.entry.offset > before:
            return None
        target = node.entry.link or ""
        if not target.startswith("/"):
            target = f"{at}/{target}"
            leaves = leaves or climbs(target)
        left = len(rest) if left < 0 else left
        rest.extend(clean_path(target).split("/")[:0:-1])
        at = ""
    return _Way(links, leaves, tuple(targets))


# -- the order of the tar --------------------------------------------------------------------------


class _Births:
    """From which offset of a layer's tar on each of its names exists, found out when first asked."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._since: dict[str, int] = {}
        self._implied: set[str] = set()

    def _read(self) -> dict[str, int]:
        since = self._since
        if not since:
            for entry in self._entries:
                if entry.role == "entry" and entry.type != "global":
                    since.setdefault(entry.path, entry.offset)
                parent = entry.path.rpartition("/")[0]
                while parent and parent not in since:
                    since[parent] = entry.offset
                    self._implied.add(parent)
                    parent = parent.rpartition("/")[0]
        return since

    def is_there(self, path: str, offset: int) -> bool:
        """Say whether a name exists before the entry at `offset`."""
        return self._read().get(path, offset) < offset

    def is_listed_first(self, path: str) -> bool:
        """Say whether an entry for the name itself comes before all that stands below it."""
        return path in self._read() and path not in self._implied


def _with_ancestors(directories: Iterable[str]) -> Iterator[str]:
    """Yield directories and those above them, each once; the root is left out."""
    seen: set[str] = set()
    for directory in directories:
        at = directory
        while at and at not in seen:
            seen.add(at)
            yield at
            at = at.rpartition("/")[0]
