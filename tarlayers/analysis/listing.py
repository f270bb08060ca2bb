"""What is in the merged file system: the entries that `ls` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath
from tarlayers.formats.glob import compile_glob
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Layer
from tarlayers.rootfs import RootFS, leave_out, sort_as_walk

_MERGED_TYPES = frozenset(("file", "dir", "symlink", "char", "block", "fifo"))
_RAW_TYPES = frozenset(("hardlink", "unknown"))  # in a merged view a hard link is what it leads to


class ListedPath(NamedTuple):
    """One visible path."""

    path: str
    entry: Entry
    layer: int
    links: Sequence[str]
    """Other visible names of the same inode."""


class ListedPaths(Sequence[ListedPath]):
    """Rows that are made when they are looked at: kept, they would be 90 bytes each."""

    def __init__(self, rootfs: RootFS, paths: Sequence[str]) -> None:
        self.paths = paths
        self._rootfs = rootfs
        self._links = rootfs.linked_names

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, at: int) -> ListedPath: ...
    @overload
    def __getitem__(self, at: slice) -> list[ListedPath]: ...
    def __getitem__(self, at: int | slice) -> ListedPath | list[ListedPath]:
        return list(self._make(self.paths[at])) if isinstance(at, slice) else next(self._make([self.paths[at]]))

    def __iter__(self) -> Iterator[ListedPath]:
        return self._make(self.paths)

    def _make(self, paths: Sequence[str]) -> Iterator[ListedPath]:
        links = self._links
        for path, (entry, layer) in zip(paths, self._rootfs.find_nodes(paths), strict=True):
            names = links.get((id(entry), layer)) if links else None
            others = leave_out(names, path) if names else ()
            yield tuple.__new__(ListedPath, (path, entry, layer, others))  # a call takes thrice as long


class Selection(NamedTuple):
    """Which entries are asked for."""

    path: str
    recursive: bool
    match: str | None
    types: frozenset[str]
    """Empty for all."""
    depth: int | None = None
    """How many levels below the path, for what is recursive and for one layer; None for all."""

    def select(self, rootfs: RootFS) -> ListedPaths:
        """Give the rows in the order of their paths' bytes; NoSuchPath when PATH is not there."""
        return ListedPaths(rootfs, self.select_paths(rootfs))

    def select_paths(self, rootfs: RootFS) -> list[str]:
        """Give the paths alone."""
        paths = self._reach(rootfs)
        if self.match is not None:
            paths = list(filter(compile_glob(self.match).fullmatch, paths))
        if self.types:
            paths = [path for path in paths if rootfs[path].type in self.types]
        return paths

    def select_tree(self, rootfs: RootFS) -> ListedPaths:
        """Give the rows as a tree is drawn of them: in the order of a walk, with the directories that lead from PATH to
        what is asked for.
        """
        paths = sort_as_walk(self.select_paths(rootfs))
        if self.match is not None or self.types:
            paths = list(_lead_to(paths, self.find_top(rootfs)))
        return ListedPaths(rootfs, paths)

    def find_top(self, rootfs: RootFS) -> str:
        """Give where PATH is, symlinks followed; one that leads nowhere is there itself. NoSuchPath when nothing is."""
        try:
            return rootfs.resolve(self.path)
        except NoSuchPath as error:
            try:
                return rootfs.resolve(self.path, follow=False)
            except NoSuchPath:
                raise error from None

    def select_raw(self, entries: Sequence[Entry]) -> list[Entry]:
        """Give the entries of one layer, in tar order; global headers are no entries. NoSuchPath when nothing is at
        PATH or below it.
        """
        below = self.path + "/"
        inside = [
            entry
            for entry in entries
            if (not self.path or entry.path == self.path or entry.path.startswith(below)) and entry.type != "global"
        ]
        if self.path and not inside:
            raise NoSuchPath("not in this layer", place=self.path)
        return [entry for entry in inside if self._fits(entry.path, entry)]

    def _reach(self, rootfs: RootFS) -> list[str]:
        """The paths that are looked at, whatever stands there."""
        top = self.find_top(rootfs)
        if top and rootfs[top].type != "dir":
            return [top]
        if not self.recursive and self.match is None:
            return rootfs.children(top)
        paths = rootfs.sorted_paths(top)
        if self.depth is None:
            return paths
        deepest = top.count("/") + self.depth
        return [path for path in paths if path.count("/") <= deepest]

    def _fits(self, path: str, entry: Entry) -> bool:
        if self.types and entry.type not in self.types:
            return False
        if self.depth is not None and path.count("/") > self.path.count("/") + self.depth:
            return False
        return self.match is None or compile_glob(self.match).fullmatch(path) is not None


def _lead_to(paths: Iterable[str], top: str) -> Iterator[str]:
    """Put in front of paths, which stand as a walk comes to them, those directories below `top` that are not there."""
    last = ""
    for path in paths:
        missing: list[str] = []
        parent = path.rpartition("/")[0]
        while len(parent) > len(top) and parent != last and not last.startswith(f"{parent}/"):
            missing.append(parent)
            parent = parent.rpartition("/")[0]
        yield from reversed(missing)
        yield path
        last = path


def parse_selection(
    path: str, *, recursive: bool, match: str | None, types: str | None, depth: int | None = None, raw: bool = False
) -> Selection:
    """Take a selection as the command line has it, of a merged view or of one layer `raw`; a type that does not exist
    there is ValueError.
    """
    known = _MERGED_TYPES | _RAW_TYPES if raw else _MERGED_TYPES
    wanted = frozenset(word.strip() for word in types.split(",")) if types else frozenset()
    if wanted - known:
        hint = "; layers have it: --only" if wanted - known <= _RAW_TYPES else ""
        raise ValueError(
            f"no such type: {', '.join(sorted(wanted - known))} (there are {', '.join(sorted(known))}{hint})"
        )
    return Selection(clean_path(path), recursive or depth is not None, match, wanted, depth)


def find_file(rootfs: RootFS, path: str) -> str:
    """Follow symlinks to a regular file and give its path; NoSuchPath when it is none."""
    found = rootfs.resolve(clean_path(path))
    kind = rootfs[found].type if found else "dir"
    if kind != "file":
        raise NoSuchPath(f"is a {kind}, not a file", place=path or "/")
    return found


def find_in_layer(entries: Sequence[Entry], path: str, offset: int | None = None) -> Entry:
    """Find the file that a layer holds at `path`, the last of several or the one whose header is at `offset`,
    hard links followed, symlinks not; NoSuchPath if none.
    """
    wanted = clean_path(path)
    # A link's target stands before it, so one look from the end follows a chain of them, however long.
    for entry in reversed(entries):
        if entry.path != wanted or entry.role != "entry" or offset not in (None, entry.offset):
            continue
        if entry.type == "hardlink" and entry.link is not None:
            wanted, offset = clean_path(entry.link), None
            continue
        if entry.type != "file":
            leads = f" to {entry.link}" if entry.type == "symlink" else ""
            raise NoSuchPath(f"is a {entry.type}{leads}, not a file", place=wanted)
        return entry
    way = "" if wanted == clean_path(path) else f"a hard link to {wanted}, which is "
    raise NoSuchPath(f"{way}{_why_none(entries, wanted, offset)}", place=path)


def _why_none(entries: Sequence[Entry], wanted: str, offset: int | None) -> str:
    """Say what a layer has at a path where it has no entry that was asked for."""
    there = [entry for entry in entries if entry.path == wanted]
    offsets = [str(entry.offset) for entry in there if entry.role == "entry"]
    if offsets:
        more = ", ..." if len(offsets) > 8 else ""
        return f"in this layer not at offset {offset}, but at {', '.join(offsets[:8])}{more}"
    if there:
        return "is a whiteout, not a file"
    return "not in this layer"


def find_holders(layers: Sequence[Layer], path: str) -> list[int]:
    """Say which layers have a file at `path`, base first, visible or not."""
    wanted = clean_path(path)
    return [layer.index for layer in layers if any(e.path == wanted and e.type == "file" for e in layer.entries)]


def select_below(rootfs: RootFS, patterns: Sequence[str]) -> frozenset[str]:
    """Give the visible paths that paths or globs name, with all that is below them; all paths for no pattern.

    Symlinks in the directory part of a path are followed. NoSuchPath for a pattern that names nothing.
    """
    if not patterns:
        return frozenset(rootfs)
    found: set[str] = set()
    for pattern in patterns:
        if set("*?[") & set(pattern):
            named = list(filter(compile_glob(pattern).fullmatch, rootfs))
        else:
            named = [rootfs.resolve(clean_path(pattern), follow=False)]
        if not named:
            raise NoSuchPath("nothing in the image fits", place=pattern)
        _take_below(rootfs, named, found)
    return frozenset(found - {""})


def _take_below(rootfs: RootFS, named: list[str], found: set[str]) -> None:
    """Add paths and all that is below them; what is below a path that was found is there as well."""
    while named:
        path = named.pop()
        if path not in found:
            found.add(path)
            named.extend(rootfs.directories.get(path, ()))
