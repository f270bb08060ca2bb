"""Commands that read no layer, beside the import of typer, which is theirs too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.benchmarks.child import PYTHON, TARLAYERS, run, take_turns
from tests.benchmarks.targets.corpus import Corpus
from tests.benchmarks.targets.layerset import write_layers
from tests.benchmarks.targets.row import Row, Target, compare

TARGET = Target(2)
LEAST_RUNS = 15  # they are short, and so their noise is large


def rows(corpus: Corpus, runs: int) -> Iterator[Row]:
    tiny = write_layers(corpus.scratch / "empty.tar", [])
    paths = {"an archive without layers": tiny}
    paths |= {str(archive): archive.path for archive in corpus.each("huge", "manyfiles", forms=("docker", "oci-gzip"))}
    cases = {"`--help`": ["--help"]}
    for name, path in paths.items():
        cases[f"`inspect`, {name}"] = ["inspect", str(path)]
        cases[f"`history --no-size`, {name}"] = ["history", "--no-size", str(path)]
    for name, words in cases.items():
        ours, typer = partial(run, [*TARLAYERS, *words]), partial(run, [*PYTHON, "-c", "import typer"])
        pairs = take_turns(max(runs, LEAST_RUNS), ours, typer)
        yield compare(f"{name} against `import typer`", TARGET, pairs)
