"""Tables: aligned, and cut to a terminal's width where nothing is lost that somebody would copy."""

from __future__ import annotations

import pytest

from tarlayers.render.table import render_table

HEADER = ("SIZE", "PATH", "CREATED BY", "COMMENT")
ROWS = [("1B", "/" + "p" * 40, "RUN " + "x" * 60, "c" * 30), ("100kB", "/b", "RUN y", "")]


def test_columns_are_aligned() -> None:
    assert render_table(("N", "WHAT"), [("1", "a"), ("22", "")], align="><") == " N  WHAT\n 1  a\n22\n"


@pytest.mark.parametrize(("width", "step", "comment"), [(200, 64, 30), (140, 58, 30), (100, 24, 24), (40, 24, 12)])
def test_steps_are_cut_first_then_comments_and_nothing_else(width: int, step: int, comment: int) -> None:
    first = render_table(HEADER, ROWS, width=width).splitlines()[1]
    assert first == f"1B     {ROWS[0][1]}  {shortened(ROWS[0][2], step)}  {shortened(ROWS[0][3], comment)}"


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def test_a_pipe_has_everything() -> None:
    assert ROWS[0][2] in render_table(HEADER, ROWS)


def test_color_is_the_header_alone() -> None:
    lines = render_table(HEADER, ROWS, width=80, color=True).splitlines()
    assert lines[0].startswith("\x1b[1mSIZE") and "\x1b" not in "".join(lines[1:])
