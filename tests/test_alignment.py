"""An alignment is difflib's, and stops where difflib would go on for hours."""

from __future__ import annotations

from difflib import SequenceMatcher, diff_bytes, unified_diff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.analysis import alignment
from tarlayers.analysis.alignment import Alignment
from tarlayers.analysis.diff import diff_histories
from tarlayers.analysis.patch import _diff_lines
from tarlayers.formats.documents import HistoryStep
from tarlayers.image import HistoryRow

LINES = st.lists(st.sampled_from([b"%d\n" % i for i in range(9)]), max_size=40)
SIZE = 400
OLD = [b"w\n" if i % 2 else b"old %d\n" % i for i in range(SIZE)]
NEW = [b"more\n", *(b"w\n" if i % 2 else b"new %d\n" % i for i in range(SIZE))]


@given(LINES, LINES)
def test_below_the_bound_it_is_what_difflib_finds(old: list[bytes], new: list[bytes]) -> None:
    for autojunk in (True, False):
        plain = SequenceMatcher(None, old, new, autojunk)
        assert Alignment(old, new, autojunk=autojunk).get_matching_blocks() == plain.get_matching_blocks()
    assert list(_diff_lines(old, new)) == list(diff_bytes(unified_diff, old, new))[2:]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs of equal items difflib may look at in each call, where 500,000 are allowed in all."""
    pairs: list[int] = []
    find = SequenceMatcher.find_longest_match

    def count(self: SequenceMatcher[bytes], alo: int, ahi: int, blo: int, bhi: int) -> object:
        pairs.append(sum(len(self.b2j.get(item, ())) for item in self.a[alo:ahi]))  # type: ignore[attr-defined]
        return find(self, alo, ahi, blo, bhi)

    monkeypatch.setattr(SequenceMatcher, "find_longest_match", count)
    monkeypatch.setattr(alignment, "MOST_PAIRS", 500_000)
    return pairs


def test_runs_are_looked_for_until_the_bound_is_passed(looked_at: list[int]) -> None:
    """Each of 200 equal lines is a run of its own, and all 40,000 pairs would be looked at for each."""
    blocks = Alignment(OLD, NEW, autojunk=False).get_matching_blocks()
    assert len(looked_at) > 1
    assert sum(looked_at) <= 500_000
    assert 1 < len(blocks) < SIZE // 2


def test_steps_without_a_partner_stand_alone(looked_at: list[int]) -> None:
    old, new = ([HistoryRow(HistoryStep(None, f"{line!r}", None, None, False), None) for line in s] for s in (OLD, NEW))
    steps = list(diff_histories(old, new))
    assert sum(looked_at) <= 500_000
    assert [step.old for step in steps if step.old] == old
    assert [step.new for step in steps if step.new] == new


def test_a_patch_beyond_the_bound_is_longer_and_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ([b"same\n"] * 3 + [b"%d\n" % (i * step % 97) for i in range(90)] for step in (1, 2))
    best = list(_diff_lines(old, new))
    monkeypatch.setattr(alignment, "MOST_PAIRS", 0)
    longer = list(_diff_lines(old, new))
    assert len(longer) > len(best)
    assert longer[0] == b"@@ -1,93 +1,93 @@\n"
    assert [line[1:] for line in longer[1:] if line[:1] in b" -"] == old
    assert [line[1:] for line in longer[1:] if line[:1] in b" +"] == new
