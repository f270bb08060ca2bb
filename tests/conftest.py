"""What several test modules share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.run import run as run_command

# The same examples in every run, so that a change is judged by what it changes. How long a machine takes to make
# them says nothing about the code.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test reads must not be what another, or the user, kept; nor is it a job of GitHub that we check in."""
    monkeypatch.setenv("TARLAYERS_CACHE", "")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)


@pytest.fixture
def run() -> Callable[..., bytes]:
    """Run the command line; give what it printed. It must succeed."""

    def run(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
        ran = run_command(*arguments, stdin=stdin or b"")
        assert ran.code == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture(scope="session", autouse=True)
def heed_signals() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and nohup with hanging up; programs that tests
    start would inherit that.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
