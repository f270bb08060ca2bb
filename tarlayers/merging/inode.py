"""What the kernel makes of an entry's metadata, as containerd hands it over: numbers that are cut, attributes that are
left out or lost again, targets that no link may have.

Rule numbers (H7, X1, ...) are those of docs/semantics.md.
"""

from __future__ import annotations

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.xattrs import apply_xattrs
from tarlayers.linux import CAPABILITY, MAX_TIME, PATH_MAX, SHORT_PATH

_MAJOR, _MINOR = (1 << 12) - 1, (1 << 20) - 1
_MAX_ID = (1 << 32) - 1


def check_target(link: str) -> None:
    """Refused for what symlink(2) does not take as a target: nothing, and too much."""
    if not link:
        raise Refused("not-found", "a symlink to nothing", "X10")
    if len(link) >= SHORT_PATH and len(link.encode("utf-8", "surrogateescape")) >= PATH_MAX:
        raise Refused("name-too-long", f"a symlink's target of {PATH_MAX} bytes or more", "X10")


def cut_device(rdev: tuple[int, int] | None) -> tuple[int, int] | None:
    """Give device numbers as mknod(2) takes them: 12 bits of the major, 20 of the minor (X1)."""
    return rdev and (rdev[0] & _MAJOR, rdev[1] & _MINOR)


def is_whiteout_device(entry: Entry) -> bool:
    """Say whether overlayfs takes an entry for a whiteout; what unpacks in place makes a device of it (X4)."""
    return entry.type == "char" and cut_device(entry.rdev) == (0, 0)


def cut_owner(number: int) -> int:
    """Give a user or group as chown(2) takes it: 32 bits, all of them set for leaving the owner as it is (X9)."""
    cut = number & _MAX_ID
    return 0 if cut == _MAX_ID else cut


def normalize(entry: Entry) -> Entry:
    """Give an entry as the engine's inode has it (X2, X3, X7, X9); Refused for attributes that it cannot have (X12)."""
    mtime = entry.mtime
    if mtime is not None and not 0 <= mtime < MAX_TIME:
        mtime = 0
    return entry._replace(
        mode=0o777 if entry.type == "symlink" else entry.mode,
        uid=cut_owner(entry.uid),
        gid=cut_owner(entry.gid),
        mtime=mtime,
        rdev=cut_device(entry.rdev),
        xattrs=apply_xattrs(entry.xattrs, entry.type),
    )


def link_metadata(target: Entry, link: Entry) -> Entry:
    """Give the shared inode the metadata of a hard link's own header. Attributes add up, but each header's owner is set
    before its attributes are, and that takes a file's capabilities away (H7).
    """
    link = normalize(link._replace(type=target.type))
    symlink = target.type == "symlink"
    kept = {key: value for key, value in (target.xattrs or {}).items() if key != CAPABILITY}
    return target._replace(
        mode=target.mode if symlink else link.mode,
        uid=link.uid,
        gid=link.gid,
        mtime=link.mtime,
        xattrs={**kept, **(link.xattrs or {})} or None,
    )
