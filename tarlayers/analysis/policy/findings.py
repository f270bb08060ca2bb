"""Rules that other analyses have no findings, or none as bad."""

from __future__ import annotations

from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.exceptions import Exceptions
from tarlayers.analysis.policy.verdict import Hit, Outcome
from tarlayers.formats.policy import Rule
from tarlayers.severity import as_bad_as


def judge_lint(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """`lint` finds nothing this bad. An exception names codes or paths."""
    hits = tuple(
        Hit(
            finding.path or f"layer {finding.layer}",
            f"{finding.code} {finding.severity}: {finding.message}",
            finding.layer,
            ignore=exceptions.for_text(finding.code) or exceptions.for_path(finding.path or "/"),
        )
        for finding in evidence.lint.findings
        if finding.severity in as_bad_as(str(rule.setting))
    )
    return Outcome(hits=hits)


def judge_verification(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """`verify` finds nothing this bad in the whole archive. An exception names codes or places."""
    hits = tuple(
        Hit(
            finding.place,
            f"{finding.code} {finding.severity}: {finding.message}",
            ignore=exceptions.for_text(finding.code, finding.place),
        )
        for finding in evidence.verification.findings
        if finding.severity in as_bad_as(str(rule.setting))
    )
    return Outcome(hits=hits)
