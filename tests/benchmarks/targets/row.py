"""A row of the table: what was measured, what was wanted, and whether it is so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple

from tests.benchmarks.child import Cost

HEAD = "| what | target | measured | met | medians |\n|---|---|---|---|---|"
Pair = tuple[Cost, ...]


class Target(NamedTuple):
    """A bound for one number."""

    edge: float
    unit: str = "x"
    least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.edge if self.least else value <= self.edge

    def __str__(self) -> str:
        return f"at {'least' if self.least else 'most'} {self.edge:.4g} {self.unit}"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    target: str
    measured: str
    met: str
    medians: str = ""

    def __str__(self) -> str:
        return f"| {' | '.join(self)} |"


def judge(
    what: str, target: Target | None, elapsed: float, processor: float | None = None, *, note: str = "", sign: str = ""
) -> Row:
    """Hold a number to its target: elapsed time decides, processor time says whether the machine was only busy.

    A sign before the number (of a run that was cut off) says that it is a bound, which cannot show a target missed.
    """
    measured = f"{sign}{elapsed:.3g}"
    if processor is not None:
        measured += f" (processor {sign}{processor:.3g})"
    if target is None:
        return Row(what, "-", measured, "-", note)
    met = "yes" if target.is_met(elapsed) else "not known" if sign else "**no**"
    if met == "**no**" and processor is not None and target.is_met(processor):
        met = "by processor time"
    return Row(what, str(target), measured, met, note)


def compare(
    what: str,
    target: Target | None,
    pairs: Sequence[Pair],
    by: Callable[[float, float], float] = lambda ours, theirs: ours / theirs,
    *,
    sign: str = "",
) -> Row:
    """The median, over the pairs, of what `by` makes of ours and theirs."""
    elapsed = median(by(ours.elapsed, theirs.elapsed) for ours, theirs in pairs)
    processor = median(by(ours.processor, theirs.processor) for ours, theirs in pairs)
    return judge(what, target, elapsed, processor, note=describe(pairs), sign=sign)


def describe(pairs: Sequence[Pair]) -> str:
    """Median seconds, elapsed and of processors, of each of those that took turns; and the peaks of memory."""
    return " against ".join(describe_runs(runs) for runs in zip(*pairs, strict=True))


def describe_runs(runs: Iterable[Cost]) -> str:
    costs = list(runs)
    text = f"{median(cost.elapsed for cost in costs):.3g} s ({median(cost.processor for cost in costs):.3g})"
    peak = max(cost.peak for cost in costs)
    return f"{text}, {peak / 1e6:.0f} MB" if peak else text
