"""The report as GitHub's workflow commands: an annotation on the policy's line for each rule that failed.

A step shows ten errors at most, so a rule has one annotation, whatever it found.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.analysis.policy.verdict import RuleResult, Verdict
from tarlayers.render.escape import escape_text
from tarlayers.render.reports.report import (
    CheckReport,
    describe_result,
    describe_verdict,
    first_of,
    list_violations,
    share_lines,
    title_of,
)

_MOST = 10


def render_github(report: CheckReport) -> str:
    """Lines for the step's standard output."""
    lines: list[str] = []
    for verdict in report.verdicts:
        lines += (_annotation(report, verdict, result) for result in verdict.results if result.status == "fail")
        lines.append(f"{title_of(verdict)}: {describe_verdict(verdict)}")
    return "".join(f"{line}\n" for line in lines)


def _annotation(report: CheckReport, verdict: Verdict, result: RuleResult) -> str:
    kind = result.rule.kind
    title = f"{kind.code} {kind.name}: {describe_result(result)}"
    properties = {"file": report.policy_in_repository, "line": str(result.rule.line), "title": title}
    said = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::error {said}::{_data(chr(10).join(_lines(verdict, result)))}"


def _lines(verdict: Verdict, result: RuleResult) -> Iterator[str]:
    yield title_of(verdict)
    yield from first_of([violation.sentence for violation in list_violations(verdict, result)], _MOST)
    yield from share_lines(verdict, result)


def _data(text: str) -> str:
    """Escape a message as the runner's toolkit does: these three are all that it undoes."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(escape_text(text)).replace(":", "%3A").replace(",", "%2C")
