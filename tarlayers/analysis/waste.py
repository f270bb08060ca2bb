"""Bytes that are shipped but not visible: by cause, by layer and by path.

Shipped is the content of every file of every layer, visible what the merged file system shows (an inode with
several names once); wasted is the rest, and the sum of each breakdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.comparison import Contents, load_comparable
from tarlayers.entry import Entry, content_size
from tarlayers.image import Image, Layer, load_layers
from tarlayers.rootfs import Refusal, path_key
from tarlayers.shipped import ShippedFile, trace_files

CAUSES = ("overwritten", "deleted_file", "deleted_dir", "metadata_only", "identical_copy", "not_unpacked")


class LayerWaste(NamedTuple):
    """What one layer ships, and how much of that is not visible."""

    layer: Layer
    content_size: int
    bytes: int
    """Wasted; it counts for the layer that ships them, not for the one that hides them."""


class PathWaste(NamedTuple):
    """What is shipped for one path but not visible."""

    path: str
    bytes: int
    copies: int
    """How many hidden copies there are."""
    cause: str
    """Why the most bytes of it are wasted."""
    layers: tuple[int, ...]
    """That ship the hidden copies."""
    hidden_by: tuple[int, ...]
    """That hide them."""


@dataclass(frozen=True, slots=True)
class Waste:
    """What an image ships for nothing. Bytes of file content throughout; headers and padding are not counted."""

    shipped_bytes: int
    wasted_bytes: int
    wasted_files: int
    stored_estimate: int
    """What the wasted bytes are likely to take as stored: each layer's by its own rate of compression."""
    by_cause: Mapping[str, int]
    """In the order of CAUSES; `not_unpacked` only where there are such bytes."""
    by_layer: tuple[LayerWaste, ...]
    """Every layer, base first."""
    paths: tuple[PathWaste, ...]
    """The most bytes first, then in the order of the paths' bytes. Empty files waste nothing and are left out."""
    refused: tuple[Refusal, ...]

    @property
    def visible_bytes(self) -> int:
        """What is left when all layers are squashed into one."""
        return self.shipped_bytes - self.wasted_bytes

    @property
    def efficiency(self) -> float:
        """The visible part of what is shipped, from 0 to 1; 1 where nothing is shipped."""
        return self.visible_bytes / self.shipped_bytes if self.shipped_bytes else 1.0


def measure_waste(image: Image, *, engine: str = "containerd", digests: bool = False) -> Waste:
    """Find what is shipped but not visible. With `digests` contents are compared, which tells copies that
    differ in their metadata alone, or not at all, from files that were really overwritten.
    """
    for layer in image.layers:
        layer.require_readable()
    if digests:
        load_comparable(image.layers)
    else:
        load_layers(image.layers)
    shipment = trace_files(image.layers, engine=engine)
    hidden = [file for file in shipment.hidden if file.entry.size]
    contents = Contents(image.layers) if digests else None
    if contents is not None:
        overwritten = (file.event for file in hidden if file.event is not None and file.cause == "overwritten")
        contents.fetch_open((event.before, event.after) for event in overwritten)
    by_layer = _sum_layers(image.layers, hidden)
    return Waste(
        shipped_bytes=sum(row.content_size for row in by_layer),
        wasted_bytes=sum(file.entry.size for file in hidden),
        wasted_files=len(hidden),
        stored_estimate=sum(map(_estimate_stored, by_layer)),
        by_cause=_sum_causes(hidden, contents),
        by_layer=by_layer,
        paths=_sum_paths(hidden, contents),
        refused=shipment.refused,
    )


def _refine_cause(file: ShippedFile, contents: Contents | None) -> str:
    """Tell what an overwritten file was replaced by, where contents are known: from `contents`, or by their entries."""
    event = file.event
    if event is None or file.cause != "overwritten" or event.before is None or event.after is None:
        return file.cause or ""
    old, new = event.before.entry, event.after.entry
    if new.type != "file" or new.size != old.size:
        return file.cause
    if contents is not None:
        is_copy = contents.are_equal(event.before, event.after)
    else:
        is_copy = old.sha256 is not None and old.sha256 == new.sha256
    if not is_copy:
        return file.cause
    return "identical_copy" if _metadata(old) == _metadata(new) else "metadata_only"


def _metadata(entry: Entry) -> tuple[object, ...]:
    return entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs or {}


def _sum_causes(hidden: Iterable[ShippedFile], contents: Contents | None) -> dict[str, int]:
    sums = dict.fromkeys(CAUSES, 0)
    for file in hidden:
        sums[_refine_cause(file, contents)] += file.entry.size
    if not sums["not_unpacked"]:
        del sums["not_unpacked"]
    return sums


def _sum_layers(layers: Iterable[Layer], hidden: Iterable[ShippedFile]) -> tuple[LayerWaste, ...]:
    wasted: dict[int, int] = {}
    for file in hidden:
        wasted[file.layer] = wasted.get(file.layer, 0) + file.entry.size
    return tuple(LayerWaste(layer, content_size(layer.read().entries), wasted.get(layer.index, 0)) for layer in layers)


def _estimate_stored(row: LayerWaste) -> int:
    plain = row.layer.read().plain_size
    return round(row.bytes * row.layer.read().size / plain) if plain else 0


def _sum_paths(hidden: Iterable[ShippedFile], contents: Contents | None) -> tuple[PathWaste, ...]:
    by_path: dict[str, list[ShippedFile]] = {}
    for file in hidden:
        by_path.setdefault(file.path, []).append(file)
    rows = (_sum_path(path, files, contents) for path, files in by_path.items())
    return tuple(sorted(rows, key=lambda row: (-row.bytes, path_key(row.path))))


def _sum_path(path: str, files: list[ShippedFile], contents: Contents | None) -> PathWaste:
    if len(files) == 1:  # as it is of nearly all
        (file,) = files
        hidden_by = () if file.hidden_by is None else (file.hidden_by,)
        return PathWaste(path, file.entry.size, 1, _refine_cause(file, contents), (file.layer,), hidden_by)
    causes: dict[str, int] = {}
    for file in files:
        cause = _refine_cause(file, contents)
        causes[cause] = causes.get(cause, 0) + file.entry.size
    return PathWaste(
        path=path,
        bytes=sum(causes.values()),
        copies=len(files),
        cause=max(causes, key=lambda cause: (causes[cause], cause)),
        layers=tuple(sorted({file.layer for file in files})),
        hidden_by=tuple(sorted({file.hidden_by for file in files if file.hidden_by is not None})),
    )
