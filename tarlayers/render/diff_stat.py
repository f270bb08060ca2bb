"""Where two images differ and by how much, as `git diff --stat` draws it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tarlayers.analysis.filediff import FileChange
from tarlayers.render.escape import escape_text
from tarlayers.render.values import human_size

_MOST_ROWS = 40
_DEEPEST = 12
_BAR = 30


class StatRow(NamedTuple):
    """A file, or all that differs below a directory."""

    label: str
    paths: int
    bytes_added: int
    bytes_removed: int


def group_changes(changes: Iterable[FileChange]) -> list[StatRow]:
    """Give a row for each file, or where there are more than 40 one for each directory of the greatest depth
    at which there are not; sorted by path.
    """
    counted = [(change.path, *_weigh(change)) for change in changes]
    if len(counted) <= _MOST_ROWS:
        return [StatRow(path, 1, added, removed) for path, added, removed in counted]
    for depth in range(_DEEPEST, 0, -1):
        labels = [_cut(path, depth) for path, _, _ in counted]
        if len(set(labels)) <= _MOST_ROWS:
            break
    rows: dict[str, StatRow] = {}
    for label, (_, added, removed) in zip(labels, counted, strict=True):
        row = rows.get(label, StatRow(label, 0, 0, 0))
        rows[label] = StatRow(label, row.paths + 1, row.bytes_added + added, row.bytes_removed + removed)
    return sorted(rows.values())


def _cut(path: str, depth: int) -> str:
    parts = path.split("/", depth + 1)
    return "/".join(parts[: depth + 1]) + ("/" if len(parts) > depth + 1 else "")


def _weigh(change: FileChange) -> tuple[int, int]:
    """The bytes of content that came and that went."""
    if change.kind == "C" and "content" not in change.what and "type" not in change.what:
        return 0, 0
    return change.new.entry.size if change.new else 0, change.old.entry.size if change.old else 0


def stat_lines(changes: Iterable[FileChange]) -> Iterator[str]:
    """One line a row: what, how many paths if any row has several, bytes that came and went, and a bar of both."""
    rows = group_changes(changes)
    if not rows:
        return
    counted = any(row.paths > 1 for row in rows)
    cells = [
        (
            escape_text(row.label),
            f" {row.paths}" if counted else "",
            signed_size("+", row.bytes_added),
            signed_size("-", row.bytes_removed),
        )
        for row in rows
    ]
    widths = [max(len(cell[i]) for cell in cells) for i in range(4)]
    most = max(row.bytes_added + row.bytes_removed for row in rows)
    for row, (label, paths, added, removed) in zip(rows, cells, strict=True):
        bar = _draw(row, most)
        line = f" {label:{widths[0]}} |{paths:>{widths[1]}} {added:>{widths[2]}} {removed:>{widths[3]}} {bar}"
        yield line.rstrip()


def signed_size(sign: str, size: int) -> str:
    """A size with its sign; nothing of nothing."""
    return f"{sign}{human_size(size)}" if size else ""


def _draw(row: StatRow, most: int) -> str:
    """A bar in proportion; whatever is not nothing has one sign at least."""
    return "".join(
        sign * max(1, round(size * _BAR / most)) if size else ""
        for sign, size in (("+", row.bytes_added), ("-", row.bytes_removed))
    )
