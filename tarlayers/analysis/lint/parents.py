"""Directories that entries stand in: implied ones, and ones reached through symlinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tarlayers.analysis.lint.codes import Finding, found
from tarlayers.analysis.lint.names import climbs
from tarlayers.formats.whiteout import clean_path
from tarlayers.layer import Entry
from tarlayers.rootfs import Stratum
from tarlayers.tree import MAX_LINKS, Tree

_KERNEL_LINKS = 40  # MAXSYMLINKS of Linux, beyond which open(2) says ELOOP


def find_parent_faults(stratum: Stratum) -> Iterator[Finding]:
    """Look at the directories that a layer makes without listing them, and at symlinks in the way to entries."""
    for directory in stratum.unpacked.dirs:
        node = stratum.unpacked.get(directory)
        if node is not None and node.entry.offset < 0:
            yield from _find_implied_faults(stratum, directory, node.entry)
        elif node is not None and stratum.layer:
            yield from _find_lost_xattrs(stratum, directory, node.entry)
    yield from _find_link_faults(stratum)


def _find_implied_faults(stratum: Stratum, directory: str, made: Entry) -> Iterator[Finding]:
    lower = stratum.below.get(directory)
    if lower is not None and lower.type == "symlink":
        layer = stratum.below.layer_of(directory)
        message = f"a directory replaces the symlink to {lower.link} of layer {layer}; umoci and vfs write through it"
        yield found("L032", stratum.layer, directory, message)
    elif lower is not None and lower.type != "dir" and not _is_only_opaque(stratum, directory):
        layer = stratum.below.layer_of(directory)
        message = f"a directory replaces the {lower.type} of layer {layer}, which vfs refuses"
        yield found("L034", stratum.layer, directory, message)
    if (made.mode, made.uid, made.gid, made.xattrs) != (0o755, 0, 0, None):
        what = f"{made.mode:04o} {made.uid}:{made.gid}" + (f" and {', '.join(made.xattrs)}" if made.xattrs else "")
        message = f"not listed in this layer: keeps {what} in containerd, reset to 0755 0:0 by overlay2 and podman"
        yield found("L033", stratum.layer, directory, message)
    elif made.mtime is not None:
        message = "not listed in this layer: keeps its time in containerd, but not with overlay2 and podman"
        yield found("L033", stratum.layer, directory, message)


def _is_only_opaque(stratum: Stratum, directory: str) -> bool:
    return directory in stratum.unpacked.opaque and not stratum.unpacked.dirs[directory]


def _find_lost_xattrs(stratum: Stratum, directory: str, listed: Entry) -> Iterator[Finding]:
    lower = stratum.below.get(directory)
    if lower is None or not lower.xattrs or lower.type != "dir" or directory in stratum.unpacked.opaque:
        return
    lost = sorted(lower.xattrs.keys() - (listed.xattrs or {}).keys())
    if lost:
        message = (
            f"listed without {', '.join(lost)} of layer {stratum.below.layer_of(directory)}, which podman vfs keeps"
        )
        yield found("L058", stratum.layer, directory, message)


# -- symlinks of the layer itself ------------------------------------------------------------------


class _Way(NamedTuple):
    """Where a path leads inside one layer."""

    links: int
    leaves: bool
    """Some relative symlink leaves the root."""
    targets: tuple[str, ...]
    """What its symlinks lead to in the end, each."""


def _find_link_faults(stratum: Stratum) -> Iterator[Finding]:
    dirs = stratum.unpacked.dirs
    linked: dict[str, Entry] = {}
    for entry in stratum.entries:
        parent = entry.path.rpartition("/")[0]
        if parent not in dirs:
            linked.setdefault(parent, entry)
    made = _Made(stratum.entries) if linked else None
    for parent, entry in linked.items():
        way = _follow(stratum.unpacked, parent)
        if way is None or not way.links or made is None:
            continue
        if way.links > _KERNEL_LINKS:
            message = (
                f"reached through {way.links} symlinks, more than the {_KERNEL_LINKS} that overlay2 and podman follow"
            )
            yield found("L037", stratum.layer, entry.path, message)
        if way.leaves:
            message = "reached through a symlink that climbs above the root, which Docker 29's graph drivers refuse"
            yield found("L036", stratum.layer, entry.path, message)
        missing = [target for target in way.targets if target and not made.is_there(target, entry.offset)]
        if missing:
            message = f"reached through a symlink to {missing[0]}, which this layer lacks at that point: podman refuses"
            yield found("L035", stratum.layer, entry.path, message)


def _follow(tree: Tree, path: str) -> _Way | None:
    """Follow symlinks as `Tree.resolve` does, and count them; None where that leads nowhere."""
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
        if links > MAX_LINKS:
            return None
        target = node.entry.link or ""
        if not target.startswith("/"):
            target = f"{at}/{target}"
            leaves = leaves or climbs(target)
        left = len(rest) if left < 0 else left
        rest.extend(clean_path(target).split("/")[:0:-1])
        at = ""
    return _Way(links, leaves, tuple(targets))


class _Made:
    """From which offset of the tar on each directory exists in its layer, as far as names alone tell."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._since: dict[str, int] = {}
        since = self._since
        for entry in entries:
            if entry.type == "dir":
                since.setdefault(entry.path, entry.offset)
            parent = entry.path.rpartition("/")[0]
            while parent and parent not in since:
                since[parent] = entry.offset
                parent = parent.rpartition("/")[0]

    def is_there(self, path: str, offset: int) -> bool:
        """Say whether the directory exists before the entry at `offset`."""
        return self._since.get(path, offset) < offset
