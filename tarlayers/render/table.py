"""Tables: plain columns, as docker and ps print them. Cells are already escaped."""

from __future__ import annotations

from collections.abc import Sequence

# What may be cut where a terminal is too narrow, in this order, and to how many characters at least. Nothing else
# is: a path or a digest that is cut cannot be copied, a size that is cut is wrong.
_SHRINKING = {"CREATED BY": 24, "HIDDEN BY": 16, "COMMENT": 12}
_BOLD = "\x1b[1m{}\x1b[0m"


def render_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: str = "",
    width: int | None = None,
    color: bool = False,
) -> str:
    """Give the table as text. `align` has one of `<` and `>` for each column. `width` is what a terminal has: build
    steps and comments are cut to fit it; lines may be longer all the same.
    """
    align = align.ljust(len(header), "<")
    if width is not None:
        rows = _fit(header, rows, width)
    lines = _plain_lines([header, *rows], align)
    if color:
        lines[0] = _BOLD.format(lines[0])
    return "\n".join(lines) + "\n"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _plain_lines(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    widths = _widths(rows)
    return ["  ".join(f"{cell:{align[i]}{widths[i]}}" for i, cell in enumerate(row)).rstrip() for row in rows]


def _fit(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[Sequence[str]]:
    """Cut the cells of columns that may be cut, as far as it takes."""
    widths = _widths([header, *rows])
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    room = list(widths)
    for title, least in _SHRINKING.items():
        if title in header and excess > 0:
            column = header.index(title)
            room[column] = min(widths[column], max(least, widths[column] - excess))
            excess -= widths[column] - room[column]
    return [[_cut(cell, most) for cell, most in zip(row, room, strict=True)] for row in rows]


def _cut(cell: str, most: int) -> str:
    return cell if len(cell) <= most else cell[: most - 1] + "…"
