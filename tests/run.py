"""Runs the command line in this process, as a shell would."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tarlayers.cli.app import build_app
from tarlayers.cli.outcome import run_app


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
    words = [str(word) for word in arguments]
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", write_through=True))
        code = run_app(build_app(words), words)
        return Ran(code, out.getvalue(), err.getvalue().decode())
