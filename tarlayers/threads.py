"""Work on several things at a time. Hashing and decompression run outside the interpreter lock, so threads do help."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from threading import Event, Semaphore, Thread
from typing import TypeVar

Item = TypeVar("Item")
_AHEAD = 4  # items; more of them fill no gap, and leave the cache before they are used


def count_cores() -> int:
    """Give how many processors this process may use."""
    # macOS has no such call; what a container or taskset leaves of the processors only Linux tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_threads(work: Callable[[Item], object], items: Iterable[Item], *, workers: int) -> None:
    """Do the work on each item, `workers` at a time, in this order. ValueError for fewer than one.

    What one of them raises is raised here at once, and so is Ctrl-C: what has not begun is dropped, and what has is not
    waited for (a layer of gigabytes takes its time), not even when the process ends.
    """
    if workers < 1:
        raise ValueError(f"work takes at least one worker, not {workers}")
    # Not concurrent.futures, which brings logging along: together 3 ms, a twentieth of what starting costs.
    todo = deque(items)
    ended = Semaphore(0)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            while not raised:
                try:
                    item = todo.popleft()
                except IndexError:  # another thread took the last one
                    break
                work(item)
        except BaseException as error:  # noqa: BLE001 # it is raised where the threads are waited for
            raised.append(error)
        finally:
            ended.release()

    threads = [Thread(target=run, daemon=True) for _ in range(min(workers, len(todo)))]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            ended.acquire()
            if raised:
                raise raised[0]
    except BaseException as error:
        raised.append(error)
        raise


def run_ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield the items, which a thread of its own draws meanwhile, a few ahead.

    What drawing them raises is raised here, in its place. When nobody draws from here any more the thread ends at the
    next item.
    """
    from queue import Empty, Queue  # noqa: PLC0415 # for layers that are worth it

    ready: Queue[tuple[Item] | BaseException | None] = Queue(_AHEAD)
    closed = Event()

    def draw() -> None:
        try:
            for item in items:
                ready.put((item,))
                if closed.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # noqa: BLE001 # whatever it is, it is raised in the other thread
            ready.put(error)
        finally:
            if isinstance(items, Generator):
                items.close()  # without the interpreter's lock it would stay open until the other thread looks

    # A daemon: an interpreter that ends does not wait for whom nobody draws from.
    Thread(target=draw, daemon=True).start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        closed.set()
        try:
            while True:
                ready.get_nowait()
        except Empty:
            pass


def run_stage(work: Callable[[Iterator[Item]], Iterator[Item]], items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield what the work makes of the items, in a thread of its own, and draw the items in another.

    Both threads end when the generator is closed. That it is no longer used does not close it, while an error that came
    out of it is kept: the error's traceback has it.
    """
    return run_ahead(_work_on(work, items))


def _work_on(work: Callable[[Iterator[Item]], Iterator[Item]], items: Iterable[Item]) -> Iterator[Item]:
    with closing(run_ahead(items)) as drawn:
        yield from work(drawn)
