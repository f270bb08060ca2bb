"""Which layer each visible path comes from: the one that last wrote it, and the one that introduced it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.errors import NoSuchPath
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Image, Layer, require_layers
from tarlayers.merging.engine import merge_layers
from tarlayers.rootfs import Refusal, RootFS, sort_paths
from tarlayers.trace import Step, follow_layers


class Blame(NamedTuple):
    """Who wrote one visible path."""

    path: str
    layer: Layer
    """That last wrote it, be it as it was before, or only implied it by what it has below."""
    introduced: Layer
    """Since which it has been there without a break."""


class BlamedPaths(Collection[Blame]):
    """Who wrote what, in the order of the paths' bytes. Rows are made as they are come to."""

    def __init__(self, layers: Sequence[Layer], paths: Sequence[str], history: _History, view: RootFS) -> None:
        self._layers = layers
        self._paths = paths
        self._history = history
        self._view = view

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, row: object) -> bool:
        return any(row == own for own in self)

    def __iter__(self) -> Iterator[Blame]:
        for path in self._paths:
            last, since = self._history.blame(path, self._view)
            yield Blame(path, self._layers[last], self._layers[since])


@dataclass(frozen=True, slots=True)
class ImageBlame:
    """The answer."""

    paths: BlamedPaths
    refused: tuple[Refusal, ...]


class _History:
    """Which layers wrote what is visible. Most paths were written once, by the layer that their inode is of: only
    others are noted.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._since: dict[str, int] = {}

    def take(self, step: Step) -> None:
        for event in step.displaced():
            path, before = event.path, event.before
            last = self._last.pop(path, before.layer if before is not None else step.layer)
            if event.after is None:
                self._since.pop(path, None)
            else:
                self._since.setdefault(path, last)
        for path, node in step.renamed():
            if node.layer != step.layer and step.event(path) is not None:
                self._last[path] = step.layer

    def blame(self, path: str, view: RootFS) -> tuple[int, int]:
        """Give the layer that last wrote a path, and the one that introduced it."""
        last = self._last[path] if path in self._last else view.layer_of(path)
        return last, self._since.get(path, last)


def blame_paths(image: Image, path: str = "/", *, engine: str = "containerd") -> ImageBlame:
    """Blame the layers for what is visible at and below `path`, the root itself left out. Reads headers alone.

    Symlinks among the parents of `path` are followed. NoSuchPath when it is not visible; ContentAbsent when a
    layer cannot be read.
    """
    require_layers(image.layers)
    history = _History()
    refused: list[Refusal] = []
    view = merge_layers(())
    for step in follow_layers(image.layers, engine=engine):
        refused += step.refused
        history.take(step)
        if step.layer == len(image.layers) - 1:
            view = step.view
    top = clean_path(path)
    if top and top not in view:
        top = view.resolve_parents(top)
        if top not in view:
            raise NoSuchPath("not in the image", place=path)
    below = top + "/"
    paths = sort_paths(p for p in view if p == top or p.startswith(below)) if top else view.sorted_paths()
    return ImageBlame(BlamedPaths(image.layers, paths, history, view), tuple(refused))
