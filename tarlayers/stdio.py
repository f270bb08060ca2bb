"""Standard input and output, where a path is asked for."""

from __future__ import annotations

STANDARD = "-"
"""The path of standard input; where something is written, that of standard output."""

STANDARD_INPUT = "standard input"
"""What messages call it."""


def name_input(path: str) -> str:
    """Call what is read as messages do."""
    return STANDARD_INPUT if path == STANDARD else path
