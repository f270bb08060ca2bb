"""Does an image's layer structure break engines, or make them show different trees? Every rule asked of every layer.

for finding in lint_image(image).findings:
finding.code, finding.layer, finding.path
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tarlayers.analysis.lint.blobs import find_blob_faults, find_unreadable
from tarlayers.analysis.lint.codes import CODES, REFUSALS, LintFinding, found
from tarlayers.analysis.lint.inodes import find_inode_faults
from tarlayers.analysis.lint.links import find_hard_link_faults
from tarlayers.analysis.lint.markers import find_marker_faults
from tarlayers.analysis.lint.names import find_name_faults
from tarlayers.analysis.lint.parents import find_parent_faults
from tarlayers.analysis.lint.visible import find_visible_faults
from tarlayers.entry import Entry
from tarlayers.errors import MalformedInput, ReadFailed
from tarlayers.image import Image, Layer, load_layers
from tarlayers.merging.engine import BareLayer, Stratum, visit_layers
from tarlayers.rootfs import path_key
from tarlayers.severity import as_bad_as, rank
from tarlayers.stores.store import OnRead

_RULES: tuple[Callable[[Stratum], Iterator[LintFinding]], ...] = (
    find_marker_faults,
    find_name_faults,
    find_parent_faults,
    find_hard_link_faults,
    find_inode_faults,
)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What `lint_image` found."""

    layers: int
    entries: int
    findings: tuple[LintFinding, ...]
    """The worst first; within a severity by code, layer and path."""


def lint_image(image: Image, *, ignore: Collection[str] = (), on_read: OnRead | None = None) -> LintReport:
    """Look at every layer by itself, at what it does to those below, and at the finished tree.

    Reads every layer. A malformed one is a finding, and the others are still looked at as if it were empty;
    one whose bytes are absent is ContentAbsent. `on_read` hears of stored bytes as they are read. A code in
    `ignore` that does not exist is ValueError.
    """
    unknown = sorted(set(ignore) - CODES.keys())
    if unknown:
        raise ValueError(f"no such code: {', '.join(unknown)}")
    findings: list[LintFinding] = []
    # What an engine refuses of a blob is a finding of its own, so it does not keep its entries from being looked at.
    layers = [BareLayer(_read(layer, findings), layer.place, layer.limits) for layer in _load(image, on_read)]
    rootfs = visit_layers(layers, lambda stratum: findings.extend(_look(stratum)))
    findings.extend(find_visible_faults(rootfs))
    kept = sorted((finding for finding in findings if finding.code not in ignore), key=_order)
    return LintReport(len(layers), sum(len(layer.entries) for layer in layers), tuple(kept))


def has_failed(report: LintReport, severity: str) -> bool:
    """Say whether there is a finding as bad as `severity`, or worse."""
    bad = as_bad_as(severity)
    return any(finding.severity in bad for finding in report.findings)


def _load(image: Image, on_read: OnRead | None) -> Sequence[Layer]:
    for layer in image.layers:
        layer.require_readable()
    with suppress(MalformedInput):  # raised again, and told, when that layer is read by itself
        load_layers(image.layers, on_read=on_read)
    return image.layers


def _read(layer: Layer, findings: list[LintFinding]) -> Sequence[Entry]:
    try:
        entries = layer.entries
    except ReadFailed:
        raise  # nothing is wrong with the layer
    except MalformedInput as error:
        findings.append(find_unreadable(layer, error))
        return ()
    findings.extend(find_blob_faults(layer))
    return entries


def _look(stratum: Stratum) -> Iterator[LintFinding]:
    for refusal in stratum.refused:
        yield found(REFUSALS[refusal.rule], refusal.layer, refusal.path, refusal.message, refusal.rule)
    for find in _RULES:
        yield from find(stratum)


def _order(finding: LintFinding) -> tuple[int, str, int, bytes]:
    return rank(finding.severity), finding.code, finding.layer, path_key(finding.path or "")
