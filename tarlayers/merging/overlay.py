"""The kernel's part: how overlayfs shows one directory over another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tarlayers.merging.tree import Node, Tree
from tarlayers.merging.unpack import LayerTree

Log = dict[str, tuple[Node | None, str, str]]
"""Of each path that a layer touched: the node before, and why and by what it changed."""


class Overlay:
    """One unpacked layer laid over the merged tree, as overlayfs shows the two."""

    def __init__(self, tree: Tree, layer: LayerTree, log: Log | None) -> None:
        self._tree = tree
        self._layer = layer
        self._log = log

    def run(self) -> None:
        """Change the merged tree into what the two show together; the log hears of every path that changes."""
        layer, dirs = self._layer, self._tree.dirs
        whiteouts: dict[str, list[str]] = {}
        for path in layer.whiteouts:
            whiteouts.setdefault(path.rpartition("/")[0], []).append(path)
        # A directory stands before its children: they can only have been made after it.
        for directory, children in layer.dirs.items():
            lower = dirs.get(directory)
            if directory in layer.opaque and lower:
                self._clear(directory)
                lower = dirs[directory]
            hidden = whiteouts.get(directory, ())
            shown = {p: n for p, n in children.items() if n.entry.type != "whiteout"} if hidden else children
            for path in hidden if lower else ():
                self._remove(path, "whiteout")
            lower = dirs.get(directory)
            if self._log is not None:
                self._note(shown, lower or {})
            if not lower:
                self._tree.borrow(directory, shown)
                continue
            for path in lower.keys() & shown.keys():
                if lower[path].entry.type == "dir" and shown[path].entry.type != "dir":
                    self._remove(path, "replaced")
            if shown:
                self._tree.own(directory).update(shown)

    def _note(self, children: Mapping[str, Node], lower: Mapping[str, Node]) -> None:
        log = self._log
        if log is not None:
            for path in children:
                log.setdefault(path, (lower.get(path), "entry", path))

    def _clear(self, directory: str) -> None:
        self._tree.clear(directory, self._hear("opaque", directory))

    def _remove(self, path: str, cause: str) -> None:
        self._tree.remove(path, self._hear(cause, path))

    def _hear(self, cause: str, by: str) -> Callable[[str, Node], object] | None:
        log = self._log
        if log is None:
            return None

        def hear(path: str, node: Node) -> None:
            if path in log:
                log[path] = log[path][0], cause, by
            else:
                log[path] = node, cause, by

        return hear
