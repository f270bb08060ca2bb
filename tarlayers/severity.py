"""How bad it is what `lint`, `verify` and a policy find."""

from __future__ import annotations

SEVERITIES = ("error", "warning", "note")
"""The worst first."""


def rank(severity: str) -> int:
    """Give what findings are sorted by, the worst first."""
    return SEVERITIES.index(severity)


def as_bad_as(severity: str) -> tuple[str, ...]:
    """Give a severity and all that are worse."""
    return SEVERITIES[: rank(severity) + 1]
