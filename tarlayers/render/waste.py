"""Waste: as a JSON document and as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tarlayers.analysis.dive import DiveScore
from tarlayers.analysis.waste import LayerWaste, PathWaste, Waste
from tarlayers.render.escape import escape_text
from tarlayers.render.images import refusals_document
from tarlayers.render.rows import Rows
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size, path_fields

PATH_HEADER = ("WASTED", "COPIES", "CAUSE", "LAYERS", "HIDDEN BY", "PATH")
PATH_ALIGN = ">><<<<"
LAYER_HEADER = ("LAYER", "SHIPS", "WASTED", "CREATED BY")
LAYER_ALIGN = ">>><"


def waste_document(waste: Waste, score: DiveScore, top: int | None) -> dict[str, Any]:
    """What `waste` found; `top` cuts the list of paths alone."""
    return {
        "efficiency": waste.efficiency,
        "shipped_bytes": waste.shipped_bytes,
        "visible_bytes": waste.visible_bytes,
        "wasted_bytes": waste.wasted_bytes,
        "wasted_files": waste.wasted_files,
        "squash": {"content_size": waste.visible_bytes, "saved": waste.wasted_bytes, "stored": waste.stored_estimate},
        "by_cause": dict(waste.by_cause),
        "by_layer": [_layer_row(row) for row in waste.by_layer],
        "paths": Rows(waste.paths[:top], _path_row),
        "dive": {
            "efficiency_score": score.efficiency_score,
            "wasted_bytes": score.wasted_bytes,
            "wasted_user_percent": score.wasted_user_percent,
        },
    } | refusals_document(waste.refused)


def _layer_row(row: LayerWaste) -> dict[str, Any]:
    return {
        "index": row.layer.index,
        "diff_id": None if row.layer.diff_id is None else str(row.layer.diff_id),
        "created_by": row.layer.created_by,
        "content_size": row.content_size,
        "bytes": row.bytes,
    }


def _path_row(row: PathWaste) -> dict[str, Any]:
    return path_fields("path", row.path or "/") | {
        "bytes": row.bytes,
        "copies": row.copies,
        "cause": row.cause,
        "layers": list(row.layers),
        "hidden_by": list(row.hidden_by),
    }


# -- text ------------------------------------------------------------------------------------------


def path_cells(row: PathWaste) -> tuple[str, ...]:
    """One row of the table of paths."""
    return (
        human_size(row.bytes),
        str(row.copies),
        row.cause.replace("_", " "),
        join_layers(row.layers),
        join_layers(row.hidden_by),
        escape_text(row.path or "/"),
    )


def join_layers(layers: tuple[int, ...]) -> str:
    """The first few layers of a list; the rest are counted."""
    shown = ",".join(map(str, layers[:4]))
    return f"{shown},+{len(layers) - 4}" if len(layers) > 5 else ",".join(map(str, layers))


def layer_cells(row: LayerWaste) -> tuple[str, ...]:
    """One row of the table of layers."""
    return (
        str(row.layer.index),
        human_size(row.content_size),
        human_size(row.bytes),
        brief_step(row.layer.created_by),
    )


def total_lines(waste: Waste, score: DiveScore) -> Iterator[str]:
    """What it comes to, and what dive would say."""
    causes = ", ".join(f"{human_size(size)} {cause.replace('_', ' ')}" for cause, size in _by_size(waste) if size)
    yield (
        f"wasted {human_size(waste.wasted_bytes)} of {human_size(waste.shipped_bytes)} shipped, "
        f"efficiency {waste.efficiency:.1%}" + (f": {causes}" if causes else "")
    )
    if waste.wasted_bytes:
        yield (
            f"squashed into one layer: {human_size(waste.visible_bytes)} of content, "
            f"about {human_size(waste.stored_estimate)} less as stored"
        )
    user = "-" if score.wasted_user_percent is None else f"{score.wasted_user_percent:.1%}"
    yield (
        f"dive counts differently: efficiency {score.efficiency_score:.1%}, "
        f"wasted {human_size(score.wasted_bytes)}, user wasted {user}"
    )


def _by_size(waste: Waste) -> list[tuple[str, int]]:
    return sorted(waste.by_cause.items(), key=lambda item: -item[1])
