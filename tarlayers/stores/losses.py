"""What a copy of a data root has lost: devices, attributes and owners, which nobody but root can copy.

An overlay keeps what it hides in devices and attributes, so a copy without them does not tell what was deleted.
The headers of the layers say what should lie on disk, and what of it does is the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.errors import ContentAbsent
from tarlayers.formats.whiteout import OPAQUE, PREFIX
from tarlayers.linux import OVERLAY_NAMESPACES
from tarlayers.sources.filetree import FileStatus, FileTree, resolve_path
from tarlayers.stores.rootstore import RootStore


class Losses(NamedTuple):
    """Which kinds of things are gone from all layers that should have some."""

    whiteouts: bool
    """The devices 0:0 that hide a lower file. Unlike others, Linux lets any user make them since 4.18."""
    devices: bool
    """All other device files."""
    opaque: bool
    """The attributes that make a directory opaque: not copied, or not shown to this user."""
    owners: bool
    """Everything belongs to whoever made the copy."""

    def describe(self) -> Iterator[str]:
        """Say what cannot be known for it."""
        if self.whiteouts:
            yield "the copy has lost its whiteouts (device files): what was deleted cannot be known"
        if self.devices:
            yield "the copy has lost its device files"
        if self.opaque:
            yield "opaque flags (overlay attributes) cannot be seen: what replaced directories hide cannot be known"
        if self.owners:
            yield "all files belong to whoever made the copy: owners cannot be known"


class _Tally:
    """What was looked for, and what of it was there."""

    def __init__(self) -> None:
        self.whiteouts = [0, 0]
        self.devices = [0, 0]
        self.opaque = [0, 0]
        self.files = 0
        self.claimed_owners: set[int] = set()
        self.owners: set[int] = set()

    def conclude(self) -> Losses:
        owners = len(self.owners) == 1 and bool(self.claimed_owners - self.owners)
        return Losses(
            whiteouts=_is_lost(self.whiteouts, owners=owners),
            devices=_is_lost(self.devices, owners=owners),
            opaque=_is_lost(self.opaque, owners=owners),
            owners=owners,
        )


def _is_lost(tally: list[int], *, owners: bool) -> bool:
    """One that is gone may have been removed, several are lost; owners that are lost tell that root made no copy."""
    expected, found = tally
    return not found and (expected > 1 or owners)


def find_losses(store: RootStore, names: Iterable[str]) -> Losses:
    """Look for what the given layers should have on disk; layers whose files are absent, or lie merged (vfs), say
    nothing.
    """
    tally = _Tally()
    for name in names:
        layer = store.root.layers.get(name)
        if layer is None or layer.diff is None or layer.tar_split is None or not layer.only_own:
            continue
        for entry in store.index(name).entries:
            _look(store.root.tree, layer.diff, entry, tally)
    return tally.conclude()


_OWNERS = 1000  # files whose owners are looked at: who copied one copied all


def _look(tree: FileTree, diff: str, entry: Entry, tally: _Tally) -> None:
    parent, _, base = entry.path.rpartition("/")
    if entry.role == "opaque" or base == OPAQUE:
        found = resolve_path(tree, diff, parent)
        tally.opaque[0] += 1
        tally.opaque[1] += found is not None and is_opaque(tree, found)
    elif entry.role == "whiteout":
        status = _status(tree, diff, f"{parent}/{base[len(PREFIX) :]}")
        tally.whiteouts[0] += 1
        tally.whiteouts[1] += status is not None and status.kind == "char"
    elif entry.type in ("char", "block"):
        status = _status(tree, diff, entry.path)
        tally.devices[0] += 1
        tally.devices[1] += status is not None and status.kind == entry.type
    elif entry.type == "file" and tally.files < _OWNERS:
        tally.files += 1
        status = _status(tree, diff, entry.path)
        if status is not None:
            tally.claimed_owners.add(entry.uid)
            tally.owners.add(status.uid)


def _status(tree: FileTree, diff: str, path: str) -> FileStatus | None:
    found = resolve_path(tree, diff, path)
    return tree.status(found) if found is not None else None


def is_opaque(tree: FileTree, path: str) -> bool:
    """Say whether a directory carries an overlay's opaque flag, or holds fuse-overlayfs' marker."""
    try:
        xattrs = tree.xattrs(path)
    except ContentAbsent:
        return False
    return any(xattrs.get(f"{prefix}opaque") == b"y" for prefix in OVERLAY_NAMESPACES) or OPAQUE in tree.names(path)
