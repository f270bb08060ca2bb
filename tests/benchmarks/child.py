"""A program that is run to be measured: what it took, as the kernel counted it.

The peak of memory that the kernel gives for a child is never less than what its parent had when it started it, so
whoever measures with this keeps small: images are built, and the lower bound is taken, in children too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable]
TARLAYERS = [*PYTHON, "-m", "tarlayers"]
ANSWERED = (0, 1)  # lint and diff end with 1 when they found something


class Cost(NamedTuple):
    """What one run took: seconds, seconds of all processors, bytes at the peak."""

    elapsed: float
    processor: float
    peak: int = 0
    ended: bool = True
    """False where it was cut off, which makes the seconds a lower bound."""


def environment() -> dict[str, str]:
    """Where modules are compiled once: without their bytecode half of a short command's time is the compiler's."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(
    words: Sequence[str],
    *,
    fed: Path | None = None,
    cache: Path | None = None,
    cores: Collection[int] = (),
    timeout: float | None = None,
) -> Cost:
    """Run a program to its end, or until the timeout; `fed` comes through a pipe, whose other end is not measured."""
    variables = environment() | ({"TARLAYERS_CACHE": str(cache)} if cache else {})
    with open_input(fed) as source, pinned(cores):
        began = time.perf_counter()
        child = subprocess.Popen(
            words, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=variables
        )
    guard = threading.Timer(timeout, child.kill) if timeout else None
    if guard:
        guard.start()
    _, status, usage = os.wait4(child.pid, 0)
    elapsed = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    cut = timeout is not None and elapsed >= timeout
    if guard:
        guard.cancel()
    if child.returncode not in ANSWERED and not cut:
        raise subprocess.CalledProcessError(child.returncode, words)
    return Cost(elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, not cut)


@contextmanager
def open_input(fed: Path | None) -> Iterator[int | IO[bytes]]:
    if fed is None:
        yield subprocess.DEVNULL
        return
    with subprocess.Popen(["cat", str(fed)], stdout=subprocess.PIPE) as feeder:
        assert feeder.stdout is not None
        with feeder.stdout as pipe:
            yield pipe


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Have what is started in here run on some cores only: a child inherits them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def ask(words: Sequence[str]) -> Any:
    """What a program prints as JSON."""
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment())
    return json.loads(done.stdout)


def take_turns(runs: int, *works: Callable[[], Cost]) -> list[tuple[Cost, ...]]:
    """Run each in turn, again and again, so that the machine's mood hits all of them alike."""
    return [tuple(work() for work in works) for _ in range(runs)]
