"""Floor 7: the command line. Open, ask, render, exit; the only floor that knows terminal and environment."""

from __future__ import annotations

import gc
import os
import sys

from tarlayers.cli.app import build_app
from tarlayers.cli.outcome import INTERRUPTED, run_app
from tarlayers.cli.words import spell_help


def main() -> None:
    """Run the command line of this process."""
    # A run keeps what it makes, and makes no cycles: collecting among a million entries cost a fifth of its time.
    gc.disable()
    arguments = spell_help(sys.argv[1:])
    code = run_app(build_app(arguments), arguments)
    if code == INTERRUPTED:
        os._exit(code)  # what threads are still reading is of no use, and sys.exit would wait for them
    sys.exit(code)
