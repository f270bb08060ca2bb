"""A bar on standard error while much is being read; nothing in a pipe, nothing for short work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE = 0.5  # seconds that a user waits without wondering


@contextmanager
def watch_reading(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], object] | None]:
    """Give a function that hears of bytes as they are read; None where nobody would see the bar.

    `total` is how many bytes there are, None where nobody knows. The bar is gone when the block ends.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar(total)
    try:
        yield bar.advance
    finally:
        bar.close()


class _Bar:
    """Bytes read so far, drawn once the work has lasted long enough."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._read = 0
        self._start = time.monotonic()
        self._drawn: Progress | None = None
        self._lock = Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._read += count
            if self._drawn is None and time.monotonic() - self._start > _PATIENCE:
                self._draw()
            if self._drawn is not None:
                self._drawn.update(self._drawn.task_ids[0], completed=self._read)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._drawn = Progress(*columns, console=Console(stderr=True), transient=True)
        self._drawn.add_task("", total=self._total)
        self._drawn.start()

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
