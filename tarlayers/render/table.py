"""Tables: drawn for a terminal, plain columns for a pipe. Cells are already escaped."""

from __future__ import annotations

from collections.abc import Sequence


def render_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: str = "",
    terminal: bool = False,
    width: int = 80,
    color: bool = False,
) -> str:
    """Give the table as text. `align` has one of `<` and `>` for each column."""
    align = align.ljust(len(header), "<")
    if terminal:
        return _rich_table(header, rows, align, width, color=color)
    return "\n".join(_plain_lines([header, *rows], align)) + "\n"


def _plain_lines(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(align))]
    return ["  ".join(f"{cell:{align[i]}{widths[i]}}" for i, cell in enumerate(row)).rstrip() for row in rows]


def _rich_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int, *, color: bool) -> str:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 # rich costs 30 ms; pipes never pay it
    from rich.console import Console  # noqa: PLC0415 # as above
    from rich.table import Table  # noqa: PLC0415 # as above
    from rich.text import Text  # noqa: PLC0415 # as above

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold" if color else "")
    for i, title in enumerate(header):
        last = i == len(header) - 1
        table.add_column(title, justify="right" if align[i] == ">" else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(width=width, no_color=not color, force_terminal=color, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip()) + "\n"
