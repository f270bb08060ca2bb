"""How many bytes of a merged file system stand below each path, and which layers they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tarlayers.rootfs import RootFS, path_key


class Usage(NamedTuple):
    """What one path holds, itself and all below it. An inode with several names counts once."""

    path: str
    bytes: int
    files: int
    """Regular files."""
    by_layer: Mapping[int, int]
    """Bytes by the layer that they come from; the most first."""


class _Tally:
    """What was found below a path."""

    __slots__ = ("by_layer", "files")

    def __init__(self) -> None:
        self.files = 0
        self.by_layer: dict[int, int] = {}

    def conclude(self, path: str) -> Usage:
        ordered = dict(sorted(self.by_layer.items(), key=lambda item: (-item[1], item[0])))
        return Usage(path, sum(ordered.values()), self.files, ordered)


def measure_usage(rootfs: RootFS, paths: Iterable[str]) -> list[Usage]:
    """Measure paths of a merged view (the root is the empty string), the largest first.

    A hard link counts in each directory that has a name of it, and once in one that has several; hence the
    sizes of siblings may add up to more than their parent's.
    """
    wanted = dict.fromkeys(paths)
    tallies: dict[str, _Tally] = {}
    for path, node in rootfs.nodes():
        if node.entry.type != "file":
            continue
        others = rootfs.other_names(path, node)
        if others and path_key(path) > path_key(others[0]):
            continue  # counted with the first of its names
        holders = _climb(path) if not others else {at for name in (path, *others) for at in _climb(name)}
        for at in holders:
            if at in wanted:
                tally = tallies.get(at)
                if tally is None:
                    tally = tallies[at] = _Tally()
                tally.files += 1
                tally.by_layer[node.layer] = tally.by_layer.get(node.layer, 0) + node.entry.size
    nothing = _Tally()
    rows = [tallies.pop(path, nothing).conclude(path) for path in wanted]
    rows.sort(key=lambda row: (-row.bytes, path_key(row.path)))
    return rows


def _climb(path: str) -> Iterator[str]:
    """Yield a path, and those above it to the root."""
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path
