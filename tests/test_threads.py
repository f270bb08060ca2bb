"""Work on several things at a time, and how it ends."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event

import pytest
import zstandard

from tarlayers import cli
from tarlayers.cli import outcome
from tarlayers.errors import TarlayersError
from tarlayers.layer import index_layer, scan_layer
from tarlayers.threads import run_ahead, run_threads
from tests.build import END, directory, file, member_blocks


def test_does_the_work_on_each_item() -> None:
    done: list[int] = []
    run_threads(done.append, range(20), workers=3)
    assert sorted(done) == list(range(20))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_does_not_wait_for_the_others_when_one_fails(error: type[BaseException]) -> None:
    release, begun = Event(), []

    def work(item: int) -> None:
        if item == 0:
            raise error
        begun.append(item)
        assert release.wait(60)

    with pytest.raises(error):
        run_threads(work, range(100), workers=2)
    assert not release.is_set()
    release.set()
    assert len(begun) < 50  # the rest was dropped


def test_running_ahead_gives_what_there_is_and_then_what_is_wrong() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise ValueError("at the end")

    assert list(run_ahead(iter(()))) == []
    assert list(run_ahead(range(100))) == list(range(100))
    found: list[int] = []
    with pytest.raises(ValueError, match="at the end"):
        found.extend(run_ahead(items()))
    assert found == list(range(100))


def test_running_ahead_is_bounded_and_ends_when_nobody_draws() -> None:
    drawn, ended = [], Event()

    def items() -> Iterator[int]:
        try:
            for item in range(10**9):
                drawn.append(item)
                yield item
        finally:
            ended.set()

    ahead = run_ahead(items())
    assert next(ahead) == 0
    ahead.close()
    assert ended.wait(60)
    assert len(drawn) < 20


LAYER = member_blocks(file("etc/data", bytes(range(256)) * 4000)) + member_blocks(directory("srv")) + END
PACKED = {"gzip": gzip.compress(LAYER), "zstd": zstandard.ZstdCompressor().compress(LAYER), "none": LAYER}


@pytest.mark.parametrize("cut", [0, 1, 100, 600], ids=lambda cut: f"cut by {cut}")
@pytest.mark.parametrize("compression", PACKED)
def test_stages_beside_each_other_say_what_one_after_the_other_does(compression: str, cut: int) -> None:
    blob = PACKED[compression]
    chunks = [blob[i : i + 1000] for i in range(0, len(blob) - cut, 1000)]

    def told(read: Callable[[], object]) -> object:
        try:
            return read()
        except TarlayersError as error:
            return type(error), str(error)

    assert told(lambda: scan_layer(chunks, ahead=True)) == told(lambda: scan_layer(chunks))
    for hashed in (False, True):
        alone, beside = (partial(index_layer, chunks, hashed=hashed, ahead=ahead) for ahead in (False, True))
        assert told(beside) == told(alone)


def test_an_interrupted_run_ends_the_process_without_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(Exception):
        pass

    def leave(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(outcome, "run_app", lambda *_: outcome.INTERRUPTED)
    monkeypatch.setattr(outcome, "heed_signals", lambda: None)
    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr("gc.disable", lambda: None)
    with pytest.raises(Ended, match="130"):
        cli.main()
