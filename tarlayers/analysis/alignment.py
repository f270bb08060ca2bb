"""Which items of two sequences stand for each other: what difflib finds, in bounded time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
MOST_PAIRS = 1 << 24  # of equal items: a second and a half. Two versions of dpkg's 16,500 lines have a thirteenth


class Alignment(SequenceMatcher[T]):
    """A SequenceMatcher that looks at a bounded number of pairs of equal items; what is left then has no partner.

    Each run that is found divides the rest, and all pairs are looked at again for each of the parts: for 20,000
    lines of a few kinds that takes hours.
    """

    def __init__(self, a: Sequence[T], b: Sequence[T], *, autojunk: bool = True) -> None:
        super().__init__(None, a, b, autojunk)
        places: Mapping[T, Sequence[int]] = self.b2j  # type: ignore[attr-defined] # documented, not in typeshed
        counts = {item: len(found) for item, found in places.items()}
        self._costs = [0, *accumulate(1 + counts.get(item, 0) for item in a)]
        """How many pairs the items of `a` before each have, and the items themselves."""
        self.left = MOST_PAIRS
        """How many pairs may still be looked at; less than none once it stopped."""

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        """Find the longest run inside a[alo:ahi] and b[blo:bhi]; an empty one when the bound is passed."""
        self.left -= self._costs[-1 if ahi is None else ahi] - self._costs[alo]
        return super().find_longest_match(alo, ahi, blo, bhi) if self.left >= 0 else Match(alo, blo, 0)
