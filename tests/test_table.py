"""Tables on a terminal: what may give way, and what must never be cut."""

from __future__ import annotations

import pytest

from tarlayers.render.table import render_table

HEADER = ("LAYER", "DIFF ID", "SIZE", "ENTRIES", "CREATED BY")
ALIGN = "><>><"
INSTRUCTION = "/bin/sh -c apt-get update && apt-get install -y python3 && rm -rf /var/lib/apt/lists"
ROWS = [
    ("0", "sha256:fcad304a1b33", "28.2MB", "12345", INSTRUCTION),
    ("10", "sha256:3335525104bf", "512B", "7", "COPY . /srv"),
]


def draw(width: int, **how: object) -> list[str]:
    return render_table(HEADER, ROWS, align=ALIGN, terminal=True, width=width, **how).splitlines()  # type: ignore[arg-type] # a table of options


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("width", [1, 40, 60, 80, 120, 300])
def test_numbers_and_digests_are_whole_on_every_terminal(width: int, cut: bool) -> None:
    text = "\n".join(draw(width, cut=cut))
    for row in ROWS:
        assert all(cell in text for cell in row[1:4])


@pytest.mark.parametrize("width", [70, 80, 100])
def test_fits_where_the_long_words_can_give_way(width: int) -> None:
    for cut in (True, False):
        assert max(map(len, draw(width, cut=cut))) <= width


def test_folds_long_words_whole_or_cuts_them_with_an_ellipsis() -> None:
    folded, short = draw(80), draw(80, cut=True)
    assert len(short) == 4
    assert short[2].endswith("…")
    words = [word for line in folded[2:] for word in line.split()]
    assert [word for word in INSTRUCTION.split() if word not in words] == []


def test_spare_columns_go_first_and_only_where_it_is_narrow() -> None:
    assert "ENTRIES" in draw(80, cut=True, spare=["ENTRIES"])[0]
    assert "ENTRIES" not in draw(62, cut=True, spare=["ENTRIES"])[0]
    assert "ENTRIES" in render_table(HEADER, ROWS, align=ALIGN, width=20, spare=["ENTRIES"])


def test_wide_letters_take_two_columns() -> None:
    lines = render_table(("PATH", "SIZE"), [("\u5c42" * 5, "1B"), ("x", "2B")], terminal=True).splitlines()
    assert lines[2].index("1B") + 5 == lines[3].index("2B")


def test_colours_only_where_they_are_wanted() -> None:
    assert not any("\x1b" in line for line in draw(80))
    assert any("\x1b[1m" in line for line in draw(80, color=True))
