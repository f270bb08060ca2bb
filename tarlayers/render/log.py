"""The life of a path: as a JSON document and as the rows of a table."""

from __future__ import annotations

from typing import Any

from tarlayers.analysis.log import LogEvent, PathLog
from tarlayers.entry import Entry
from tarlayers.render.changes import cause_fields, layer_fields
from tarlayers.render.escape import escape_text
from tarlayers.render.images import refusals_document, shorten
from tarlayers.render.steps import brief_step
from tarlayers.render.values import entry_dict, format_time, mode_string, path_fields

LOG_HEADER = ("LAYER", "DIFF ID", "CHANGE", "MODE", "OWNER", "SIZE", "MODIFIED", "CREATED BY")
LOG_ALIGN = "><<<<><<"


def log_document(log: PathLog) -> dict[str, Any]:
    """The whole life, newest first."""
    document = path_fields("path", log.path) | {"visible": log.visible}
    document["events"] = [_event_document(event, log.path) for event in log.events]
    return document | refusals_document(log.refused)


def _event_document(event: LogEvent, path: str) -> dict[str, Any]:
    document = layer_fields("layer", event.layer) | {"kind": event.kind, "what": list(event.what)}
    document |= cause_fields(path, event.cause, event.by)
    if event.node is not None:
        node = event.node
        document["entry"] = entry_dict(node.entry, path=path, layer=node.layer, links=event.links, digests=True)
    return document


def log_cells(event: LogEvent, path: str, *, full: bool) -> tuple[str, ...]:
    """One row of the table; with `full` the instruction is not cut short."""
    step = escape_text(event.layer.created_by or "") if full else brief_step(event.layer.created_by)
    cells = _entry_cells(event.entry) if event.entry is not None else ("-",) * 4
    return (str(event.layer.index), shorten(event.layer.diff_id), _describe(event, path), *cells, step)


def _entry_cells(entry: Entry) -> tuple[str, ...]:
    if entry.type == "symlink":
        size = f"-> {escape_text(entry.link or '')}"
    else:
        size = str(entry.size) if entry.rdev is None else f"{entry.rdev[0]},{entry.rdev[1]}"
    time = format_time(entry.mtime) if entry.mtime is not None else "-"
    return (mode_string(entry.type, entry.mode), f"{entry.uid}:{entry.gid}", size, time)


def _describe(event: LogEvent, path: str) -> str:
    if event.kind == "D":
        where = "" if event.by == path else f" {escape_text(event.by or '/')}"
        return f"D {event.cause}{where}"
    if event.kind == "C":
        return f"C {','.join(event.what) or 'nothing'}"
    return event.kind
