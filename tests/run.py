"""Runs the command line as users do: a process, its exit code and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.paths import ROOT


class Ran(NamedTuple):
    """How a run ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def json(self) -> Any:
        assert self.code in (0, 1), self.stderr
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        return self.stdout.decode().splitlines()


def run(*arguments: str | Path, stdin: bytes = b"") -> Ran:
    """Run `tarlayers` with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", "tarlayers", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "NO_COLOR": "1"},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())
