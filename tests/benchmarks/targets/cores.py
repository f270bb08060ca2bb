"""How much a second core helps `verify`, with one layer and with several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.child import TARLAYERS, run, take_turns
from tests.benchmarks.targets.corpus import Corpus, list_layers
from tests.benchmarks.targets.layerset import write_layers
from tests.benchmarks.targets.row import Row, compare


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        yield Row("`verify` on one core against two", "-", "there is one core", "-")
        return
    for archive in corpus.each("huge", "app-v1"):
        largest = max(list_layers(archive.path), key=lambda layer: layer["plain_size"])["index"]
        one = write_layers(corpus.scratch / "one-layer.tar", [(archive.path, largest)])
        yield measure(f"{archive}, its largest layer alone", one, cores, runs)
        one.unlink()
        yield measure(f"{archive}, all layers", archive.path, cores, runs)


def measure(what: str, path: Path, cores: list[int], runs: int) -> Row:
    words = [*TARLAYERS, "verify", str(path)]
    pairs = take_turns(runs, lambda: run(words, cores=cores[:1]), lambda: run(words, cores=cores[:2]))
    return compare(f"`verify` on one core against two, {what}", None, pairs)
