"""Floor 7: the command line. Open, ask, render, exit; the only floor that knows terminal and environment."""

from __future__ import annotations

import gc
import os
import sys

_SWITCH_SECONDS = 0.0001


def main() -> None:
    """Run the command line of this process, and end it."""
    # A run keeps what it makes, and makes no cycles: collecting among a million entries cost a fifth of its time.
    gc.disable()
    # Threads that hash hold the interpreter for microseconds and then wait for one that decodes headers, by default up
    # to 5 ms: verify of an image of small files took a tenth longer.
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        code = _run(sys.argv[1:])
    except BaseException as error:  # a signal while modules are imported, or after the call is through
        if isinstance(error, Exception | SystemExit):
            raise
        code = 128 + getattr(error, "number", 2)
    # The interpreter collects once more as it ends, whatever is disabled: a tenth of a short command, for nothing.
    gc.freeze()
    if code > 128:
        # Threads that still read a layer are not waited for; what is half done has been undone.
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    from tarlayers.cli.app import build_app
    from tarlayers.cli.outcome import buffer_output, heed_signals, replace_closed_streams, run_app, stop_waking
    from tarlayers.cli.words import spell_help

    heed_signals()
    replace_closed_streams()
    buffer_output()
    arguments = spell_help(arguments)
    try:
        return run_app(build_app(arguments), arguments)
    finally:
        stop_waking()
