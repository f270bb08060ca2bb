"""Names that engines refuse or read differently: repeated ones, ones that leave the root, the root itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.entry import Entry
from tarlayers.merging.engine import Stratum


def find_name_faults(stratum: Stratum) -> Iterator[LintFinding]:
    """Look at the names of a layer's entries as the tar has them."""
    layer, entries = stratum.layer, stratum.entries
    yield from _find_duplicates(layer, entries)
    for entry in entries:
        if entry.name is not None and ".." in entry.name and climbs(entry.name):
            message = f"named {entry.name}, which climbs above the root: Docker 29's graph drivers refuse it"
            yield found("L022", layer, entry.path, message)
        if not entry.path and entry.type != "global":
            yield from _find_root_faults(layer, entry)


def _find_duplicates(layer: int, entries: Sequence[Entry]) -> Iterator[LintFinding]:
    """Find names that are equal once cleaned (tar-split keeps a leading slash apart when it compares)."""
    paths = [entry.path for entry in entries if entry.type != "global"]
    if len(set(paths)) == len(paths):
        return
    times = Counter((e.path, e.name is not None and e.name[:1] == "/") for e in entries if e.type != "global")
    for (path, _), count in times.items():
        if count > 1:
            yield found("L021", layer, path, f"listed {count} times: overlay2, vfs and podman refuse the layer")


def _find_root_faults(layer: int, entry: Entry) -> Iterator[LintFinding]:
    if entry.type != "dir":
        yield found("L023", layer, "", f"an entry of type {entry.type} for the root, which umoci and podman vfs refuse")
    elif (entry.mode, entry.uid, entry.gid, entry.xattrs) != (0o755, 0, 0, None):
        what = f"{entry.mode:04o} {entry.uid}:{entry.gid}" + (f" and {', '.join(entry.xattrs)}" if entry.xattrs else "")
        yield found("L024", layer, "", f"the root's attributes ({what}) are applied by umoci and podman vfs alone")


def climbs(name: str) -> bool:
    """Say whether a name leaves the root on its way, a leading slash aside."""
    depth = 0
    for part in name.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part and part != ".":
            depth += 1
    return False
