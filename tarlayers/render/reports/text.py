"""The report for a terminal or a job's log."""

from __future__ import annotations

from collections.abc import Iterator

from tarlayers.analysis.policy.verdict import RuleResult, Verdict
from tarlayers.render.reports.report import (
    CheckReport,
    describe_result,
    describe_verdict,
    first_of,
    list_violations,
    share_lines,
    title_of,
)

_INDENT = " " * 6 + "- "  # no line starts with `::`, which GitHub's runner takes for a command, whatever a name says
_MOST = 10  # of one rule, unless all are asked for


def render_text(report: CheckReport, *, every: bool = False) -> str:
    """A line a rule, and below a rule that failed what is against it; with `every` all of that."""
    lines: list[str] = []
    for verdict in report.verdicts:
        lines += _verdict_lines(verdict, None if every else _MOST)
    return "".join(f"{line}\n" for line in lines)


def _verdict_lines(verdict: Verdict, most: int | None) -> Iterator[str]:
    width = max((len(result.rule.kind.name) for result in verdict.results), default=0)
    for result in verdict.results:
        kind = result.rule.kind
        yield f"{result.status}  {kind.code}  {kind.name:{width}}  {describe_result(result)}"
        if result.status == "fail":
            yield from (f"{_INDENT}{line}" for line in _details(verdict, result, most))
    yield f"{title_of(verdict)}: {describe_verdict(verdict)}"


def _details(verdict: Verdict, result: RuleResult, most: int | None) -> Iterator[str]:
    sentences = [violation.sentence for violation in list_violations(verdict, result)]
    # The value that is beyond the limit stands on the rule's own line already.
    yield from first_of(sentences[1:] if result.over else sentences, most)
    yield from share_lines(verdict, result)
