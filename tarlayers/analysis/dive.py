"""dive's three numbers, exactly as dive 0.13.1 computes them, its oddities included.

Source: dive/filetree/efficiency.go, file_tree.go, file_node.go; dive/image/analysis.go. docs/waste.md says how
they differ from ours. Two things dive sees are not in an Entry: a size in the header of a hard link or
directory (taken as 0), and a global header, at which dive gives up the whole layer (skipped here).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import normpath

from tarlayers.entry import Entry
from tarlayers.image import Image, load_layers
from tarlayers.rootfs import path_key

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


class _FileNode:
    """A name in a tree: what was last added under it, and what is below it."""

    __slots__ = ("children", "is_dir", "size")

    def __init__(self) -> None:
        self.size = 0
        self.is_dir = False
        self.children: dict[str, _FileNode] = {}

    def copy(self) -> _FileNode:
        twin = _FileNode()
        todo = [(self, twin)]
        while todo:
            old, new = todo.pop()
            new.size, new.is_dir = old.size, old.is_dir
            for name, child in old.children.items():
                new.children[name] = _FileNode()
                todo.append((child, new.children[name]))
        return twin

    def total(self) -> int:
        size, todo = 0, [self]
        while todo:
            node = todo.pop()
            size += node.size
            todo += node.children.values()
        return size

    def walk(self) -> Iterator[tuple[str, str, _FileNode]]:
        """Yield (parent's path, name, node) of everything below, children first, names in byte order."""
        stack = [("", "", "", self, _sorted_names(self))]
        while stack:
            parent, name, at, node, rest = stack[-1]
            for child in rest:
                below = node.children[child]
                if below.children:
                    stack.append((at, child, f"{at}/{child}", below, _sorted_names(below)))
                    break
                yield at, child, below
            else:
                stack.pop()
                if stack:
                    yield parent, name, node


def _sorted_names(node: _FileNode) -> Iterator[str]:
    return iter(sorted(node.children, key=path_key))


def score_image(image: Image) -> DiveScore:
    """Compute dive's numbers of an image, its layers in their order."""
    for layer in image.layers:
        layer.require_readable()
    load_layers(image.layers)
    return score_layers([layer.entries for layer in image.layers])


def score_layers(layers: Sequence[Sequence[Entry]]) -> DiveScore:
    """Compute dive's numbers of layers, base first."""
    trees = [_plant_tree(entries) for entries in layers]
    scoring = _Scoring()
    # A whiteout is held against the stack of all layers below; dive builds it anew for each, from a copy of the
    # first layer's tree, whiteouts and all, onto which that layer is then laid once more.
    stack = trees[0].copy() if trees else _FileNode()
    for tree in trees:
        scoring.take(tree, stack)
        _lay(stack, tree)
    user_bytes = sum(_file_bytes(entries) for entries in layers[1:])
    wasted = scoring.wasted_bytes
    return DiveScore(scoring.score, wasted, wasted / user_bytes if user_bytes else None)


def _file_bytes(entries: Sequence[Entry]) -> int:
    return sum(entry.size for entry in entries if _clean(entry) != ".")


def _clean(entry: Entry) -> str:
    """Clean a name as Go's path.Clean does: unlike an entry's path it may climb, and `/` is not `.`."""
    if entry.name is None or ".." not in entry.name:
        return entry.path[1:] or ("/" if (entry.name or "").startswith("/") else ".")
    cleaned = normpath(entry.name)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _plant_tree(entries: Sequence[Entry]) -> _FileNode:
    root = _FileNode()
    for entry in entries:
        name = _clean(entry)
        if name != "." and entry.type != "global":
            _add(root, name, entry.size, is_dir=entry.type == "dir")
    return root


def _add(root: _FileNode, path: str, size: int, *, is_dir: bool) -> None:
    """Set what a path is, whatever it was, and keep what is below it."""
    parent, _, name = path.rpartition("/")
    holder = _make(root, parent)
    node = _make(holder, name) if holder is not None else None
    if node is not None and node is not root:
        node.size, node.is_dir = size, is_dir


def _make(root: _FileNode, path: str) -> _FileNode | None:
    """Give the node at a path, made if need be; None where a name of it is one that dive drops."""
    node = root
    for name in path.split("/"):
        if not name:
            continue
        child = node.children.get(name)
        if child is None:
            if name.startswith(_DROPPED):
                return None
            child = node.children[name] = _FileNode()
        node = child
    return node


def _lay(stack: _FileNode, tree: _FileNode) -> None:
    """Lay a layer over a stack: names are removed or added, in the order of the walk."""
    at: str | None = None
    holder: _FileNode | None = None
    for parent, name, node in tree.walk():
        if name.startswith(_PREFIX):
            target = f"{parent}/{name.removeprefix(_PREFIX)}".rstrip("/")
            above, _, base = target.rpartition("/")
            held = _find(stack, above)
            if held is not None:
                held.children.pop(base, None)
            at = None  # what was removed may be the holder
        elif name == "..":
            continue  # climbing above the root is the root
        else:
            if parent != at:
                at, holder = parent, _make(stack, normpath(f"{parent}/"))
            if holder is not None:
                laid = holder.children.get(name)
                if laid is None:
                    laid = holder.children[name] = _FileNode()
                laid.size, laid.is_dir = node.size, node.is_dir


def _find(root: _FileNode, path: str) -> _FileNode | None:
    node: _FileNode | None = root
    for name in path.split("/"):
        if name and node is not None:
            node = node.children.get(name)
    return node


class _Scoring:
    """Sizes of every path so far."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self._least: dict[str, int] = {}
        self._count: dict[str, int] = {}

    def take(self, tree: _FileNode, stack: _FileNode) -> None:
        for parent, name, node in tree.walk():
            if node.children:
                continue
            path = f"{parent}/{name.removeprefix(_PREFIX)}"
            self._least.setdefault(path, -1)
            size = node.size
            if name.startswith(_PREFIX):
                target = _find(stack, path)
                if target is None:
                    return  # dive's visitor fails here, and what is left of the layer is not counted
                size = target.total() if target.is_dir else 0
            self._sums[path] = self._sums.get(path, 0) + size
            self._count[path] = self._count.get(path, 0) + 1
            least = self._least[path]
            self._least[path] = size if least < 0 else min(least, size)

    @property
    def score(self) -> float:
        total = sum(self._sums.values())
        return sum(self._least.values()) / total if total else 1.0

    @property
    def wasted_bytes(self) -> int:
        return sum(self._sums[path] for path, count in self._count.items() if count > 1)
