"""What can be told of a layer without its entries: which paths it speaks of, and how these hang together.

An orderly layer is one whose entries each do what they say and nothing else: every parent is listed before its
children, no path comes twice, hard links lead to what the same layer has listed before them, and markers hide nothing
of the layer itself. What containerd makes of some of its entries, closed under parents and hard links, is then the same
part of what it makes of all. Nearly every layer that docker, buildkit, podman and buildah write is orderly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import INVALID, clean_path, is_too_long, whiteout_target
from tarlayers.formats.xattrs import apply_xattrs
from tarlayers.linux import SHORT_NAME, SHORT_PATH

# What a device has to have for mknod(2) not to make a whiteout of it, which 0:0 is.
_MAJORS = range(1, 1 << 12)
_XATTRS = attrgetter("xattrs")
_ORDINARY = frozenset(("file", "dir", "symlink", "hardlink", "char", "block", "fifo"))


class Ties(NamedTuple):
    """What the paths of an orderly layer's entries do not tell, by their places in the layer."""

    markers: list[int]
    """Whiteouts and opaque markers."""
    links: list[int]
    """Hard links."""
    targets: list[int]
    """What each of them leads to: an earlier entry, itself a hard link or not."""


class Outline(NamedTuple):
    """An orderly layer, in tar order."""

    paths: Sequence[str]
    """What each entry is about: a whiteout the path that it hides, an opaque marker its directory."""
    directories: Sequence[str]
    """Those of them that are directories."""
    ties: Ties
    select: Callable[[Sequence[int]], Sequence[Entry]]
    """Gives the entries at some places."""


def outline_entries(entries: Sequence[Entry]) -> Outline | None:
    """Give the outline of a layer of these entries; None for one that is not orderly."""
    ties = tie_entries(entries)
    if ties is None:
        return None

    def select(places: Sequence[int]) -> Sequence[Entry]:
        return tuple(map(entries.__getitem__, places))

    return make_outline([entry.path for entry in entries], [entry.type for entry in entries], ties, select)


def make_outline(
    paths: Sequence[str], types: Sequence[str], ties: Ties, select: Callable[[Sequence[int]], Sequence[Entry]]
) -> Outline:
    """Put an outline together from the entries' own paths and types."""
    directories = [path for path, kind in zip(paths, types, strict=True) if kind == "dir"]
    about = list(paths)
    for place in ties.markers:
        about[place] = find_marked(about[place])
    return Outline(about, directories, ties, select)


def find_marked(path: str) -> str:
    """Give what a marker is about: what a whiteout hides, the directory of an opaque marker."""
    hidden = whiteout_target(path)
    return path.rpartition("/")[0] if hidden.endswith("/.wh..opq") else hidden


def tie_entries(entries: Sequence[Entry]) -> Ties | None:
    """Say how the entries of a layer hang together; None where it is not orderly."""
    directories = {""}
    listed: dict[str, int] = {}
    hidden: set[str] = set()
    ties = Ties([], [], [])
    last = ""
    for place, entry in enumerate(entries):
        path, kind, flag = entry.path, entry.type, entry.typeflag
        if not path:  # the root: engines make it, and set nothing of it
            continue
        parent, _, base = path.rpartition("/")
        if (parent != last and parent not in directories) or (len(base) > SHORT_NAME and is_too_long(base)):
            return None
        last = parent
        if entry.role == "entry":
            # What nearly all are, and then all others.
            if path in listed or not (flag == "0" or flag == "5" or _is_ordinary(entry)):
                return None
            if kind == "dir":
                directories.add(path)
            elif kind == "hardlink" and not _tie_link(place, entry.link or "", entries, listed, ties):
                return None
            listed[path] = place
        elif base in INVALID or whiteout_target(path) in hidden:
            return None
        else:
            if entry.role == "whiteout":
                hidden.add(whiteout_target(path))
            ties.markers.append(place)
    settable = all(map(_is_settable, filter(_XATTRS, entries)))
    return ties if settable and hidden.isdisjoint(listed) else None


def _is_settable(entry: Entry) -> bool:
    """Say whether the kernel takes the attributes of an entry; those of a hard link as if its target were a file."""
    try:
        apply_xattrs(entry.xattrs, "file" if entry.type == "hardlink" else entry.type)
    except Refused:
        return False
    return True


def _tie_link(place: int, link: str, entries: Sequence[Entry], listed: Mapping[str, int], ties: Ties) -> bool:
    """Take note of a hard link; say whether what it leads to can be told from its text."""
    target = None if ".." in link or link.endswith(("/", "/.")) else listed.get(clean_path(link))
    if target is None or entries[target].type == "dir":
        return False
    ties.links.append(place)
    ties.targets.append(target)
    return True


def _is_ordinary(entry: Entry) -> bool:
    """Say whether engines make just what the entry says."""
    kind = entry.type
    if kind == "symlink":
        return 0 < len(entry.link or "") < SHORT_PATH
    if kind == "char":
        return entry.rdev is not None and entry.rdev[0] in _MAJORS
    return kind in _ORDINARY and entry.typeflag not in ("7", "S")
