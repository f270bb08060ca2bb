"""What reading and merging the entries of an archive's plain layers costs, in a process of its own.

python -m tests.benchmarks.targets.entrycost ARCHIVE    # processor seconds of each way as JSON, and how many entries
"""

from __future__ import annotations

import gc
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from tarlayers.formats.tar import HeaderCaches
from tarlayers.layer import LayerIndex, hop_layer, index_layer
from tarlayers.merging.engine import merge_layers
from tests.benchmarks.targets.layerset import stored_layers

ROOM = 1 << 18


def measure(archive: Path) -> dict[str, float]:
    """Processor seconds of each way to read all layers, and how many entries these have."""
    with tarfile.open(archive) as outer:
        members = [layer.member for layer in stored_layers(outer)]
        layers = [content.read() for content in map(outer.extractfile, members) if content]
    gc.disable()  # as the command line does
    caches, passing = HeaderCaches(), HeaderCaches()  # which the layers of an archive have in common
    # As a command merges: once they have been read, and before anything else has left holes in the heap.
    indexes = [hop(layer, HeaderCaches()) for layer in layers]
    merge = clock(merge_layers, [indexes])
    took = {
        "merge": merge,
        "tarfile": clock(lambda layer: walk(layer, "r:"), layers),
        "hop": clock(lambda layer: hop(layer, caches), layers),
        "tarfile stream": clock(lambda layer: walk(layer, "r|"), layers),
        "stream": clock(lambda layer: index_layer(chunks(layer), hashed=False, caches=passing), layers),
    }
    return took | {"entries": sum(len(index.entries) for index in indexes)}


def clock(work: Callable[[Any], object], items: list[Any]) -> float:
    """Processor seconds of the work on all items; what comes of it is kept till the end, as an image keeps it."""
    began = time.process_time()
    done = [work(item) for item in items]
    took = time.process_time() - began
    del done
    return took


def hop(layer: bytes, caches: HeaderCaches) -> LayerIndex:
    return hop_layer(lambda at, size: layer[at : at + size], len(layer), caches=caches)


def walk(layer: bytes, mode: Literal["r:", "r|"]) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer), mode=mode) as archive:
        for _ in archive:
            pass


def chunks(layer: bytes) -> Iterator[bytes]:
    return (layer[at : at + ROOM] for at in range(0, len(layer), ROOM))


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
