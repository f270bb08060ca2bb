"""`verify` beside the least that an archive's bytes can cost (limit.py)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.child import PYTHON, TARLAYERS, Cost, ask, run, take_turns
from tests.benchmarks.targets.corpus import Corpus, count_entries
from tests.benchmarks.targets.row import Row, Target, compare

BY_BYTES = Target(1.3)
BY_ENTRIES = Target(3, "us an entry beyond it")


def bound(path: Path) -> Cost:
    """The bound's seconds: elapsed with this machine's cores, and of processors."""
    return Cost(*ask([*PYTHON, "-m", "tests.benchmarks.limit", str(path)]))


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    for archive in corpus.each("app-v1", "huge", "manyfiles"):
        verify = partial(run, [*TARLAYERS, "verify", str(archive.path)])
        pairs = take_turns(runs, verify, partial(bound, archive.path))
        what = f"`verify` against the bound, {archive}"
        if archive.name in ("manyfiles", "small"):
            yield compare(what, BY_ENTRIES, pairs, partial(share, count_entries(archive.path)))
        else:
            yield compare(what, BY_BYTES, pairs)


def share(entries: int, ours: float, least: float) -> float:
    """Microseconds beyond the bound for each entry."""
    return (ours - least) / entries * 1e6
