"""Which files of two merged images differ, and how each image shows them.

Only files that could be equal are hashed: those of one size at one path, and those that could have moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import eq
from typing import NamedTuple, overload

from tarlayers.analysis.moves import LoneFiles, Move, choose_hashed, find_moves
from tarlayers.comparison import Contents
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath
from tarlayers.formats.glob import match_glob
from tarlayers.image import Image
from tarlayers.imagepair import ImagePair
from tarlayers.merging.tree import Directory
from tarlayers.rootfs import Node, RootFS, differing_paths, leave_out, sort_paths

_FEW = 10_000  # changes, which take 5 MB
_NEW = tuple.__new__  # of a named tuple: a call of its class takes three times as long, and there are many
_NO_MOVE: tuple[None, tuple[()]] = (None, ())


Pair = tuple[str, Node | None, Node | None]
"""A path with what both images have there."""


class Side(NamedTuple):
    """A path as one image shows it."""

    entry: Entry
    layer: int
    created_by: str | None
    links: Sequence[str]
    """Other visible names of the same inode."""


class FileChange(NamedTuple):
    """One path that differs."""

    kind: str
    """A, C or D, as `docker diff` has it."""
    path: str
    what: tuple[str, ...]
    """Of a path that both have: which of content mode owner mtime type link xattrs rdev. Of a file that moved what
    differs besides its path."""
    old: Side | None
    new: Side | None
    moved_to: str | None = None
    moved_from: str | None = None


class Summary(NamedTuple):
    """Paths counted, and bytes of content that came and went, hard-linked names once. A name more or less of a file
    that keeps another as it was in both images is no content that came or went.
    """

    added: int
    changed: int
    deleted: int
    moved: int
    """Files that moved: each is among the added and among the deleted too."""
    bytes_added: int
    bytes_removed: int


class FileChanges(Sequence[FileChange]):
    """The paths that differ, in the order of their paths' bytes. Where there are many each is put together when it is
    asked for: those of two images that have little in common would take more memory than all entries.
    """

    def __init__(
        self,
        sides: tuple[_Viewer, _Viewer],
        paths: Sequence[str],
        aspects: Sequence[tuple[str, ...]],
        moves: Mapping[str, Move],
    ) -> None:
        """`aspects` has what differs of each path: nothing where one image alone has it."""
        self._old, self._new = sides
        self._paths = paths
        self._aspects = aspects
        self._moves = moves
        self._made: tuple[FileChange, ...] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment] # entries have extended attributes, which cannot be hashed

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[FileChange]:
        made = self._made if self._made is not None else map(self._change, self._paths, self._aspects)
        if len(self._paths) <= _FEW:  # they are gone through for the sums, the widths of columns, and the lines
            made = self._made = tuple(made)
        return iter(made)

    @overload
    def __getitem__(self, index: int) -> FileChange: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FileChange, ...]: ...

    def __getitem__(self, index: int | slice) -> FileChange | tuple[FileChange, ...]:
        if isinstance(index, slice):
            return tuple(map(self._change, self._paths[index], self._aspects[index]))
        return self._change(self._paths[index], self._aspects[index])

    def _change(self, path: str, what: tuple[str, ...]) -> FileChange:
        old = self._old.side(path)
        if what:
            return _NEW(FileChange, ("C", path, what, old, self._new.side(path), None, None))
        other, what = self._moves.get(path, _NO_MOVE)
        if old is not None:
            return _NEW(FileChange, ("D", path, what, old, None, other, None))
        return _NEW(FileChange, ("A", path, what, None, self._new.side(path), None, other))


class _Viewer:
    """Says how one image shows its paths."""

    def __init__(self, root: RootFS, image: Image) -> None:
        self._directories = root.directories
        self._names = root.linked_names
        self._created_by = [layer.created_by for layer in image.layers]

    def side(self, path: str) -> Side | None:
        siblings = self._directories.get(path[: path.rfind("/")])
        node = siblings.node(path) if siblings is not None else None
        if node is None:
            return None
        entry, layer = node
        names = self._names.get((id(entry), layer)) if self._names else None
        return _NEW(Side, (entry, layer, self._created_by[layer], leave_out(names, path) if names else ()))


class PathFilter:
    """Which paths count."""

    def __init__(self, roots: tuple[RootFS, RootFS], path: str, ignore: Sequence[str]) -> None:
        """NoSuchPath when neither image has `path`."""
        self._ignore = [pattern.rstrip("/") or "/" for pattern in ignore]
        self._ignored: dict[str, bool] = {"": False}
        self._tops = _find_tops(roots, path) if path else ()

    def choose(self, paths: Iterable[str]) -> Iterable[str]:
        """Give those paths that count."""
        return filter(self.wants, paths) if self._tops or self._ignore else paths

    def wants(self, path: str) -> bool:
        """Say whether a path counts."""
        if self._tops and not any(path == top or path.startswith(f"{top}/") for top in self._tops):
            return False
        return not (self._ignore and self._is_ignored(path))

    def _is_ignored(self, path: str) -> bool:
        """A directory that is left out takes all below it with it."""
        chain = []
        at = path
        while at not in self._ignored:
            chain.append(at)
            at = at.rpartition("/")[0]
        ignored = self._ignored[at]
        for at in reversed(chain):
            ignored = ignored or any(match_glob(pattern, at) for pattern in self._ignore)
            self._ignored[at] = ignored
        return ignored


def _find_tops(roots: tuple[RootFS, RootFS], path: str) -> tuple[str, ...]:
    """Follow symlinks above `path` in both images; NoSuchPath when neither has it."""
    tops: list[str] = []
    for root in roots:
        try:
            tops.append(root.resolve(path, follow=False))
        except NoSuchPath:
            continue
    if not tops:
        raise NoSuchPath("in neither image", place=path)
    return tuple(dict.fromkeys(tops))


def diff_files(
    pair: ImagePair, roots: tuple[RootFS, RootFS], wanted: PathFilter, *, mtime: bool = False
) -> FileChanges:
    """Give the paths that differ, moved files paired; a file whose time alone differs counts with `mtime`."""
    paths = sort_paths(wanted.choose(differing_paths(*roots)))
    contents = Contents(*pair.stacks)
    gone, come = (LoneFiles(side, root) for side, root in enumerate(roots))
    pairs = list(_find_pairs(paths, roots)) if len(paths) <= _FEW else None
    opened = _choose_open(pairs or _find_pairs(paths, roots), contents, (gone, come))
    contents.fetch(chain(opened, choose_hashed(gone, come)))
    differing: list[str] = []
    aspects: list[tuple[str, ...]] = []
    for path, a, b in pairs or _find_pairs(paths, roots):
        what: tuple[str, ...] = ()
        if a is not None and b is not None:
            what = tuple(aspect for aspect in contents.differences(a, b) if mtime or aspect != "mtime")
            if not what:
                continue
        differing.append(path)
        aspects.append(what)
    viewers = _Viewer(roots[0], pair.old), _Viewer(roots[1], pair.new)
    return FileChanges(viewers, differing, aspects, find_moves(gone, come, contents))


def _find_pairs(paths: Iterable[str], roots: tuple[RootFS, RootFS]) -> Iterator[Pair]:
    """Yield each path with what both images have there."""
    old, new = (root.directories for root in roots)
    nothing = Directory(0)
    last = ""
    left, right = old[""], new[""]
    for path in paths:
        parent = path[: path.rfind("/")]
        if parent != last:  # that of most is that of the one before
            last, left, right = parent, old.get(parent, nothing), new.get(parent, nothing)
        yield path, left.node(path), right.node(path)


def _choose_open(
    pairs: Iterable[Pair], contents: Contents, lone: tuple[LoneFiles, LoneFiles]
) -> Iterator[tuple[int, Node]]:
    """Yield the files at paths of both images whose contents have to be known, each with its side; those at paths of
    one of them are added to `lone`.
    """
    for path, a, b in pairs:
        if a is None or b is None:
            for node, files in zip((a, b), lone, strict=True):
                if node is not None:
                    files.add(path, node.entry)
        elif contents.are_open(a, b):
            yield 0, a
            yield 1, b


def summarize(files: Iterable[FileChange], wanted: PathFilter) -> Summary:
    """Count what came, changed, went and moved, and the bytes of content of files that did."""
    count = {"A": 0, "C": 0, "D": 0}
    moved = 0
    came, went = _Content(wanted), _Content(wanted)
    for change in files:
        count[change.kind] += 1
        moved += change.moved_to is not None
        if change.kind != "C" or "content" in change.what or "type" in change.what:
            for side, total in ((change.new, came), (change.old, went)):
                if side is not None and side.entry.type == "file":
                    total.add(side)
    return Summary(count["A"], count["C"], count["D"], moved, came.size, went.size)


class _Content:
    """Bytes of content, of a file with several names once all of them that count were added."""

    def __init__(self, wanted: PathFilter) -> None:
        self.size = 0
        self._wanted = wanted
        self._others: dict[tuple[int, int], int] = {}
        """How many names of an inode are still to come."""

    def add(self, side: Side) -> None:
        """Take in one name of a file."""
        if side.links:
            inode = side.layer, side.entry.offset
            others = self._others.get(inode)
            if others is None:
                others = sum(map(self._wanted.wants, side.links))
            else:
                others -= 1
            self._others[inode] = others
            if others:
                return
        self.size += side.entry.size
