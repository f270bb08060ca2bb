"""Whiteouts and opaque markers that engines read differently.

Docker's graph drivers and containers/storage unpack the first layer as any other, and in-place engines unpack
every layer as containerd does the first: unpacking a layer by the other rule once more shows what they show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import INVALID, PREFIX
from tarlayers.merging.engine import Stratum
from tarlayers.merging.rootpath import find_root_path, name_of
from tarlayers.merging.unpack import LayerTree

_AUFS = "/.wh..wh."


def find_marker_faults(stratum: Stratum) -> Iterator[LintFinding]:
    """Look at a layer's markers, and at what stands below names that aufs kept for itself."""
    markers = [entry for entry in stratum.entries if entry.role != "entry"]
    if markers:
        yield from _find_first_layer(stratum, markers) if stratum.layer == 0 else _find_upper(stratum, markers)
        yield from _find_made_by_markers(stratum, markers)
    for entry in stratum.entries:
        if entry.path.startswith(_AUFS) and "/" in entry.path[1:]:
            yield found("L020", stratum.layer, entry.path, "below a name of aufs, which vfs drivers drop")


def _find_first_layer(stratum: Stratum, markers: Sequence[Entry]) -> Iterator[LintFinding]:
    elsewhere = stratum.unpack_as(1)
    known = {(refusal.path, refusal.rule) for refusal in stratum.refused}
    for refusal in elsewhere.refused:
        if (refusal.path, refusal.rule) not in known:
            message = f"{refusal.message}; in the first layer containerd allows it, overlay2 and podman refuse"
            yield found("L014", 0, refusal.path, message)
    for path in _lost(elsewhere, stratum.unpacked, _opaque_directories(stratum.unpacked, markers)):
        yield found(
            "L015", 0, path, "it or its directory is not listed by then, so containerd lets the opaque marker remove it"
        )


def _find_upper(stratum: Stratum, markers: Sequence[Entry]) -> Iterator[LintFinding]:
    layer, unpacked, below = stratum.layer, stratum.unpacked, stratum.below
    whited_out = {path for entry in markers if (path := _whiteout_target(unpacked, entry))}
    for path in whited_out & unpacked.dirs.keys() - unpacked.opaque:
        if not stratum.refused and below.children(path):
            message = "removed and made again in this layer: what lower layers have below it shows through"
            yield found("L013", layer, path, message)
    opaque = [entry for entry in markers if entry.role == "opaque"]
    if any(entry.path.count("/") == 1 for entry in opaque) and below.directories[""]:
        message = "an opaque marker at the root: no effect in containerd, Docker and podman, umoci hides all below"
        yield found("L017", layer, "", message)
    if opaque and not stratum.refused:
        elsewhere = stratum.unpack_as(0)
        for path in _lost(unpacked, elsewhere, _opaque_directories(unpacked, opaque)):
            yield found("L016", layer, path, "no entry lists it, and the opaque marker above comes later: vfs loses it")


def _find_made_by_markers(stratum: Stratum, markers: Sequence[Entry]) -> Iterator[LintFinding]:
    """Find directories that are there for a marker alone (or shown where a lower layer has a file)."""
    unpacked, below = stratum.unpacked, stratum.below
    # Where a marker stood is asked of the tree itself: its name may lead elsewhere once the layer is through.
    implied = [path for path in unpacked.dirs if path and unpacked.dirs[path].keys() <= unpacked.whiteouts]
    for directory in dict.fromkeys((*_marked_directories(unpacked, markers), *implied)):
        node = unpacked.get(directory)
        if node is None or node.entry.offset >= 0 or _shows_something(unpacked, directory):
            continue
        lower = below.get(directory)
        if lower is None or (directory and _is_below(directory.rpartition("/")[0], unpacked.opaque)):
            message = "a marker makes this directory, which nothing else does; umoci does not make it"
            yield found("L019", stratum.layer, directory, message)
        elif lower.type not in ("dir", "symlink") and directory in unpacked.opaque:
            message = f"an opaque marker turns a {lower.type} into a directory; umoci and vfs keep the {lower.type}"
            yield found("L018", stratum.layer, directory, message)


def _whiteout_target(tree: LayerTree, entry: Entry) -> str | None:
    """Give the path that a whiteout hides, the symlinks of its own layer followed."""
    base = entry.path.rpartition("/")[2]
    if entry.role != "whiteout" or base in INVALID:
        return None
    try:
        return f"{find_root_path(tree, name_of(entry).rpartition('/')[0])}/{base[len(PREFIX) :]}"
    except Refused:
        return None


def _marked_directories(tree: LayerTree, markers: Sequence[Entry]) -> Iterator[str]:
    """Yield the directories that markers stand in, each once, in the order of the tar."""
    directories: dict[str, None] = {}
    for name in dict.fromkeys(name_of(entry).rpartition("/")[0] for entry in markers):
        with suppress(Refused):
            directories[find_root_path(tree, name)] = None
    yield from directories


def _opaque_directories(tree: LayerTree, markers: Sequence[Entry]) -> frozenset[str]:
    return frozenset(_marked_directories(tree, [entry for entry in markers if entry.role == "opaque"]))


def _shows_something(tree: LayerTree, directory: str) -> bool:
    return any(entry.type != "whiteout" for entry in tree.dirs.get(directory, {}).values())


def _lost(kept: LayerTree, lossy: LayerTree, opaque: frozenset[str]) -> Iterator[str]:
    """Yield what is in one tree and not in the other, for an opaque directory above it: the topmost paths alone."""
    for directory, children in kept.dirs.items():
        if directory in lossy.dirs and opaque and _is_below(directory, opaque):
            for path, entry in children.items():
                if entry.type != "whiteout" and lossy.entry(path) is None:
                    yield path


def _is_below(directory: str, opaque: Collection[str]) -> bool:
    while directory not in opaque:
        if not directory:
            return False
        directory = directory.rpartition("/")[0]
    return True
