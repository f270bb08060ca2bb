"""Hard links: metadata of their own headers, targets that are whited out or above the root."""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.analysis.lint.names import climbs
from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import clean_path, whiteout_target
from tarlayers.merging.engine import Stratum
from tarlayers.merging.rootpath import find_link_target, name_of
from tarlayers.merging.unpack import LayerTree


def find_hard_link_faults(stratum: Stratum) -> Iterator[LintFinding]:
    """Look at every hard link of a layer and at the entry that it is a name of."""
    if not any(entry.type == "hardlink" for entry in stratum.entries):
        return
    layer, origins = stratum.layer, dict[str, Entry]()
    removed: set[str] = set()  # whited out so far, and not written again since
    for entry in stratum.entries:
        if entry.role == "whiteout":
            removed.add(whiteout_target(entry.path))
        if entry.role != "entry":
            continue
        removed.discard(entry.path)
        if entry.type != "hardlink":
            origins[_target(stratum.unpacked, name_of(entry))] = entry
            continue
        link = entry.link or ""
        if climbs(link):
            message = f"a hard link to {link}, which climbs above the root: Docker 29's graph drivers refuse it"
            yield found("L045", layer, entry.path, message)
        target = _target(stratum.unpacked, link)
        node = stratum.unpacked.get(target) if target else None
        if target in removed or (node is not None and node.entry.type == "whiteout"):
            message = f"a hard link to {target}, which this layer removes: it becomes a whiteout; umoci and vfs refuse"
            yield found("L042", layer, entry.path, message)
            continue
        origin = origins.get(target)
        if origin is not None:
            origins[_target(stratum.unpacked, name_of(entry))] = origin
            yield from _compare(layer, entry, origin)


def _target(tree: LayerTree, name: str) -> str:
    """Give the path that the name of an entry, or of a hard link's target, means; the root is empty."""
    try:
        return find_link_target(tree, name)
    except Refused:
        return clean_path(name)  # a later entry took a directory away: the name as it stood is the best that is known


def _compare(layer: int, link: Entry, origin: Entry) -> Iterator[LintFinding]:
    symlink = origin.type == "symlink"
    pairs = {
        "mode": (link.mode, origin.mode) if not symlink else (0, 0),
        "owner": ((link.uid, link.gid), (origin.uid, origin.gid)),
        "time": (link.mtime, origin.mtime) if not symlink else (0, 0),
        "attributes": (dict(origin.xattrs or {}) | dict(link.xattrs or {}), dict(origin.xattrs or {})),
    }
    differ = [what for what, (own, others) in pairs.items() if own != others]
    if differ:
        message = f"has another {' and '.join(differ)} than {origin.path}, the same file: umoci ignores the link's"
        yield found("L043", layer, link.path, message)
    if symlink and link.mtime != origin.mtime:
        message = f"has another time than the symlink {origin.path}, whose name it shares: only containerd sets it"
        yield found("L044", layer, link.path, message)
