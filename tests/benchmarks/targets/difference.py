"""`diff` of two images beside verifying what they do not share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.child import TARLAYERS, Cost, run, take_turns
from tests.benchmarks.targets.corpus import FORMS, Archive, Corpus, list_layers
from tests.benchmarks.targets.layerset import write_layers
from tests.benchmarks.targets.row import Row, Target, compare

TARGET = Target(1.3)


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    for form in FORMS:
        old, new = corpus.find("app-v1", form), corpus.find("app-v2", form)
        if old and new:
            yield from measure(corpus, old, new, runs)


def measure(corpus: Corpus, old: Archive, new: Archive, runs: int) -> Iterator[Row]:
    unshared = write_layers(corpus.scratch / "unshared.tar", list(choose_unshared(old, new)))
    verify = partial(run, [*TARLAYERS, "verify", str(unshared)])
    what = f"`diff` of {old} and `{new.name}` against `verify` of the layers not shared"
    uncached = partial(run, [*TARLAYERS, "diff", "--no-cache", str(old.path), str(new.path)])
    yield compare(what, TARGET, take_turns(runs, uncached, verify))
    if old.form != "docker":  # nothing is kept of layers that are stored plain
        filled = corpus.scratch / "filled-cache"
        filled.mkdir()  # of small layers nothing is kept
        run([*TARLAYERS, "ls", "-R", "--digests", str(old.path)], cache=filled)
        cached = partial(diff_cached, old, new, filled, corpus.scratch / "cache")
        yield compare(f"{what}, the older one in the cache", TARGET, take_turns(runs, cached, verify))
        run([*TARLAYERS, "diff", str(old.path), str(new.path)], cache=filled)
        again = partial(run, [*TARLAYERS, "diff", str(old.path), str(new.path)], cache=filled)
        yield compare(f"{what}, a second time", TARGET, take_turns(runs, again, verify))
        shutil.rmtree(filled)
    unshared.unlink()


def diff_cached(old: Archive, new: Archive, filled: Path, cache: Path) -> Cost:
    """What it takes with a cache as `filled` is, which does not change."""
    shutil.copytree(filled, cache, symlinks=True)  # which say where the blobs were hashed
    cost = run([*TARLAYERS, "diff", str(old.path), str(new.path)], cache=cache)
    shutil.rmtree(cache)
    return cost


def choose_unshared(old: Archive, new: Archive) -> Iterator[tuple[Path, int]]:
    """The layers, by archive and number, that only one of the two has."""
    ids = [{layer["diff_id"] for layer in list_layers(archive.path)} for archive in (old, new)]
    for archive, others in ((old, ids[1]), (new, ids[0])):
        for number, layer in enumerate(list_layers(archive.path)):
            if layer["diff_id"] not in others:
                yield archive.path, number
