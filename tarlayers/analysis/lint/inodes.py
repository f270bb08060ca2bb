"""Entries whose type, attributes or times engines treat differently."""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.entry import Entry
from tarlayers.linux import MAX_TIME
from tarlayers.merging.engine import Stratum
from tarlayers.merging.inode import is_whiteout_device

_OPAQUE = "trusted.overlay.opaque"
_KNOWN = ("user.", "security.", "trusted.", "system.posix_acl_")


def find_inode_faults(stratum: Stratum) -> Iterator[LintFinding]:
    """Look at devices, attributes, times and global headers of a layer."""
    layer = stratum.layer
    for entry in stratum.entries:
        if entry.xattrs and entry.role == "entry":
            yield from _find_xattr_faults(layer, entry)
        if entry.mtime is None or not 0 <= entry.mtime < MAX_TIME:
            message = "a time before 1970 or after 2262: containerd sets 1970, umoci does not"
            yield found("L060", layer, entry.path, message)
        if entry.role == "entry" and is_whiteout_device(entry):
            message = "a character device 0:0 is a whiteout to containerd, Docker and podman, a device to umoci and vfs"
            yield found("L052", layer, entry.path, message)
        elif entry.type == "global":
            yield found("L059", layer, entry.path, "a PAX global header, which umoci refuses")


def _find_xattr_faults(layer: int, entry: Entry) -> Iterator[LintFinding]:
    for name, value in (entry.xattrs or {}).items():
        if name.startswith("trusted."):
            does = "an opaque marker to overlay2 and podman" if name == _OPAQUE else "applied by overlay2 and podman"
            message = f"{name} is {does}, but nothing to containerd"
            yield found("L053", layer, entry.path, message)
        elif not name.startswith(_KNOWN):
            yield found(
                "L055", layer, entry.path, f"{name} is of no known namespace, which Docker 29's overlay2 refuses"
            )
        elif name.startswith("user.") and entry.type == "symlink":
            message = f"{name} on a symlink: containerd ignores it, podman and umoci refuse the layer"
            yield found("L054", layer, entry.path, message)
        elif not value:
            yield found("L056", layer, entry.path, f"{name} is empty: podman 4.3, umoci and Docker 20.10 drop it")
        elif name == "security.selinux":
            yield found("L057", layer, entry.path, "an SELinux label, which podman and umoci drop")
