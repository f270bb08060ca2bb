"""Findings of `lint`: as JSON documents and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from tarlayers.analysis.lint.codes import CODES, LintFinding
from tarlayers.analysis.lint.report import LintReport
from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_path, escape_text, raw_base64
from tarlayers.render.findings import tally_severities
from tarlayers.severity import SEVERITIES


def lint_document(report: LintReport) -> dict[str, Any]:
    """The answer of `lint`; `codes` explains those that were found, by what each family of engines does."""
    severities = [finding.severity for finding in report.findings]
    return {
        "findings": [_finding_document(finding) for finding in report.findings],
        "codes": {code: _code_document(code) for code in sorted({finding.code for finding in report.findings})},
        "summary": {severity: severities.count(severity) for severity in SEVERITIES},
    }


def _finding_document(finding: LintFinding) -> dict[str, Any]:
    """One finding of `lint`; `path` is null where a layer's blob is meant."""
    document: dict[str, Any] = {
        "code": finding.code,
        "severity": finding.severity,
        "rule": finding.rule,
        "layer": finding.layer,
        "path": None if finding.path is None else escape_path(finding.path),
    }
    raw = None if finding.path is None else raw_base64(finding.path)
    if raw is not None:
        document["path_raw"] = raw
    return document | {"message": escape_text(finding.message)}


def _code_document(code: str) -> dict[str, Any]:
    kind = CODES[code]
    return {"severity": kind.severity, "rule": kind.rule, "title": kind.title, "engines": dict(kind.engines)}


def lint_lines(report: LintReport, most: int | None = 10) -> Iterator[str]:
    """One line a finding, at most `most` of one code in one layer, then how it came out."""
    for _, group in groupby(report.findings, _group_key):
        findings = list(group)
        first = findings[0]
        if first.path is None:
            place = _name_layers([finding.layer for finding in findings])
            yield _line(first.severity, first.code, place, first.message)
            continue
        shown = findings if most is None or len(findings) <= most + 1 else findings[:most]
        for finding in shown:
            yield _line(finding.severity, finding.code, f"layer {finding.layer}: {finding.path}", finding.message)
        if len(shown) < len(findings):
            more = f"... and {len(findings) - len(shown)} more (--all)"
            yield f"{first.severity} {first.code} layer {first.layer}: {more}"
    amount = f"{count_noun(report.layers, 'layer')}, {_entries(report.entries)}"
    yield f"linted {amount}: {tally_severities(finding.severity for finding in report.findings) or 'nothing found'}"


def _group_key(finding: LintFinding) -> tuple[str, int | str]:
    """Findings about paths stand together by layer, those about whole blobs where they say the same."""
    return finding.code, finding.message if finding.path is None else finding.layer


def _name_layers(layers: Sequence[int]) -> str:
    """`layer 2`, `layers 0-8`, `layers 0, 3-4`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    names = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"layer{'' if len(layers) == 1 else 's'} {names}"


def _entries(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"


def _line(severity: str, code: str, place: str, message: str) -> str:
    return f"{severity} {code} {escape_text(place)}: {escape_text(message)}"
