"""Which aspects of a path differ: the words that every comparison uses."""

from __future__ import annotations

from tarlayers.layer import Entry

ASPECTS = ("content", "mode", "owner", "mtime", "type", "link", "xattrs", "rdev")


def name_differences(before: Entry, after: Entry) -> tuple[str, ...]:
    """Name what differs, in the order of ASPECTS; nothing else is told of what is of another type.

    Contents are held against each other by digest, where both entries have theirs; else by size alone.
    A time that no entry says (of an implied directory) differs from one that some entry does.
    """
    if before.type != after.type:
        return ("type",)
    known = before.sha256 is not None and after.sha256 is not None
    differs = {
        "content": before.size != after.size or (known and before.sha256 != after.sha256),
        "mode": before.mode != after.mode,
        "owner": (before.uid, before.gid) != (after.uid, after.gid),
        "mtime": before.mtime != after.mtime,
        "link": before.link != after.link,
        "xattrs": (before.xattrs or {}) != (after.xattrs or {}),
        "rdev": before.rdev != after.rdev,
    }
    return tuple(name for name, true in differs.items() if true)
