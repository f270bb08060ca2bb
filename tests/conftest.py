"""What several test modules share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import ROOT


@pytest.fixture
def run() -> Callable[..., bytes]:
    """Run the command line; give what it printed. It must succeed."""

    def run(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
        command = [sys.executable, "-m", "tarlayers", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run
