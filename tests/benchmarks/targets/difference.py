"""`diff` of two images beside verifying what they do not share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.child import TARLAYERS, run, take_turns
from tests.benchmarks.targets.corpus import FORMS, Archive, Corpus, list_layers
from tests.benchmarks.targets.layerset import write_layers
from tests.benchmarks.targets.row import Row, Target, compare

TARGET = Target(1.3)


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    for form in FORMS:
        old, new = corpus.find("app-v1", form), corpus.find("app-v2", form)
        if old and new:
            yield measure(corpus, old, new, runs)


def measure(corpus: Corpus, old: Archive, new: Archive, runs: int) -> Row:
    unshared = write_layers(corpus.scratch / "unshared.tar", list(choose_unshared(old, new)))
    diff = [*TARLAYERS, "diff", "--no-cache", str(old.path), str(new.path)]
    verify = [*TARLAYERS, "verify", str(unshared)]
    pairs = take_turns(runs, lambda: run(diff), lambda: run(verify))
    unshared.unlink()
    return compare(f"`diff` of {old} and `{new.name}` against `verify` of the layers not shared", TARGET, pairs)


def choose_unshared(old: Archive, new: Archive) -> Iterator[tuple[Path, int]]:
    """The layers, by archive and number, that only one of the two has."""
    ids = [{layer["diff_id"] for layer in list_layers(archive.path)} for archive in (old, new)]
    for archive, others in ((old, ids[1]), (new, ids[0])):
        for number, layer in enumerate(list_layers(archive.path)):
            if layer["diff_id"] not in others:
                yield archive.path, number
