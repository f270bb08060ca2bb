"""Floor 7: the command line. Open, ask, render, exit; the only floor that knows terminal and environment."""

from __future__ import annotations

import gc
import sys

from tarlayers.cli.app import build_app
from tarlayers.cli.outcome import run_app


def main() -> None:
    """Run the command line of this process."""
    # A run keeps what it makes, and makes no cycles: collecting among a million entries cost a fifth of its time.
    gc.disable()
    sys.exit(run_app(build_app(sys.argv[1:]), sys.argv[1:]))
