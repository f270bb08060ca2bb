"""Who wrote what: as a JSON document and as aligned lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from tarlayers.analysis.blame import Blame, ImageBlame
from tarlayers.render.changes import layer_fields
from tarlayers.render.escape import escape_text
from tarlayers.render.images import shorten
from tarlayers.render.steps import brief_step
from tarlayers.render.values import path_fields

_STEP = 40  # characters of an instruction beside a path


def blame_rows(answer: ImageBlame) -> Iterator[dict[str, Any]]:
    """Every path with its two layers; `diff_id` and `created_by` are those of the last."""
    for row in answer.paths:
        yield path_fields("path", row.path) | layer_fields("layer", row.layer) | {"introduced": row.introduced.index}


def blame_lines(rows: Collection[Blame], *, long: bool) -> Iterator[str]:
    """The last layer, its diff ID, the layer that introduced the path, if `long` the last one's instruction, the path.
    Every column but the path is as wide as it has to be.
    """
    cells: dict[tuple[int, int], tuple[str, ...]] = {}  # which are the same for all that one pair of layers wrote
    for row in rows:
        pair = row.layer.index, row.introduced.index
        if pair not in cells:
            cells[pair] = _cells(row, long=long)
    widths = [max(map(len, column)) for column in zip(*cells.values(), strict=True)]
    columns = {
        pair: " ".join(f"{text:{width}}" for text, width in zip(cell, widths, strict=True))
        for pair, cell in cells.items()
    }
    for row in rows:
        yield f"{columns[row.layer.index, row.introduced.index]} {escape_text(row.path)}"


def _cells(row: Blame, *, long: bool) -> tuple[str, ...]:
    last = row.layer
    cells = (f"L{last.index}", shorten(last.diff_id), f"L{row.introduced.index}")
    return (*cells, brief_step(last.created_by, _STEP)) if long else cells
