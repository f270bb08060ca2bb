"""Findings of `verify`: as JSON documents and as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from tarlayers.finding import CheckedBlob, Finding, VerifyReport
from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_text
from tarlayers.render.values import human_size
from tarlayers.severity import SEVERITIES

_WIDE = 100  # columns
_INDENT = " " * 8
_LONG_NAME = re.compile(r"[0-9a-f]{64}")


def verify_document(report: VerifyReport) -> dict[str, Any]:
    """The answer of `verify`."""
    return {
        "ok": report.ok,
        "checked": report.checked._asdict(),
        "findings": [_finding_document(finding) for finding in report.findings],
    }


def _finding_document(finding: Finding) -> dict[str, Any]:
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


def verify_lines(report: VerifyReport, *, every_blob: bool = False) -> Iterator[str]:
    """The findings, then what was checked and how it came out; with `every_blob` each blob before them."""
    for blob in report.blobs if every_blob else ():
        yield _blob_line(blob)
    said = ""
    for finding in report.findings:
        yield from _finding_lines(finding, said)
        said = finding.place
    checked = report.checked
    amount = f"{count_noun(checked.blobs, 'blob')}, {count_noun(checked.layers, 'layer')}, {human_size(checked.bytes)}"
    whole = all(finding.severity != "note" for finding in report.findings)
    verdict = ("everything" if whole else "what could be checked") + " is as claimed" if report.ok else "not as claimed"
    tally = tally_severities(finding.severity for finding in report.findings)
    yield f"verified {amount}: {verdict}" + (f" ({tally})" if tally else "")


def _blob_line(blob: CheckedBlob) -> str:
    state = "ok" if blob.ok else "wrong"
    use = escape_text(_LONG_NAME.sub(lambda match: match[0][:12], blob.place) or "(nothing names it)")
    return f"{state:7} {human_size(blob.size):>7} {escape_text(blob.blob or '(the layer itself)')} {use}"


def _finding_lines(finding: Finding, said: str) -> Iterator[str]:
    """What is wrong where, on one line if that is short, and below it the long names and digests.

    A place that was `said` before needs no blob; nor does a claimed digest that a blob is called by.
    """
    place, _, blob = finding.place.rpartition(": ")
    if not place or not _LONG_NAME.search(blob):
        place, blob = finding.place, ""
    head = f"{finding.severity:7} {finding.code} {escape_text(place)}"
    message = escape_text(finding.message)
    if len(head) + 2 + len(message) <= _WIDE:
        yield f"{head}: {message}"
    else:
        yield f"{head}:"
        yield from (f"{_INDENT}{line}" for line in wrap(message, _WIDE - len(_INDENT), break_long_words=False))
    if blob and finding.place != said:
        yield f"{_INDENT}{escape_text(blob)}"
    digests = [str(value) for value in (finding.claimed, finding.computed) if _LONG_NAME.search(str(value))]
    if len(digests) > 1:
        if blob.rpartition("/")[2] != digests[0].rpartition(":")[2]:
            yield f"{_INDENT}claimed  {escape_text(digests[0])}"
        yield f"{_INDENT}computed {escape_text(digests[1])}"
    elif digests and not blob:
        yield f"{_INDENT}{escape_text(digests[0])}"


def tally_severities(severities: Iterable[str]) -> str:
    """`2 errors, 1 note`; nothing where there is nothing."""
    found: Sequence[str] = list(severities)
    counts = [count_noun(found.count(severity), severity) for severity in SEVERITIES]
    shown = [count for count in counts if not count.startswith("0 ")]
    return ", ".join(shown)
