"""What `verify` finds: its codes, which never change their meaning, and one finding. docs/findings.md,
docs/findings-data-roots.md and docs/tar-split.md explain each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.severity import rank

CODES: Mapping[str, str] = {
    # of archives
    "V001": "error",  # digest of a blob, or of a data root's document
    "V002": "error",  # size of a blob, or of a data root's document
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
    "V029": "error",  # a document that engines do not parse
    # of contents against tar-split records
    "V020": "error",  # a content that is missing
    "V021": "error",  # size of a content
    "V022": "error",  # CRC-64 of a content
    "V023": "note",  # a sparse file without its map
    # of data roots
    "V101": "error",  # a file that is not what the layer had
    "V102": "error",  # a file that the layer had and that is gone
    "V103": "error",  # a file that the layer never had
    "V104": "error",  # chain ID of a layer
    "V105": "error",  # recorded size of a layer
    "V106": "error",  # a description that cannot be read
    "V107": "error",  # a layer that the root names and lacks
    "V108": "warning",  # mode or owner of a file
    "V109": "note",  # a layer whose files, or headers, the copy lacks
    "V110": "note",  # what the copy has lost
}
"""Every code and its severity."""


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


def make_finding(code: str, place: str, claimed: object, computed: object, message: str) -> Finding:
    """Make a finding of a code; what is neither a number nor nothing, as a digest, is told as text."""
    return Finding(code, CODES[code], place, _plain(claimed), _plain(computed), message)


def _plain(value: object) -> str | int | None:
    return value if isinstance(value, int) or value is None else str(value)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the worst first, what is said of one place together, and drop what is said twice."""
    distinct = dict.fromkeys(findings)
    order = {place: i for i, place in enumerate(dict.fromkeys(finding.place for finding in distinct))}
    return tuple(sorted(distinct, key=lambda finding: (rank(finding.severity), order[finding.place])))


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

    checked: Checked
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes; within those by place, in the order of the archive's documents."""
    blobs: tuple[CheckedBlob, ...]
    """Every blob that was read, image by image, then the others."""

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)
