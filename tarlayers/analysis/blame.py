"""Which layer each visible path comes from: the one that last wrote it, and the one that introduced it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.errors import NoSuchPath
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Image, Layer, require_layers
from tarlayers.rootfs import Refusal, merge_layers, path_key
from tarlayers.trace import trace_layers


class Blame(NamedTuple):
    """Who wrote one visible path."""

    path: str
    layer: Layer
    """That last wrote it, be it as it was before, or only implied it by what it has below."""
    introduced: Layer
    """Since which it has been there without a break."""


@dataclass(frozen=True, slots=True)
class ImageBlame:
    """The answer, in the order of the paths' bytes."""

    paths: tuple[Blame, ...]
    refused: tuple[Refusal, ...]


def blame_paths(image: Image, path: str = "/", *, engine: str = "containerd") -> ImageBlame:
    """Blame the layers for what is visible at and below `path`, the root itself left out. Reads headers alone.

    Symlinks among the parents of `path` are followed. NoSuchPath when it is not visible; ContentAbsent when a
    layer cannot be read.
    """
    require_layers(image.layers)
    written: dict[str, tuple[int, int]] = {}
    refused: list[Refusal] = []
    for trace in trace_layers(image.layers, engine=engine):
        refused += trace.refused
        for event in trace.events:
            if event.after is None:
                del written[event.path]
            else:
                since = written[event.path][1] if event.path in written else trace.layer
                written[event.path] = trace.layer, since
    top = clean_path(path)
    if top and top not in written:
        top = merge_layers(image.layers, engine=engine).resolve_parents(top)
        if top not in written:
            raise NoSuchPath("not in the image", place=path)
    below = top + "/"
    paths = sorted((p for p in written if p == top or p.startswith(below)), key=path_key)
    found = ((p, *written[p]) for p in paths)
    return ImageBlame(
        tuple(Blame(p, image.layers[last], image.layers[since]) for p, last, since in found), tuple(refused)
    )
