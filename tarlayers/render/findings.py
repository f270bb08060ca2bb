"""Findings of `verify` and `lint`: as JSON documents and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tarlayers.finding import Finding, VerifyReport
from tarlayers.render.escape import escape_text
from tarlayers.render.values import human_size


def verify_document(report: VerifyReport) -> dict[str, Any]:
    """The answer of `verify`."""
    return {
        "ok": report.ok,
        "checked": report.checked._asdict(),
        "findings": [finding_document(finding) for finding in report.findings],
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """One finding of `verify`; what is not known of claimed and computed is null."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "place": escape_text(finding.place),
        "claimed": _value(finding.claimed),
        "computed": _value(finding.computed),
        "message": escape_text(finding.message),
    }


def _value(value: str | int | None) -> str | int | None:
    return escape_text(value) if isinstance(value, str) else value


def verify_lines(report: VerifyReport) -> Iterator[str]:
    """One line a finding, then what was checked and how it came out."""
    for finding in report.findings:
        yield _line(finding.severity, finding.code, finding.place, finding.message)
    checked = report.checked
    amount = f"{_count(checked.blobs, 'blob')}, {_count(checked.layers, 'layer')}, {human_size(checked.bytes)}"
    verdict = "everything is as claimed" if report.ok else "not as claimed"
    yield f"verified {amount}: {verdict}{_tally(finding.severity for finding in report.findings)}"


def _line(severity: str, code: str, place: str, message: str) -> str:
    return f"{severity} {code} {escape_text(place)}: {escape_text(message)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tally(severities: Iterable[str]) -> str:
    found: Sequence[str] = list(severities)
    counts = [_count(found.count(severity), severity) for severity in ("error", "warning", "note")]
    shown = [count for count in counts if not count.startswith("0 ")]
    return f" ({', '.join(shown)})" if shown else ""
