"""Draw what scaling.py measured: processor time against bytes, entries and layers, both axes logarithmic.

python -m tests.benchmarks.plot POINTS.json docs/performance.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PANELS = (
    ("MiB of content", ("MiB of content",)),
    ("entries", ("entries", "names in one directory", "whiteouts", "opaque markers")),
    ("layers", ("empty layers", "layers with an implied directory")),
)
COLORS = ("#1f6f8b", "#c1440e", "#5a7d2a", "#7b4b94")
WIDTH, HEIGHT, LEFT, TOP = 300, 240, 50, 40
Points = Sequence[tuple[float, float]]


def panel(title: str, lines: dict[str, Points], at: int) -> Iterator[str]:
    """One set of axes with its lines; the grid has a line for each power of ten."""
    every = [point for points in lines.values() for point in points]
    low_x, high_x = (math.log10(edge) for edge in (min(x for x, _ in every), max(x for x, _ in every)))
    low_y, high_y = math.floor(math.log10(min(y for _, y in every))), math.ceil(math.log10(max(y for _, y in every)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low_x) / (high_x - low_x) * WIDTH
        up = (math.log10(y) - low_y) / (high_y - low_y) * HEIGHT
        return at + LEFT + across, TOP + HEIGHT - up

    yield f'<text x="{at + LEFT}" y="{TOP - 16}" font-weight="bold">seconds by {title}</text>'
    for power in range(low_y, high_y + 1):
        _, y = place(10**low_x, 10**power)
        yield f'<path d="M{at + LEFT} {y:.1f}h{WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{at + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
    for power in range(math.ceil(low_x), math.floor(high_x) + 1):
        x, _ = place(10**power, 10**low_y)
        yield f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{10**power:,}</text>'
    for number, (name, points) in enumerate(lines.items()):
        spots = [place(x, y) for x, y in points]
        color = COLORS[number]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        yield f'<path d="M{path}" stroke="{color}" stroke-width="2" fill="none"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in spots)
        yield f'<text x="{at + LEFT + 8}" y="{TOP + 16 + 15 * number}" fill="{color}">{name}</text>'


def draw(measured: dict[str, Points]) -> str:
    """Give the whole picture."""
    step = WIDTH + LEFT + 30
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"']
    parts[0] += (
        f' viewBox="0 0 {step * len(PANELS)} {HEIGHT + TOP + 30}"><rect width="100%" height="100%" fill="#fff"/>'
    )
    for number, (title, names) in enumerate(PANELS):
        lines = {name: measured[name] for name in names if name in measured}
        parts += panel(title, lines, number * step) if lines else []
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(json.loads(Path(sys.argv[1]).read_text())))
