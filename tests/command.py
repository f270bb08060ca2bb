"""Runs the command line as users do: a process, its exit code and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from tests.paths import ROOT


class Run(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(*args: object, stdin: bytes = b"") -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "tarlayers", *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "COLUMNS": "200", "NO_COLOR": "1"},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())
