"""The command line as its users see it: every golden run prints what it printed when somebody read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarlayers.cli.app import COMMANDS
from tests import golden


@pytest.mark.parametrize("path", golden.cases(), ids=lambda path: path.stem)
def test_prints_what_was_read(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert golden.run(case) == case, "if this is meant: make golden, and read the difference"


def test_every_command_has_a_golden_run_in_text_and_json() -> None:
    called = [json.loads(path.read_text(encoding="utf-8"))["args"] for path in golden.cases()]
    for name in COMMANDS:
        assert any(name in args and "json" not in args for args in called), name
        if name not in ("cat", "export", "extract", "index"):  # their answers are bytes and files
            assert any(name in args and "json" in args for args in called), name
