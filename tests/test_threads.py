"""Work on several things at a time, and how it ends."""

from __future__ import annotations

import gc
import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from threading import Event
from threading import enumerate as enumerate_threads
from weakref import ref

import pytest
import zstandard

from tarlayers import cli, open_images
from tarlayers.analysis.verify import verify_archive
from tarlayers.cli import outcome
from tarlayers.errors import TarlayersError
from tarlayers.layer import index_layer, scan_layer
from tarlayers.threads import run_ahead, run_threads
from tests.build import END, archive, directory, file, image, member_blocks


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


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_error_that_is_kept_keeps_no_thread(compression: str) -> None:
    pack = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[compression]
    bad = pack(member_blocks(file("a")) + b"garbage!" * 64 + Random(1).randbytes(8 << 20))
    chunks = [bad[at : at + (1 << 16)] for at in range(0, len(bad), 1 << 16)]
    before = set(enumerate_threads())
    for read in (scan_layer, partial(index_layer, hashed=False)):
        with pytest.raises(TarlayersError) as caught:
            read(chunks, ahead=True)
        for thread in set(enumerate_threads()) - before:
            thread.join(30)
        assert set(enumerate_threads()) == before, caught


def test_verifying_keeps_nothing_open(tmp_path: Path) -> None:
    bad = member_blocks(file("a")) + b"garbage!" * 64
    (tmp_path / "bad.tar").write_bytes(archive("oci-gzip", image(bad)))
    gc.collect()
    gc.disable()
    try:
        opened = open_images(tmp_path / "bad.tar")
        gone = ref(opened.store)
        report = verify_archive(opened)
        del opened
        assert not report.ok
        assert gone() is None
    finally:
        gc.enable()


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
