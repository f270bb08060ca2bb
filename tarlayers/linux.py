"""What Linux bounds, and what names and bits mean to it."""

from __future__ import annotations

NAME_MAX = 255
"""Bytes of one component, on every file system."""

PATH_MAX = 4096
"""Bytes of a path or of a link's target, with the NUL at its end."""

SHORT_NAME = NAME_MAX // 4
"""Letters of a component that need no look at how many bytes they are."""

SHORT_PATH = PATH_MAX // 4
"""Letters below which a path is not too long, however many bytes they are."""

XATTR_NAME_MAX, XATTR_SIZE_MAX = 255, 1 << 16
"""Bytes of an extended attribute's name and value, on every file system."""

MAX_SYMLINKS = 40
"""How many are followed; open(2) says ELOOP beyond them."""

SET_UID, SET_GID, STICKY = 0o4000, 0o2000, 0o1000
SET_ID = SET_UID | SET_GID

MAX_TIME = 1 << 63
"""Nanoseconds since the epoch that do not fit 64 bits: April 2262."""

CAPABILITY = "security.capability"
"""The attribute with a file's capabilities."""

OVERLAY_NAMESPACES = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")
"""In whose attributes overlayfs keeps its state: as root, in a user namespace, and fuse-overlayfs."""
