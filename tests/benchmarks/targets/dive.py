"""`ls -R` and `waste` beside `dive --json`.

dive takes the layers of an OCI archive in an order that changes from run to run. Merging them in a wrong one can be
much cheaper: runs in which it was right have a row of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.child import PYTHON, TARLAYERS, Cost, ask, run
from tests.benchmarks.targets.corpus import Archive, Corpus, list_layers
from tests.benchmarks.targets.row import Row, Target, compare

TARGETS = {
    ("app-v1", "docker"): 20.0,
    ("app-v1", "oci-gzip"): 5.0,
    ("app-v1", "oci-zstd"): 4.0,
    ("huge", "docker"): 20.0,
    ("huge", "oci-gzip"): 2.5,
    ("hundred", "docker"): 2.0,
    ("hundred", "oci-gzip"): 2.0,
    ("hundred", "oci-zstd"): 2.0,
    ("manyfiles", "docker"): 50.0,  # the last, for their runs are long
    ("manyfiles", "oci-gzip"): 50.0,
    ("manyfiles", "oci-zstd"): 50.0,
}
COMMANDS = {"ls -R": ["ls", "-R"], "waste": ["waste"]}
AGAIN = ", a second time"
Round = tuple[dict[str, Cost], Cost, bool]


def rows(corpus: Corpus, runs: int, timeout: float) -> Iterator[Row]:
    if not shutil.which("dive"):
        yield Row("`ls -R`, `waste` against `dive --json`", "-", "dive is not installed", "-")
        return
    for (role, form), edge in TARGETS.items():
        archive = corpus.find(role, form)
        if archive:
            cache = corpus.scratch / "layer-cache"
            cache.mkdir()
            rounds = list(play(archive, runs, timeout, cache))
            shutil.rmtree(cache)
            for command in rounds[0][0]:
                yield from report(f"`{command}` against dive, {archive}", command, edge, rounds)


def play(archive: Archive, runs: int, timeout: float, cache: Path) -> Iterator[Round]:
    """Take turns with dive until its runs have taken the timeout in all. What is compressed is asked a second time,
    when its layers are in the cache.
    """
    spent = 0.0
    for _ in range(runs):
        ours = {}
        for name, words in COMMANDS.items():
            ours[name] = run([*TARLAYERS, *words, "--no-cache", str(archive.path)])
            if archive.form != "docker":
                run([*TARLAYERS, *words, str(archive.path)], cache=cache)
                ours[name + AGAIN] = run([*TARLAYERS, *words, str(archive.path)], cache=cache)
        theirs, right = run_dive(archive.path, timeout)
        yield ours, theirs, right
        spent += theirs.elapsed
        if spent >= timeout:
            return


def run_dive(path: Path, timeout: float) -> tuple[Cost, bool]:
    """What dive took, and whether it had the layers in order; that cannot be told of a run that was cut off."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "dive.json"
        cost = run(["dive", "--json", str(target), f"docker-archive://{path}"], timeout=timeout)
        if not cost.ended:
            return cost, True
        sizes = read_sizes(target)
    # Layers without content are left out: dive drops one whose blob it has met before.
    wanted = [layer["content_size"] for layer in list_layers(path)]
    return cost, [size for size in sizes if size] == [size for size in wanted if size]


def read_sizes(target: Path) -> list[int]:
    """The layers' sizes, in dive's order, read in a child: with the files the JSON may be of hundreds of megabytes."""
    script = "import json, sys; print([layer['sizeBytes'] for layer in json.load(open(sys.argv[1]))['layer']])"
    sizes: list[int] = ask([*PYTHON, "-c", script, str(target)])
    return sizes


def report(what: str, command: str, edge: float, rounds: Sequence[Round]) -> Iterator[Row]:
    """One row of all rounds, and one of those in which dive had the layers in order, if they are not the same."""
    in_order = [one for one in rounds if one[2]]
    target = Target(edge, least=True)
    if len(in_order) == len(rounds):
        yield compare_rounds(what, target, command, rounds)
        return
    wrong = len(rounds) - len(in_order)
    yield compare_rounds(f"{what}, its layers out of order in {wrong} of {len(rounds)} runs", target, command, rounds)
    if in_order:
        yield compare_rounds(f"{what}, its layers in order", target, command, in_order)


def compare_rounds(what: str, target: Target, command: str, rounds: Sequence[Round]) -> Row:
    pairs = [(ours[command], theirs) for ours, theirs, _ in rounds]
    sign = "" if all(theirs.ended for _, theirs in pairs) else ">= "
    return compare(what, target, pairs, lambda ours, theirs: theirs / ours, sign=sign)
