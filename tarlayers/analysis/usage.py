"""How many bytes of a merged file system stand below each path, and which layers they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tarlayers.rootfs import Node, RootFS, path_key


class Usage(NamedTuple):
    """What one path holds, itself and all below it. An inode with several names counts once."""

    path: str
    bytes: int
    files: int
    """Regular files."""
    by_layer: Mapping[int, int]
    """Bytes by the layer that they come from; the most first."""


def measure_usage(rootfs: RootFS, paths: Iterable[str]) -> list[Usage]:
    """Measure paths of a merged view (the root is the empty string), the largest first.

    A hard link counts in each directory that has a name of it, and once in one that has several; hence the
    sizes of siblings may add up to more than their parent's.
    """
    below: dict[str, dict[tuple[int, int], Node]] = {path: {} for path in paths}
    for path, node in rootfs.nodes():
        if node.entry.type != "file":
            continue
        at = path
        while True:
            if at in below:
                below[at][id(node.entry), node.layer] = node
            if not at:
                break
            at = at.rpartition("/")[0]
    rows = (_sum_nodes(path, nodes.values()) for path, nodes in below.items())
    return sorted(rows, key=lambda row: (-row.bytes, path_key(row.path)))


def _sum_nodes(path: str, nodes: Iterable[Node]) -> Usage:
    by_layer: dict[int, int] = {}
    files = 0
    for node in nodes:
        files += 1
        by_layer[node.layer] = by_layer.get(node.layer, 0) + node.entry.size
    ordered = dict(sorted(by_layer.items(), key=lambda item: (-item[1], item[0])))
    return Usage(path, sum(by_layer.values()), files, ordered)
