"""Extended attributes as setxattr(2) takes them of an engine: which it keeps, which it drops, and which it refuses, so
that the image fails (X12 of docs/semantics.md).

Source: Linux fs/xattr.c, fs/posix_acl.c (posix_acl_from_xattr, posix_acl_valid), security/commoncap.c
(cap_convert_nscap); containerd pkg/archive/tar.go (createTarFile), which takes ENOTSUP for a reason to go on, and EPERM
for `user.*` on what is neither file nor directory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tarlayers.errors import Refused
from tarlayers.linux import CAPABILITY, XATTR_NAME_MAX, XATTR_SIZE_MAX

_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_CAPABILITY_SIZES = {2: 20, 3: 24}  # by version
_EFFECTIVE = 1
_ACL_HEADER, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_ACL_VERSION = 2
_NOBODY = (1 << 32) - 1

# Tags of a list's entries. Each may follow some others; a user or group that is named needs a mask before the last.
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_MAY_FOLLOW = {
    _OWNER: (None,),
    _USER: (_OWNER, _USER),
    _OWNING_GROUP: (_OWNER, _USER),
    _GROUP: (_OWNING_GROUP, _GROUP),
    _MASK: (_OWNING_GROUP, _GROUP),
    _OTHER: (_OWNING_GROUP, _GROUP, _MASK),
}


def apply_xattrs(xattrs: Mapping[str, bytes] | None, kind: str) -> Mapping[str, bytes] | None:
    """Keep what containerd applies to an inode of a kind (X2); Refused for what the kernel does not take."""
    if not xattrs:
        return None
    kept = {name: value for name, value in xattrs.items() if takes_xattr(name, value, kind)}
    return xattrs if len(kept) == len(xattrs) else kept or None


def takes_xattr(name: str, value: bytes, kind: str) -> bool:
    """Say whether an attribute is there after containerd has set it; Refused where that fails."""
    if name.startswith("trusted."):
        return False  # containerd does not even try
    _check_lengths(name, value)
    space, _, rest = name.partition(".")
    if space == "user" and kind not in ("file", "dir"):
        return False
    if space in ("user", "security") and name != space:
        if not rest:
            raise _refuse(f"{name} has no name behind its namespace")
        if name == CAPABILITY and value:
            _check_capability(value)
        return True
    return name in (_ACCESS, _DEFAULT) and _takes_acl(name, value, kind)


def _refuse(message: str) -> Refused:
    return Refused("bad-xattr", message, "X12")


def _check_lengths(name: str, value: bytes) -> None:
    if len(name) > XATTR_NAME_MAX // 4 and len(name.encode("utf-8", "surrogateescape")) > XATTR_NAME_MAX:
        raise _refuse(f"an attribute's name of more than {XATTR_NAME_MAX} bytes")
    if len(value) > XATTR_SIZE_MAX:
        raise _refuse(f"{name} has more than {XATTR_SIZE_MAX} bytes")


def _check_capability(value: bytes) -> None:
    """Version 2 and 3 alone can be set, each of its own size."""
    magic = int.from_bytes(value[:4], "little") & ~_EFFECTIVE
    if magic & 0xFFFFFF or _CAPABILITY_SIZES.get(magic >> 24) != len(value):
        raise _refuse(f"{CAPABILITY} is none of version 2 or 3: {value[:32].hex()}")


def _takes_acl(name: str, value: bytes, kind: str) -> bool:
    """An empty list takes one away that was there; links have none, and of another version the kernel knows nothing."""
    if not value:
        return False
    if len(value) < _ACL_HEADER.size:
        raise _refuse(f"{name} is no list")
    if _ACL_HEADER.unpack_from(value)[0] != _ACL_VERSION:
        return False
    if len(value) % _ACL_ENTRY.size != _ACL_HEADER.size:
        raise _refuse(f"{name} ends inside an entry")
    entries = list(_ACL_ENTRY.iter_unpack(value[_ACL_HEADER.size :]))
    if any(tag not in _MAY_FOLLOW or (tag in (_USER, _GROUP) and number == _NOBODY) for tag, _, number in entries):
        raise _refuse(f"{name} has an entry that is for nobody")
    if not entries or kind == "symlink":
        return False
    if name == _DEFAULT and kind != "dir":
        raise _refuse(f"{name} on what is no directory")
    if not _is_whole(entries):
        raise _refuse(f"{name} lacks an entry, or has them out of order")
    return True


def _is_whole(entries: list[tuple[int, int, int]]) -> bool:
    before = None
    for tag, permissions, _ in entries:
        if before not in _MAY_FOLLOW[tag] or permissions > 7:
            return False
        before = tag
    tags = {tag for tag, _, _ in entries}
    return before == _OTHER and (_MASK in tags or not tags & {_USER, _GROUP})
