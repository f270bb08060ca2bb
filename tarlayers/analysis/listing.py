"""What is in the merged file system: the entries that `ls` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.errors import NoSuchPath
from tarlayers.formats.glob import compile_glob
from tarlayers.formats.whiteout import clean_path
from tarlayers.layer import Entry
from tarlayers.rootfs import RootFS


class Row(NamedTuple):
    """One visible path."""

    path: str
    entry: Entry
    layer: int
    links: tuple[str, ...]
    """Other visible names of the same inode."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are asked for."""

    path: str
    recursive: bool
    match: str | None
    types: frozenset[str]
    """Empty for all."""
    depth: int | None = None
    """How many levels below the path, for what is recursive; None for all."""

    def select(self, rootfs: RootFS) -> list[Row]:
        """Give the rows in the order of their paths' bytes; NoSuchPath when PATH is not there."""
        return [
            Row(path, rootfs[path], rootfs.layer_of(path), rootfs.links_of(path))
            for path in self._paths(rootfs)
            if self._fits(path, rootfs[path])
        ]

    def select_raw(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        """Yield the entries of one layer, in tar order; global headers are no entries."""
        below = self.path + "/"
        for entry in entries:
            inside = not self.path or entry.path == self.path or entry.path.startswith(below)
            if inside and entry.type != "global" and self._fits(entry.path, entry):
                yield entry

    def _paths(self, rootfs: RootFS) -> Sequence[str]:
        top = rootfs.resolve(self.path) if self.path else ""
        if top and rootfs[top].type != "dir":
            return [top]
        if not self.recursive and self.match is None:
            return rootfs.children(top)
        below = top + "/"
        paths = (path for path in rootfs.sorted_paths() if path.startswith(below))
        if self.depth is None:
            return list(paths)
        deepest = top.count("/") + self.depth
        return [path for path in paths if path.count("/") <= deepest]

    def _fits(self, path: str, entry: Entry) -> bool:
        if self.types and entry.type not in self.types:
            return False
        return self.match is None or compile_glob(self.match).fullmatch(path) is not None


def parse_selection(
    path: str, *, recursive: bool, match: str | None, types: str | None, depth: int | None = None
) -> Selection:
    """Take a selection as the command line has it; a type that does not exist is ValueError."""
    known = {"file", "dir", "symlink", "hardlink", "char", "block", "fifo", "unknown"}
    wanted = frozenset(word.strip() for word in types.split(",")) if types else frozenset()
    if wanted - known:
        raise ValueError(f"no such type: {', '.join(sorted(wanted - known))} (there are {', '.join(sorted(known))})")
    return Selection(clean_path(path), recursive or depth is not None, match, wanted, depth)


def find_file(rootfs: RootFS, path: str) -> str:
    """Follow symlinks to a regular file and give its path; NoSuchPath when it is none."""
    found = rootfs.resolve(clean_path(path))
    kind = rootfs[found].type if found else "dir"
    if kind != "file":
        raise NoSuchPath(f"is a {kind}, not a file", place=path)
    return found


def find_in_layer(entries: Sequence[Entry], path: str, offset: int | None = None) -> Entry:
    """Find the file that a layer holds at `path`, the last of several or the one whose header is at `offset`,
    hard links followed; NoSuchPath if none.
    """
    wanted = clean_path(path)
    found: Entry | None = None
    for entry in entries:
        if entry.path != wanted or entry.role != "entry" or offset not in (None, entry.offset):
            continue
        if entry.type == "hardlink" and entry.link is not None:
            found = find_in_layer([e for e in entries if e.offset < entry.offset], entry.link)
        else:
            found = entry
    if found is None:
        raise NoSuchPath("not in this layer", place=path)
    if found.type != "file":
        raise NoSuchPath(f"is a {found.type}, not a file", place=path)
    return found
