"""Which aspects of a path differ: the words that every comparison uses."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from tarlayers.entry import Entry

ASPECTS = ("content", "mode", "owner", "mtime", "type", "link", "xattrs", "rdev")
_BESIDE = attrgetter("mode", "uid", "gid", "link", "xattrs", "rdev")


def name_differences(before: Entry, after: Entry, *, same_content: Callable[[], bool] | None = None) -> tuple[str, ...]:
    """Name what differs, in the order of ASPECTS; of what is of another type nothing else is said.

    Files of one size are held against each other by the digests that their entries carry, or by `same_content`,
    which is called for nothing else. A time that no entry says (of an implied directory) differs from one that
    some entry does.
    """
    if before.type != after.type:
        return ("type",)
    content = before.type == "file" and not (
        before.size == after.size and (same_content() if same_content else _same_digest(before, after))
    )
    if _BESIDE(before) == _BESIDE(after):  # as it is of most files that were written again
        return ("content",) * content + ("mtime",) * (before.mtime != after.mtime)
    differs = (
        content,
        before.mode != after.mode,
        (before.uid, before.gid) != (after.uid, after.gid),
        before.mtime != after.mtime,
        False,
        before.link != after.link,
        (before.xattrs or {}) != (after.xattrs or {}),
        before.rdev != after.rdev,
    )
    return tuple(aspect for aspect, true in zip(ASPECTS, differs, strict=True) if true)


def _same_digest(before: Entry, after: Entry) -> bool:
    """Say whether contents of one size are equal, as far as it is known: a copy of a data root may lack them."""
    return before.sha256 is None or after.sha256 is None or before.sha256 == after.sha256
