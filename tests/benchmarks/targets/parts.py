"""What an entry costs: to index it, beside stdlib's tarfile, and to merge it. The collector is off for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.benchmarks.child import PYTHON, ask
from tests.benchmarks.targets.corpus import Archive, Corpus
from tests.benchmarks.targets.row import Row, Target, judge

CHEAPER = Target(5, least=True)
MERGE = Target(0.6, "us")


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    for archive in corpus.each("manyfiles", "app-v1", forms=("docker",)):
        yield from measure(archive, runs)


def measure(archive: Archive, runs: int) -> Iterator[Row]:
    rounds = [ask([*PYTHON, "-m", "tests.benchmarks.targets.entrycost", str(archive.path)]) for _ in range(runs)]
    each = {name: median(one[name] / one["entries"] for one in rounds) * 1e6 for name in rounds[0]}
    for way, ours, theirs in (("by hopping", "hop", "tarfile"), ("as a stream", "stream", "tarfile stream")):
        ratio = median(one[theirs] / one[ours] for one in rounds)
        note = f"{each[ours]:.2f} us against {each[theirs]:.2f} us of processor time"
        yield judge(f"index an entry {way} against `tarfile`, {archive}", CHEAPER, ratio, note=note)
    yield judge(f"merge an entry, {archive}", MERGE, each["merge"], note="processor time")
