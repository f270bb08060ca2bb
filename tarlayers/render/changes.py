"""What layers did: as JSON documents, and as the lines of `docker diff`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tarlayers.analysis.changes import Change, ImageChanges, LayerChanges
from tarlayers.image import Layer
from tarlayers.render.escape import escape_text
from tarlayers.render.images import refusals_document, shorten
from tarlayers.render.rows import Rows
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size, path_fields
from tarlayers.rootfs import Node


def changes_document(answer: ImageChanges) -> dict[str, Any]:
    """All that is asked for, base first."""
    return {"layers": Rows(answer.layers, _layer_document)} | refusals_document(answer.refused)


def _layer_document(layer: LayerChanges) -> dict[str, Any]:
    return layer_fields("index", layer.layer) | {
        "changes": Rows(layer.changes, change_document),
        "added": layer.count("A"),
        "changed": layer.count("C"),
        "deleted": layer.count("D"),
        "bytes": layer.content_size,
    }


def layer_fields(key: str, layer: Layer) -> dict[str, Any]:
    """Which layer is meant, and the build step that made it."""
    diff_id = layer.diff_id
    return {key: layer.index, "diff_id": str(diff_id) if diff_id else None, "created_by": layer.created_by}


def change_document(change: Change) -> dict[str, Any]:
    """One change; sizes are those of files, `by` and `below` are there where they say something."""
    document: dict[str, Any] = {"kind": change.kind, **path_fields("path", change.path)}
    document |= {"type": change.type, "what": list(change.what)}
    for key, node in (("size", change.after), ("size_before", change.before)):
        if node is not None and node.entry.type == "file":
            document[key] = node.entry.size
    return document | cause_fields(change.path, change.cause, change.by) | _below(change)


def _below(change: Change) -> dict[str, Any]:
    gone = _is_directory(change.before) and not _is_directory(change.after)
    return {"below": change.below} if gone else {}


def _is_directory(node: Node | None) -> bool:
    return node is not None and node.entry.type == "dir"


def cause_fields(path: str, cause: str, by: str) -> dict[str, Any]:
    """Why a path is what it is, and the path above it that did it."""
    return {"cause": cause} | (path_fields("by", by or "/") if by != path else {})


def change_lines(
    layers: Sequence[LayerChanges], *, headed: bool, narrowed: bool = False, long: bool = False
) -> Iterator[str]:
    """One change a line; with `headed` each layer's after a line that starts with `#`. Where the question was
    `narrowed` to a path, layers that have nothing to do with it are left out. `long` says what changed, or why a
    path is gone, in a column before the path.
    """
    for layer in layers:
        if narrowed and not layer.changes:
            continue
        if headed:
            yield _headline(layer)
        width = max((len(_describe(change)) for change in layer.changes), default=0) if long else 0
        for change in layer.changes:
            column = f" {_describe(change):{width}}" if long else ""
            yield f"{change.kind}{column} {escape_text(change.path)}"


def _describe(change: Change) -> str:
    """Of an A its size or type, of a C what changed, of a D why it is gone; and how much went with a directory."""
    if change.kind == "A":
        return human_size(change.after.entry.size) if change.after and change.type == "file" else change.type
    below = f" +{change.below}" if change.below else ""
    return (change.cause if change.kind == "D" else ",".join(change.what) or "nothing") + below


def _headline(layer: LayerChanges) -> str:
    counts = f"{layer.count('A')} A, {layer.count('C')} C, {layer.count('D')} D, {human_size(layer.content_size)}"
    step = brief_step(layer.layer.created_by)
    return f"# layer {layer.layer.index} {shorten(layer.layer.diff_id)} ({counts}) {step}".rstrip()
