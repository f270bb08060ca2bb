"""Work on several things at a time. Hashing and decompression run outside the interpreter lock, so threads do help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def run_threads(work: Callable[[Item], object], items: Iterable[Item], *, workers: int) -> None:
    """Do the work on each item, `workers` at a time, in this order.

    What one of them raises is raised here at once, and so is Ctrl-C: what has not begun is dropped, and what has is not
    waited for (a layer of gigabytes takes its time).
    """
    pool = ThreadPoolExecutor(workers)
    try:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
