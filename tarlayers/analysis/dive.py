"""dive's three numbers, exactly as dive 0.13.1 computes them, its oddities included.

Source: dive/filetree/efficiency.go, file_tree.go, file_node.go; dive/image/analysis.go. docs/waste.md says how
they differ from ours. Two things dive sees are not in an Entry: a size in the header of a hard link or
directory (taken as 0), and a global header, at which dive gives up the whole layer (skipped here).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath

from tarlayers.entry import Entry
from tarlayers.errors import naming
from tarlayers.image import Image, load_layers
from tarlayers.merging.tree import PAGE, Effort
from tarlayers.rootfs import sort_paths

_PREFIX = ".wh."
_DROPPED = ".wh..wh.."  # so opaque markers are never seen


@dataclass(frozen=True, slots=True)
class DiveScore:
    """What dive says of an image."""

    efficiency_score: float
    """The least size of each path over the sum of its sizes, summed over paths."""
    wasted_bytes: int
    """All sizes of every path that more than one layer has: the visible copy counts too."""
    wasted_user_percent: float | None
    """Wasted bytes over the bytes of all layers but the first; None where those are none (dive prints NaN or
    infinity). A ratio, in spite of its name."""


class _FileTree:
    """Names in a tree: the size last added under each, and -1 of what was added as a directory (its size is 0).

    Kept as the paths below each path, which are the entries' own: nodes with names would be as large as all entries.
    """

    def __init__(self, dirs: dict[str, dict[str, int]] | None = None) -> None:
        self.dirs = dirs or {"": {}}
        self.is_plain = True
        """No name is a whiteout or climbs: in which order the names are taken makes no difference."""

    def copy(self) -> _FileTree:
        return _FileTree({path: below.copy() for path, below in self.dirs.items()})

    def has(self, path: str) -> bool:
        return not path or path in self.dirs.get(path.rpartition("/")[0], ())

    def make(self, path: str, effort: Effort | None = None) -> dict[str, int] | None:
        """Give what is below a path, which is made if need be; None where a name of it is one that dive drops.
        `effort` takes note of directories that no entry told of.
        """
        below = self.dirs.get(path)
        if below is not None:
            return below
        missing = []
        while path not in self.dirs:
            missing.append(path)
            path = path.rpartition("/")[0]
        if effort is not None:
            effort.spend(len(missing) * len(missing[0]) // PAGE)
        for made in reversed(missing):
            above, _, name = made.rpartition("/")
            if made not in self.dirs[above]:
                if name.startswith(_DROPPED):
                    return None
                if effort is not None:
                    effort.imply(made)
                self.dirs[above][made] = 0
            below = self.dirs[made] = {}
        return below

    def remove(self, path: str) -> None:
        """Remove a name, and all that is below it."""
        self.dirs.get(path.rpartition("/")[0], {}).pop(path, None)
        todo = [path] if path and path in self.dirs else []
        while todo:
            todo += (inner for inner in self.dirs.pop(todo.pop()) if inner in self.dirs)

    def total(self, path: str, effort: Effort) -> int:
        """Add up a directory's sizes; 0 for all else."""
        if not path or self.dirs[path.rpartition("/")[0]][path] >= 0:
            return 0
        size, todo = 0, [path]
        while todo:
            below = self.dirs.get(todo.pop(), {})
            effort.spend(1 + len(below))
            size += sum(size for size in below.values() if size > 0)
            todo += (inner for inner in below if inner in self.dirs)
        return size

    def walk(self) -> Iterator[tuple[str, str]]:
        """Yield (parent's path, path) of everything, children first, names in byte order."""
        stack = [("", iter(sort_paths(self.dirs[""])))]
        while stack:
            at, rest = stack[-1]
            for path in rest:
                below = self.dirs.get(path)
                if below:
                    stack.append((path, iter(sort_paths(below))))
                    break
                yield at, path
            else:
                stack.pop()
                if stack:
                    yield stack[-1][0], at


def score_image(image: Image) -> DiveScore:
    """Compute dive's numbers of an image, its layers in their order."""
    for layer in image.layers:
        layer.require_readable()
    load_layers(image.layers)
    effort = Effort()
    scoring = _Scoring(effort)
    # A whiteout is held against the stack of all layers below; dive builds it anew for each, from a copy of the
    # first layer's tree, whiteouts and all, onto which that layer is then laid once more.
    stack: _FileTree | None = None
    for layer in image.layers:
        effort.limits = layer.limits
        with naming(layer.place):
            tree = _plant_tree(layer.entries, effort)
            stack = stack or tree.copy()
            scoring.take(tree, stack)
        _lay(stack, tree)
    user_bytes = sum(_file_bytes(layer.entries) for layer in image.layers[1:])
    wasted = scoring.wasted_bytes
    return DiveScore(scoring.score, wasted, wasted / user_bytes if user_bytes else None)


def _file_bytes(entries: Sequence[Entry]) -> int:
    files = (entry for entry in entries if entry.size)
    return sum(entry.size for entry in files if entry.name is None or _place(entry) is not None)


def _place(entry: Entry) -> str | None:
    """Give the path that Go's path.Clean makes of a name: unlike an entry's it may climb. None for `.`, not for `/`."""
    if entry.name is None or ".." not in entry.name:
        return entry.path if entry.path or (entry.name or "").startswith("/") else None
    cleaned = normpath(entry.name)
    return None if cleaned == "." else f"/{cleaned.lstrip('/')}".rstrip("/")


def _plant_tree(entries: Sequence[Entry], effort: Effort) -> _FileTree:
    """Set what each path is, whatever it was, and keep what is below it."""
    tree = _FileTree()
    last, below = "", tree.make("")
    for entry in entries:
        path = entry.path if entry.name is None else _place(entry)
        if path and entry.type != "global":
            slash = path.rfind("/")
            parent = path[:slash]
            if parent != last:  # most have the parent of the one before
                last, below = parent, tree.make(parent, effort)
            if "/.wh." in path or (path is not entry.path and ".." in path):
                tree.is_plain = False
                if path.startswith(_DROPPED, slash + 1):
                    continue
            if below is not None:
                below[path] = -1 if entry.type == "dir" else entry.size
    return tree


def _lay(stack: _FileTree, tree: _FileTree) -> None:
    """Lay a layer over a stack: names are removed or added, in the order of the walk."""
    if tree.is_plain:
        for directory, below in tree.dirs.items():
            held_below = stack.make(directory) if below else None
            if held_below is not None:
                held_below.update(below)
        return
    at: str | None = None
    holder: dict[str, int] | None = None
    held = ""
    for parent, path in tree.walk():
        name = path[len(parent) + 1 :]
        if name.startswith(_PREFIX):
            stack.remove(f"{parent}/{name.removeprefix(_PREFIX)}".rstrip("/"))
            at = None  # what was removed may be the holder
        elif name == "..":
            continue  # climbing above the root is the root
        else:
            if parent != at:
                at, held = parent, normpath(f"{parent}/").rstrip("/") if ".." in parent else parent
                holder = stack.make(held)
            if holder is not None:
                holder[path if held == parent else f"{held}/{name}"] = tree.dirs[parent][path]


class _Scoring:
    """Sizes of every path so far."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._once: dict[str, int] = {}
        self._several: dict[str, tuple[int, int]] = {}
        """Of paths that more than one layer has: the sum, and the least."""
        self._failed: set[str] = set()
        """Paths that have no size but the -1 that dive starts with."""

    def take(self, tree: _FileTree, stack: _FileTree) -> None:
        if tree.is_plain:
            self._take_plain(tree.dirs)
            return
        for parent, path in tree.walk():
            if tree.dirs.get(path):
                continue
            if path.startswith(_PREFIX, len(parent) + 1):
                path = f"{parent}/{path[len(parent) + 1 :].removeprefix(_PREFIX)}"  # noqa: PLW2901 # what it hides
                target = path.rstrip("/")
                if not stack.has(target):
                    if path not in self._once and path not in self._several:
                        self._failed.add(path)
                    return  # dive's visitor fails here, and what is left of the layer is not counted
                self._add(path, stack.total(target, self._effort))
            else:
                self._add(path, max(tree.dirs[parent][path], 0))

    def _take_plain(self, dirs: Mapping[str, Mapping[str, int]]) -> None:
        once, several, failed = self._once, self._several, self._failed
        for below in dirs.values():
            for path, size in below.items():
                if dirs.get(path):
                    continue
                if path in once or path in several or path in failed:
                    self._add(path, max(size, 0))
                else:
                    once[path] = max(size, 0)

    def _add(self, path: str, size: int) -> None:
        if path in self._several:
            total, least = self._several[path]
            self._several[path] = total + size, min(least, size)
        elif path in self._once:
            other = self._once.pop(path)
            self._several[path] = other + size, min(other, size)
        else:
            self._once[path] = size
            self._failed.discard(path)

    @property
    def score(self) -> float:
        once = sum(self._once.values())
        total = once + self.wasted_bytes
        least = once + sum(least for _, least in self._several.values()) - len(self._failed)
        return least / total if total else 1.0

    @property
    def wasted_bytes(self) -> int:
        return sum(total for total, _ in self._several.values())
