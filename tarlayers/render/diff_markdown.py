"""What differs between two images, as a comment on a pull request: a table, and the details folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tarlayers.analysis.diff import ConfigChange, HistoryChange, ImageDiff
from tarlayers.analysis.filediff import FileChange
from tarlayers.image import Layer
from tarlayers.render.diff import describe_change, identical_line, layer_span, step_of, value_text
from tarlayers.render.diff_stat import group_changes, signed_size
from tarlayers.render.escape import escape_markdown, quote_markdown
from tarlayers.render.images import shorten
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size

_STEP_WIDTH = 200
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
        yield from _details("Files", ("path", "paths", "added", "removed"), rows)
    elif diff.files:
        files = [change for change in diff.files if change.moved_to is None]
        yield from _details("Files", ("", "path", "what", "layer", "instruction"), [*map(_file_cells, files)])
    if diff.config:
        yield from _details("Configuration", ("", "key", "old", "new"), [*map(_config_cells, diff.config)])
    if any(change.kind != "=" for change in diff.history):
        yield from _details("History", ("", "layer", "instruction"), [*_history_cells(diff.history)])
    if "layers" in diff.sections and (diff.layers.old or diff.layers.new):
        layers = [("old", *_layer_cells(layer)) for layer in diff.layers.old]
        layers += [("new", *_layer_cells(layer)) for layer in diff.layers.new]
        header = ("", "layer", "diff ID", "stored", "instruction")
        yield from _details(f"Layers that are not in common ({diff.layers.common} are)", header, layers)


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
        own = f"{len(diff.layers.old)} → {len(diff.layers.new)}, {diff.layers.common} in common"
        rows.append(("layers", own, ""))
    yield from _table(("", "count", "bytes"), rows)


def _file_cells(change: FileChange) -> tuple[str, ...]:
    path = quote_markdown(change.path)
    if change.moved_from is not None:
        path = f"{quote_markdown(change.moved_from)} → {path}"
    kind = _KINDS["R" if change.moved_from is not None else change.kind]
    what, layers = (text.replace(" -> ", " → ") for text in (describe_change(change), layer_span(change)))
    step = step_of(change.new or change.old)
    return kind, path, escape_markdown(what), escape_markdown(layers), quote_markdown(step)


def _config_cells(change: ConfigChange) -> tuple[str, ...]:
    kind = "A" if change.old is None else "D" if change.new is None else "C"
    texts = (change.key, value_text(change.old), value_text(change.new))
    return _KINDS[kind], *map(quote_markdown, texts)


def _history_cells(history: Sequence[HistoryChange]) -> Iterator[tuple[str, ...]]:
    for change in history:
        layers = [f"L{row.layer}" for row in (change.old, change.new) if row is not None and row.layer is not None]
        row = change.new or change.old
        step = brief_step(row.step.created_by if row else None, _STEP_WIDTH)
        yield _KINDS[change.kind], " → ".join(layers), quote_markdown(step)


def _layer_cells(layer: Layer) -> tuple[str, ...]:
    stored = human_size(layer.size) if layer.size is not None else "-"
    return (
        f"L{layer.index}",
        shorten(layer.diff_id or layer.digest),
        stored,
        quote_markdown(brief_step(layer.created_by)),
    )


def _details(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{title}: {len(rows)}</summary>"
    yield ""
    yield from _table(header, rows[:_MOST_ROWS])
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
