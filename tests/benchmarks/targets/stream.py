"""One pass over standard input beside the same archive as a file, both on one core.

What feeds the pipe is not counted, and runs where it likes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.child import TARLAYERS, run, take_turns
from tests.benchmarks.targets.corpus import Corpus
from tests.benchmarks.targets.row import Row, Target, compare

TARGET = Target(1.3)
COMMANDS = (["verify"], ["ls", "-R", "--no-cache"])


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    core = [min(os.sched_getaffinity(0))]
    for archive in corpus.each("app-v1", "hundred", "manyfiles"):
        for words in COMMANDS:
            streamed = partial(run, [*TARLAYERS, *words, "-"], fed=archive.path, cores=core)
            from_file = partial(run, [*TARLAYERS, *words, str(archive.path)], cores=core)
            pairs = take_turns(runs, streamed, from_file)
            # A listing of a plain file hops over contents, which a stream cannot: no target for that.
            hops = words != ["verify"] and archive.form == "docker"
            yield compare(
                f"`{' '.join(words)}` of a stream against the file, {archive}", None if hops else TARGET, pairs
            )
