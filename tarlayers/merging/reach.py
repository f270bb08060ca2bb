"""How far unpacked layers reach into those below: the paths that they can show, change or remove there.

Only for orderly layers below (`outline`). Of their entries at these paths the merged tree shows what it shows of all:
the parents of a path, which can hide it, are among them, and so are all names of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tarlayers.merging.unpack import LayerTree
from tarlayers.outline import Outline


class Reach:
    """The paths that some layers, unpacked on their own, reach in those below."""

    def __init__(self, upper: Iterable[LayerTree], lower: Sequence[Outline]) -> None:
        self._near: set[str] = set()
        """Paths, with all their parents."""
        self._inside: set[str] = set()
        """Directories of which all is reached, and those in them."""
        cleared: set[str] = set()
        for tree in upper:
            shown = set().union(*tree.dirs.values())
            self._near |= shown
            # What is no directory takes the place of one, and a whiteout is none.
            cleared |= shown.difference(tree.dirs) | tree.opaque
        for outline in lower:
            self._clear(cleared, outline.directories)
        self._follow_links(pair for outline in lower for pair in _name_links(outline))

    def choose(self, outline: Outline) -> list[int]:
        """Give the places of the entries of a lower layer that are reached, in tar order."""
        near, inside, paths = self._near, self._inside, outline.paths
        if inside.isdisjoint(outline.directories):
            return [place for place, path in enumerate(paths) if path in near]
        return [place for place, path in enumerate(paths) if path in near or path[: path.rfind("/")] in inside]

    def __contains__(self, path: str) -> bool:
        return path in self._near or path[: path.rfind("/")] in self._inside

    def _clear(self, cleared: set[str], directories: Sequence[str]) -> None:
        """Take in the directories of a lower layer that are cleared, and those below them: parents come first."""
        for path in directories:
            if path in cleared or path[: path.rfind("/")] in self._inside:
                self._inside.add(path)

    def _follow_links(self, links: Iterable[tuple[str, str]]) -> None:
        """Take in all names of files of which one name is reached."""
        beside: dict[str, list[str]] = {}
        for name, other in links:
            beside.setdefault(name, []).append(other)
            beside.setdefault(other, []).append(name)
        todo = [name for name in beside if name in self]
        while todo:
            for other in beside.pop(todo.pop(), ()):
                path = other
                while path and path not in self._near:
                    self._near.add(path)
                    todo.append(path)
                    path = path.rpartition("/")[0]


def _name_links(outline: Outline) -> Iterator[tuple[str, str]]:
    for place, target in zip(outline.ties.links, outline.ties.targets, strict=True):
        yield outline.paths[place], outline.paths[target]
