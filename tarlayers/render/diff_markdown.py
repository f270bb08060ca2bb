"""What differs between two images, as a comment on a pull request: a table, and the details folded.

Others read it than those who have the images, so values that look like secrets are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from tarlayers.analysis.diff import ConfigChange, HistoryChange, ImageDiff
from tarlayers.analysis.filediff import FileChange
from tarlayers.formats.secrets import mask_text
from tarlayers.image import Layer
from tarlayers.render.diff import describe_change, identical_line, layer_span, value_text
from tarlayers.render.diff_stat import group_changes, signed_size
from tarlayers.render.escape import escape_markdown, quote_markdown
from tarlayers.render.images import shorten
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size

Item = TypeVar("Item")
_HISTORY_WIDTH, _LAYER_STEP_WIDTH, _FILE_STEP_WIDTH = 200, 72, 48
_MOST_ROWS = 200  # GitHub cuts a comment off at 65 536 characters
_KINDS = {"A": "added", "C": "changed", "D": "deleted", "R": "moved", "=": ""}


def markdown_lines(diff: ImageDiff, old: str, new: str, *, stat: bool = False) -> Iterator[str]:
    """The whole comment; `old` and `new` are what the images are called. With `stat` files are summed up."""
    yield f"### {quote_markdown(old)} → {quote_markdown(new)}"
    yield ""
    if diff.identical:
        yield escape_markdown(identical_line(diff))
        return
    yield from _summary(diff)
    if diff.files and stat:
        rows = [
            (
                quote_markdown(row.label),
                str(row.paths),
                signed_size("+", row.bytes_added),
                signed_size("-", row.bytes_removed),
            )
            for row in group_changes(diff.files)
        ]
        yield from _details("Files", ("path", "paths", "added", "removed"), rows, lambda row: row)
    elif diff.files:
        files = [change for change in diff.files if change.moved_to is None]
        yield from _details("Files", ("", "path", "what", "layer", "instruction"), files, _file_cells)
    if diff.config:
        yield from _details("Configuration", ("", "key", "old", "new"), diff.config, _config_cells)
    if any(change.kind != "=" for change in diff.history):
        yield from _details("History", ("", "layer", "instruction"), diff.history, _history_cells)
    if "layers" in diff.sections and (diff.layers.old or diff.layers.new):
        layers = [("old", layer) for layer in diff.layers.old] + [("new", layer) for layer in diff.layers.new]
        header = ("", "layer", "diff ID", "stored", "instruction")
        title = f"Layers that are not in common ({diff.layers.common} are)"
        yield from _details(title, header, layers, lambda row: (row[0], *_layer_cells(row[1])))


def _summary(diff: ImageDiff) -> Iterator[str]:
    summary = diff.summary
    rows: list[tuple[str, str, str]] = []
    if "files" in diff.sections:
        rows += [
            ("files added", str(summary.added), signed_size("+", summary.bytes_added)),
            ("files changed", str(summary.changed), ""),
            ("files deleted", str(summary.deleted), signed_size("-", summary.bytes_removed)),
            ("files moved", str(summary.moved), ""),
        ]
    if "config" in diff.sections:
        rows.append(("configuration keys", str(len(diff.config)), ""))
    if "history" in diff.sections:
        rows.append(("build steps", str(sum(change.kind != "=" for change in diff.history)), ""))
    if "layers" in diff.sections:
        common = diff.layers.common
        old, new = (common + len(own) for own in (diff.layers.old, diff.layers.new))
        rows.append(("layers", f"{old} → {new}, {common} in common", ""))
    yield from _table(("", "count", "bytes"), rows)


def _file_cells(change: FileChange) -> tuple[str, ...]:
    path = quote_markdown(change.path)
    if change.moved_from is not None:
        path = f"{quote_markdown(change.moved_from)} → {path}"
    kind = _KINDS["R" if change.moved_from is not None else change.kind]
    what, layers = (text.replace(" -> ", " → ") for text in (describe_change(change), layer_span(change)))
    side = change.new or change.old
    step = _step_cell(side.created_by if side is not None else None, _FILE_STEP_WIDTH)
    return kind, path, escape_markdown(what), escape_markdown(layers), step


def _config_cells(change: ConfigChange) -> tuple[str, ...]:
    kind = "A" if change.old is None else "D" if change.new is None else "C"
    name = f"{change.key.rpartition('.')[2]}="  # which may say that the value is a secret

    def mask(value: str) -> str:
        return mask_text(name + value).removeprefix(name)

    texts = (change.key, value_text(change.old, mask), value_text(change.new, mask))
    return _KINDS[kind], *map(quote_markdown, texts)


def _history_cells(change: HistoryChange) -> tuple[str, ...]:
    layers = [f"L{row.layer}" for row in (change.old, change.new) if row is not None and row.layer is not None]
    row = change.new or change.old
    return _KINDS[change.kind], " → ".join(layers), _step_cell(row.step.created_by if row else None, _HISTORY_WIDTH)


def _layer_cells(layer: Layer) -> tuple[str, ...]:
    stored = human_size(layer.size) if layer.size is not None else "-"
    return (
        f"L{layer.index}",
        shorten(layer.diff_id or layer.digest),
        stored,
        _step_cell(layer.created_by, _LAYER_STEP_WIDTH),
    )


def _step_cell(step: str | None, width: int) -> str:
    return quote_markdown(brief_step(None if step is None else mask_text(step), width))


def _details(
    title: str, header: Sequence[str], rows: Sequence[Item], cells: Callable[[Item], Sequence[str]]
) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{title}: {len(rows)}</summary>"
    yield ""
    yield from _table(header, map(cells, rows[:_MOST_ROWS]))
    if len(rows) > _MOST_ROWS:
        yield ""
        yield f"… and {len(rows) - _MOST_ROWS} more."
    yield ""
    yield "</details>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
