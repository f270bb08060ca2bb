"""What differs between two images, as a JSON document and as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import orjson

from tarlayers.analysis.diff import ConfigChange, HistoryChange, ImageDiff, LayerShare
from tarlayers.analysis.filediff import FileChange, Side, Summary
from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.image import HistoryRow, Layer
from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_text
from tarlayers.render.images import layer_identity, refusals_document, shorten
from tarlayers.render.rows import Rows
from tarlayers.render.steps import brief_step, cut_line
from tarlayers.render.values import entry_dict, format_time, human_size, path_fields

_CELL_WIDTH = 60
# Values and steps that differ have room for the difference to be seen.
_VALUE_WIDTH = 200
_CHANGED_WIDTH = 1000
_STEP_WIDTH = 48

# -- json ------------------------------------------------------------------------------------------


def diff_document(diff: ImageDiff) -> dict[str, Any]:
    """The answer of `diff`; sections that were not asked for are absent."""
    sections: dict[str, Any] = {
        "layers": lambda: _layers_document(diff.layers),
        "config": lambda: [change._asdict() for change in diff.config],
        "history": lambda: [_history_document(change) for change in diff.history],
        "files": lambda: Rows(diff.files, _file_document),
    }
    document: dict[str, Any] = {"identical": diff.identical}
    document |= {name: make() for name, make in sections.items() if name in diff.sections}
    if "files" in diff.sections:
        document["summary"] = diff.summary._asdict()
    refused = [
        {"image": image, **row}
        for image, found in zip(("old", "new"), diff.refused, strict=True)
        for row in refusals_document(found).get("refused", ())
    ]
    return document | ({"refused": refused} if refused else {})


def _layers_document(layers: LayerShare) -> dict[str, Any]:
    return {
        "common": layers.common,
        "old": _own_layers(layers.old, layers.chain_ids[0]),
        "new": _own_layers(layers.new, layers.chain_ids[1]),
    }


def _own_layers(layers: Sequence[Layer], chain_ids: Sequence[Digest | None]) -> list[dict[str, Any]]:
    return [
        layer_identity(layer) | {"chain_id": None if chain_id is None else str(chain_id)}
        for layer, chain_id in zip(layers, chain_ids, strict=True)
    ]


def _history_document(change: HistoryChange) -> dict[str, Any]:
    return {"kind": change.kind, "old": _step_document(change.old), "new": _step_document(change.new)}


def _step_document(row: HistoryRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"created_by": row.step.created_by, "empty_layer": row.step.empty_layer, "layer": row.layer}


def _file_document(change: FileChange) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": change.kind,
        **path_fields("path", change.path),
        "what": list(change.what),
        "old": _side_document(change.path, change.old),
        "new": _side_document(change.path, change.new),
    }
    for key, other in (("moved_to", change.moved_to), ("moved_from", change.moved_from)):
        if other is not None:
            document |= path_fields(key, other)
    return document


def _side_document(path: str, side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return entry_dict(side.entry, path=path, layer=side.layer, links=side.links) | {"created_by": side.created_by}


# -- text ------------------------------------------------------------------------------------------


def diff_lines(diff: ImageDiff) -> Iterator[str]:
    """The text that `diff` prints: A, C, D and R lines, then the documents, then the totals.

    With one section alone its lines stand without a title.
    """
    sections: dict[str, Iterable[str]] = {
        "files": file_lines(diff.files),
        "config": list(map(_config_line, diff.config)),
        "history": list(_history_lines(diff.history)),
        "layers": list(_layer_lines(diff.layers)),
    }
    if diff.identical:
        yield identical_line(diff)
        return
    if len(diff.sections) == 1:
        yield from sections[diff.sections[0]]
        return
    shown = [name for name in diff.sections if (diff.files if name == "files" else sections[name])]
    for number, name in enumerate(shown):
        if number:
            yield ""
        if name != "files":
            yield f"{name}:"
        yield from sections[name]
    if "files" in diff.sections:
        yield ""
        yield summary_line(diff.summary)


def identical_line(diff: ImageDiff) -> str:
    """Say that nothing differs, and in what."""
    layers = diff.layers
    if not layers.old and not layers.new:
        common = count_noun(layers.common, "layer")
        return f"identical: {' '.join(diff.sections)} (all {common} in common by diff ID)"
    above = f"{len(layers.old)} of the old and {len(layers.new)} of the new not"
    return f"identical: {' '.join(diff.sections)} ({count_noun(layers.common, 'layer')} in common by diff ID, {above})"


def summary_line(summary: Summary) -> str:
    """The totals on one line."""
    moved = f", {summary.moved} moved" if summary.moved else ""
    return (
        f"{summary.added} added, {summary.changed} changed, {summary.deleted} deleted{moved}; "
        f"+{human_size(summary.bytes_added)} -{human_size(summary.bytes_removed)}"
    )


def file_lines(changes: Collection[FileChange]) -> Iterator[str]:
    """One line a path, and one for a file that moved; columns as wide as they have to be."""
    # Cells are made twice rather than kept: those of two large images take more than the images' entries.
    widths = [0, 0, 0]
    for change in changes:
        if change.moved_to is None:
            for i, cell in enumerate(_file_cells(change)):
                if widths[i] < len(cell) <= _CELL_WIDTH:  # a wider one pushes the rest of its own line alone
                    widths[i] = len(cell)
    steps: dict[str | None, str] = {}  # a layer's step is that of all its files
    for change in changes:
        if change.moved_to is None:
            path, what, layers = _file_cells(change)
            side = change.new or change.old
            made_by = side.created_by if side is not None else None
            if made_by not in steps:
                steps[made_by] = _step_of(side)
            yield f"{path:{widths[0]}}  {what:{widths[1]}}  {layers:{widths[2]}}  {steps[made_by]}".rstrip()


def _file_cells(change: FileChange) -> tuple[str, str, str]:
    path = escape_text(change.path)
    if change.moved_from is not None:
        path = f"{escape_text(change.moved_from)} -> {path}"
    letter = "R" if change.moved_from is not None else change.kind
    return f"{letter} {path}", describe_change(change), layer_span(change)


def layer_span(change: FileChange) -> str:
    """The layers that wrote the path, of the old and of the new image."""
    old, new = change.old, change.new
    if old is None or new is None:
        side = old or new
        return f"L{side.layer}" if side is not None else ""
    return f"L{old.layer} -> L{new.layer}"


def _step_of(side: Side | None) -> str:
    """The instruction that wrote a path."""
    return brief_step(side.created_by if side is not None else None, _STEP_WIDTH)


def describe_change(change: FileChange) -> str:
    """What differs, with both values where they are short; of a path that only one image has its size or type."""
    old, new = change.old, change.new
    if old is None or new is None:
        side = old or new
        if change.what or side is None:
            return ", ".join(change.what)
        return human_size(side.entry.size) if side.entry.type == "file" else side.entry.type
    return ", ".join(_describe(name, old.entry, new.entry) for name in change.what)


def _describe(name: str, old: Entry, new: Entry) -> str:
    if name == "xattrs":
        before, after = old.xattrs or {}, new.xattrs or {}
        keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return f"xattrs {' '.join(map(escape_text, keys))}"
    values = [_value_of(name, entry) for entry in (old, new)]
    return f"{name} {values[0]}" if values[0] == values[1] else f"{name} {values[0]} -> {values[1]}"


def _value_of(name: str, entry: Entry) -> str:
    match name:
        case "content":
            return human_size(entry.size)
        case "mode":
            return f"{entry.mode:04o}"
        case "owner":
            return f"{entry.uid}:{entry.gid}"
        case "mtime":
            return format_time(entry.mtime) if entry.mtime is not None else "-"
        case "link":
            return escape_text(entry.link or "")
        case "rdev":
            return ",".join(map(str, entry.rdev or ()))
    return entry.type


def _config_line(change: ConfigChange) -> str:
    key = escape_text(change.key)
    if change.old is None:
        return f"A {key}  {value_text(change.new)}".rstrip()
    if change.new is None:
        return f"D {key}  {value_text(change.old)}".rstrip()
    return f"C {key}  {value_text(change.old)} -> {value_text(change.new)}"


def value_text(value: object, mask: Callable[[str], str] = str) -> str:
    """A value of the configuration on one line, masked before it is cut; the empty object that stands behind ports is
    nothing.
    """
    if value in ({}, None):
        return ""
    return cut_line(mask(_spell_value(value)), _VALUE_WIDTH) if value != "" else '""'


def _spell_value(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return repr(value)  # a lone surrogate, or a number beyond 64 bits


def _history_lines(history: Sequence[HistoryChange]) -> Iterator[str]:
    """All steps, oldest first, as a diff shows lines, those that differ at length; nothing when none does."""
    differing = [change for change in history if change.kind != "="]
    sides = [
        {_brief_row(row) for row in rows if row is not None}
        for rows in ([change.old for change in differing], [change.new for change in differing])
    ]
    # Two builders put different things around one instruction: then that is what differs, and it is shown.
    show = _brief_row if sides[0].isdisjoint(sides[1]) else _whole_row
    for change in history if differing else ():
        if change.kind == "=" and change.new is not None:
            yield _step_line(" ", change.new, brief_step(change.new.step.created_by))
            continue
        for sign, row in (("-", change.old), ("+", change.new)):
            if row is not None:
                yield _step_line(sign, row, show(row))


def _brief_row(row: HistoryRow) -> str:
    return brief_step(row.step.created_by, _CHANGED_WIDTH)


def _whole_row(row: HistoryRow) -> str:
    return cut_line(row.step.created_by, _CHANGED_WIDTH)


def _step_line(sign: str, row: HistoryRow, step: str) -> str:
    layer = "" if row.layer is None else f"L{row.layer}"
    return f"{sign} {layer:4} {step}".rstrip()


def _layer_lines(layers: LayerShare) -> Iterator[str]:
    if not layers.old and not layers.new:
        return
    yield f"  {layers.common} in common"
    for sign, own in (("-", layers.old), ("+", layers.new)):
        for layer in own:
            yield f"{sign} {layer_text(layer)}"


def layer_text(layer: Layer) -> str:
    """A layer on one line: index, identity, stored size, instruction."""
    size = human_size(layer.size) if layer.size is not None else "-"
    identity = shorten(layer.diff_id or layer.digest)
    return f"L{layer.index:<3} {identity} {size:>8} {brief_step(layer.created_by)}".rstrip()
