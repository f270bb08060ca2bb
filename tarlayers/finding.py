"""What `verify` finds: its codes, which never change their meaning, and one finding. docs/findings.md explains each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

SEVERITIES = {
    "V001": "error",  # digest of a blob
    "V002": "error",  # size of a blob
    "V003": "error",  # diff ID of a layer
    "V004": "error",  # as many layers as diff IDs
    "V005": "error",  # a layer that cannot be read
    "V006": "error",  # a layer member that manifest.json lists and the archive lacks
    "V007": "error",  # digest of a table of contents
    "V008": "error",  # a table of contents against its layer
    "V009": "warning",  # history steps against layers
    "V010": "warning",  # manifest.json against index.json
    "V011": "warning",  # a media type against the bytes
    "V012": "warning",  # bytes after the end of a layer
    "V013": "note",  # an absent blob
    "V014": "note",  # content that cannot be read: foreign, encrypted, a file system image
    "V015": "note",  # a digest algorithm that is not computed
    "V016": "note",  # layers without a diff ID to check
    "V017": "warning",  # several members of one name
    "V018": "note",  # a table of contents that cannot be compared
    "V019": "note",  # an index, which has no contents to hash
    "V024": "warning",  # a document that has a key twice
    "V025": "warning",  # the index's platform against the configuration's
    "V026": "warning",  # what a descriptor embeds against its digest
    "V027": "error",  # images of one name, none of which has all its blobs
    "V028": "error",  # an oci-layout that readers refuse
}
"""Every code and its severity."""

RANK = {"error": 0, "warning": 1, "note": 2}
"""Of each severity, the worst first."""


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


def make_finding(code: str, severity: str, place: str, claimed: object, computed: object, message: str) -> Finding:
    """Make a finding; what is neither a number nor nothing, as a digest, is told as text."""
    return Finding(code, severity, place, _plain(claimed), _plain(computed), message)


def _plain(value: object) -> str | int | None:
    return value if isinstance(value, int) or value is None else str(value)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the worst first, what is said of one place together, and drop what is said twice."""
    distinct = dict.fromkeys(findings)
    order = {place: i for i, place in enumerate(dict.fromkeys(finding.place for finding in distinct))}
    return tuple(sorted(distinct, key=lambda finding: (RANK[finding.severity], order[finding.place])))


class Checked(NamedTuple):
    """How much was compared: distinct blobs, how many of them are layers, and their stored bytes."""

    blobs: int
    layers: int
    bytes: int


class CheckedBlob(NamedTuple):
    """One blob that was read."""

    blob: str
    """Its name in the archive; empty for a bare layer."""
    place: str
    """Which image uses it as what, or what else names it; empty where nothing does."""
    size: int
    ok: bool
    """No finding about it is an error."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The answer of a verification."""

    ok: bool
    """No finding is an error."""
    checked: Checked
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes; within those by place, in the order of the archive's documents."""
    blobs: tuple[CheckedBlob, ...]
    """Every blob that was read, image by image, then the others."""
