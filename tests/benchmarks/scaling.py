"""How costs grow: indexing and merging layers that are made as they are read, of more and more of one thing.

    python -m tests.benchmarks.scaling [--json FILE] [CASE ...]

Prints a Markdown table: seconds of processor time at each size, and the slope of a line through the points in a
log-log plot: 1 is linear. `plot.py` draws what --json keeps.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from tarlayers.layer import index_layer
from tarlayers.limits import NO_LIMITS
from tarlayers.merging.engine import merge_layers

Layer = Iterable[bytes]
_END = bytes(1024)
_ROOM = 1 << 18
# From the mode to the magic: size and type are put in.
_TAIL = b"0000644\x000000000\x000000000\0%011o\x0014000000000\0        %b" + bytes(100) + b"ustar\x0000"


def header(name: str, flag: bytes = b"0", size: int = 0) -> bytes:
    """One block; a name of more than 100 bytes stands before it, as GNU has it."""
    raw = name.encode()
    long = b""
    if len(raw) > 100:
        long = header("././@LongLink", b"L", len(raw)) + raw + bytes(-len(raw) % 512)
    block = (raw[:100].ljust(100, b"\0") + _TAIL % (size, flag)).ljust(512, b"\0")
    return long + block[:148] + b"%06o\0 " % sum(block) + block[156:]


def chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join blocks to chunks as they come from a file."""
    kept = bytearray()
    for block in chain(blocks, (_END,)):
        kept += block
        if len(kept) >= _ROOM:
            yield bytes(kept)
            kept.clear()
    yield bytes(kept)


def many_entries(count: int) -> list[Layer]:
    """A distribution's tree: thirty files a directory."""

    def blocks() -> Iterator[bytes]:
        for i in range(count):
            directory = f"usr/d{i // 30000}/d{i // 30}/"
            yield header(f"{directory}f{i}") if i % 30 else header(directory, b"5")

    return [chunks(blocks())]


def one_directory(count: int) -> list[Layer]:
    return [chunks(header(f"big/f{i}") for i in range(count))]


def many_whiteouts(count: int) -> list[Layer]:
    files = (header(f"w/d{i // 100}/f{i}") for i in range(count))
    return [chunks(files), chunks(header(f"w/d{i // 100}/.wh.f{i}") for i in range(count))]


def many_opaque(count: int) -> list[Layer]:
    files = (header(f"o/d{i}/f") for i in range(count))
    return [chunks(files), chunks(header(f"o/d{i}/.wh..wh..opq") for i in range(count))]


def empty_layers(count: int) -> list[Layer]:
    return [chunks([header("etc/motd")]), *(chunks([]) for _ in range(count - 1))]


def small_layers(count: int) -> list[Layer]:
    """Each has a directory that no layer lists, which is looked for in all layers below (rule P2)."""
    return [chunks([header(f"srv{i}/f")]) for i in range(count)]


def deep_paths(depth: int) -> list[Layer]:
    return [chunks(header("a/" * (depth - 1) + f"f{i}") for i in range(20))]


def many_bytes(mebibytes: int) -> list[Layer]:
    size = mebibytes << 20
    content = (bytes(_ROOM) for _ in range(size // _ROOM))
    return [chain([header("data", size=size)], content, [_END])]


CASES: dict[str, tuple[Callable[[int], list[Layer]], tuple[int, ...]]] = {
    "entries": (many_entries, (30_000, 100_000, 300_000, 1_000_000, 3_000_000)),
    "names in one directory": (one_directory, (10_000, 100_000, 1_000_000)),
    "whiteouts": (many_whiteouts, (10_000, 100_000, 1_000_000)),
    "opaque markers": (many_opaque, (1_000, 10_000, 100_000)),
    "empty layers": (empty_layers, (100, 1_000, 10_000)),
    "layers with an implied directory": (small_layers, (100, 1_000, 10_000)),
    "components of a path": (deep_paths, (64, 512, 4096)),
    "MiB of content": (many_bytes, (16, 64, 256, 1024)),
}


def measure(make: Callable[[int], list[Layer]], size: int) -> float:
    """Seconds of indexing and merging, the less of two runs; what makes the layers' bytes is taken off."""
    took = []
    for _ in range(2):
        began = time.process_time()
        for layer in make(size):
            for _chunk in layer:
                pass
        made = time.process_time() - began
        began = time.process_time()
        merge_layers([index_layer(layer, limits=NO_LIMITS) for layer in make(size)])
        took.append(time.process_time() - began - made)
    return max(min(took), 1e-6)


def slope(points: list[tuple[int, float]]) -> float:
    """The exponent of the power law through the points, by least squares."""
    xs = [math.log(size) for size, _ in points]
    ys = [math.log(seconds) for _, seconds in points]
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True)) / sum((x - middle) ** 2 for x in xs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to keep the points for plot.py")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    args = parser.parse_args()
    gc.disable()  # as the command line does
    found: dict[str, list[tuple[int, float]]] = {}
    print("| of what | seconds at each size | slope |\n|---|---|---:|")
    for name in args.cases or CASES:
        make, sizes = CASES[name]
        found[name] = [(size, measure(make, size)) for size in sizes]
        cells = ", ".join(f"{size:,}: {seconds:.3g}" for size, seconds in found[name])
        print(f"| {name} | {cells} | {slope(found[name]):.2f} |", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
