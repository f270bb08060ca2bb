"""Floor 7: the command line. Open, ask, render, exit; the only floor that knows terminal and environment."""

from __future__ import annotations

import sys

from tarlayers.cli.app import build_app
from tarlayers.cli.outcome import run_app


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run_app(build_app(sys.argv[1:]), sys.argv[1:]))
