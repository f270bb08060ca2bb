"""Tables: drawn for a terminal, plain columns for a pipe. Cells are already escaped.

On a terminal only long words of a table (instructions, comments, paths) give way: numbers, times and digests are never
cut, however narrow it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

_GAP = 2  # blanks between columns
_LONG = 22  # characters: a left-aligned column that is wider has words in it, and can be narrower


def render_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: str = "",
    terminal: bool = False,
    width: int = 80,
    color: bool = False,
    cut: bool = False,
    spare: Collection[str] = (),
) -> str:
    """Give the table as text. `align` has one of `<` and `>` for each column.

    On a terminal long words are folded, or with `cut` end in an ellipsis, and the columns named in `spare` are left
    out, first ones first, while the table is too wide. A pipe gets all.
    """
    align = align.ljust(len(header), "<")
    if not terminal:
        return "\n".join(_plain_lines([header, *rows], align)) + "\n"
    kept = _fitting_columns(header, rows, align, width, spare)
    header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    return _rich_table(header, rows, "".join(align[i] for i in kept), width, color=color, cut=cut)


def _plain_lines(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(align))]
    return ["  ".join(f"{cell:{align[i]}{widths[i]}}" for i, cell in enumerate(row)).rstrip() for row in rows]


def _measure(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len  # noqa: PLC0415 # rich costs 30 ms; pipes never pay it

    return [max(cell_len(row[i]) for row in (header, *rows)) for i in range(len(header))]


def _fitting_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int, spare: Collection[str]
) -> list[int]:
    """The columns that are shown: the spare ones go while not even the least widths fit."""
    least = [min(size, _LONG) if align[i] == "<" else size for i, size in enumerate(_measure(header, rows))]
    kept = list(range(len(header)))
    for name in spare:
        if sum(least[i] for i in kept) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(list(header).index(name))
    return kept


def _share_widths(sizes: Sequence[int], align: str, width: int) -> list[int]:
    """The columns' widths: what is missing is taken from the widest long column, time and again."""
    shared = [min(size, max(width, _LONG)) if align[i] == "<" else size for i, size in enumerate(sizes)]
    missing = sum(shared) + _GAP * (len(shared) - 1) - width
    while missing > 0:
        widest = max(((size, i) for i, size in enumerate(shared) if align[i] == "<"), default=(0, 0))
        if widest[0] <= _LONG:
            break
        shared[widest[1]] -= 1
        missing -= 1
    return shared


def _rich_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int, *, color: bool, cut: bool
) -> str:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 # as above
    from rich.console import Console  # noqa: PLC0415 # as above
    from rich.table import Table  # noqa: PLC0415 # as above
    from rich.text import Text  # noqa: PLC0415 # as above

    widths = _share_widths(_measure(header, rows), align, width)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
        header_style="bold" if color else "",
    )
    for i, title in enumerate(header):
        table.add_column(
            title, justify="right" if align[i] == ">" else "left", width=widths[i],
            no_wrap=cut, overflow="ellipsis" if cut else "fold",
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # A terminal too narrow for what cannot be cut wraps the lines itself.
    console = Console(width=sum(widths) + _GAP * len(widths), no_color=not color, force_terminal=color, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip()) + "\n"
