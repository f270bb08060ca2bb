"""What a verification finds: claims that are wrong, or that nobody can check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Finding(NamedTuple):
    """One claim that is wrong, or could not be checked."""

    code: str
    severity: str
    """`error`, `warning` or `note`."""
    place: str
    """Image, layer and blob, as far as they are known."""
    claimed: str | int | None
    computed: str | int | None
    message: str


class Checked(NamedTuple):
    """How much was compared: distinct blobs, how many of them are layers, and their stored bytes."""

    blobs: int
    layers: int
    bytes: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The answer of a verification."""

    ok: bool
    """No finding is an error."""
    checked: Checked
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes; within those in the order of the archive's documents."""
