"""The unpacked layers below the one that is being unpacked, for those who look for a path in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tarlayers.merging.tree import Tree


class LowerTrees:
    """Trees of lower layers, found by what their roots hold.

    A directory that no entry lists is looked for in the layers below (P2). Where ten thousand layers have such a
    directory each, all but a few have nothing of it: going through them took 7 s of 8.
    """

    def __init__(self, trees: Iterable[Tree] = ()) -> None:
        """Hold these, base first."""
        self.trees = list(trees)
        self.asked = False
        """Somebody looked for a path in them."""
        self._known = 0  # how many of them `_having` tells of: nothing is kept of roots that nobody asks for
        self._having: dict[str, list[Tree]] = {}

    def add(self, tree: Tree) -> None:
        """Lay one more on top; it must not change any more."""
        self.trees.append(tree)

    def search(self, top: str) -> Iterator[Tree]:
        """Give the trees that have something at this path of one component, highest first."""
        self.asked = True
        for tree in self.trees[self._known :]:
            for path in tree.dirs[""]:
                self._having.setdefault(path, []).append(tree)
        self._known = len(self.trees)
        return reversed(self._having.get(top, []))
