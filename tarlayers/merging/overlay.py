"""The kernel's part: how overlayfs shows one directory over another."""

from __future__ import annotations

from collections.abc import Callable

from tarlayers.merging.tree import Directory, Node, Tree
from tarlayers.merging.unpack import LayerTree

Log = dict[str, tuple[Node, str, str] | None]
"""Of each path that a layer touched: the node before, and why and by what it changed. None where nothing was
before; an overlay notes none of these, for they are what the layer's tree has beside the log."""


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
        for directory, shown in layer.dirs.items():
            lower = dirs.get(directory)
            if lower and directory in layer.opaque:
                self._clear(directory)
                lower = dirs[directory]
            if directory in whiteouts:
                shown = _without_whiteouts(shown)  # noqa: PLW2901 # as it is to be seen
                for path in whiteouts[directory] if lower else ():
                    self._remove(path, "whiteout")
                lower = dirs.get(directory)
            if not lower:
                dirs[directory] = shown  # the layer's own, until something is laid on it
            elif shown:
                self._replace(lower, shown)
                self._tree.own(directory).lay(shown)
        self._tree.strays += filter(None, layer.strays)

    def _replace(self, lower: Directory, shown: Directory) -> None:
        """Do what is due for what a directory has already and is about to get."""
        log = self._log
        for path, entry in shown.items():
            before = lower.get(path)
            if before is None:
                continue
            if log is not None and path not in log:
                log[path] = Node(before, lower.layer_of(path)), "entry", path
            if before.type == "dir" and entry.type != "dir":
                self._remove(path, "replaced")

    def _clear(self, directory: str) -> None:
        self._tree.clear(directory, self._hear("opaque", directory))

    def _remove(self, path: str, cause: str) -> None:
        self._tree.remove(path, self._hear(cause, path))

    def _hear(self, cause: str, by: str) -> Callable[[str, Node], object] | None:
        log = self._log
        if log is None:
            return None

        def hear(path: str, node: Node) -> None:
            known = log.get(path)
            log[path] = known[0] if known is not None else node, cause, by

        return hear


def _without_whiteouts(children: Directory) -> Directory:
    shown = Directory(children.layer)
    shown.update((path, entry) for path, entry in children.items() if entry.type != "whiteout")
    return shown
