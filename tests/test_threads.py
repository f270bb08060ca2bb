"""Work on several things at a time, and how it ends."""

from __future__ import annotations

from threading import Event

import pytest

from tarlayers import cli
from tarlayers.cli import outcome
from tarlayers.threads import run_threads


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
