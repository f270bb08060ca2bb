"""The report as a comment on a pull request: a table a image, and the details folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarlayers.analysis.policy.verdict import RuleResult, Verdict
from tarlayers.render.escape import escape_markdown
from tarlayers.render.reports.report import (
    CheckReport,
    Violation,
    describe_result,
    describe_setting,
    describe_verdict,
    list_violations,
    share_lines,
    title_of,
)

_MOST = 50  # rows of one rule: GitHub takes comments of at most 65 536 characters
_MARKS = {"pass": "✅", "fail": "❌", "skip": "⏭"}


def render_markdown(report: CheckReport) -> str:
    """A heading, a table and folded details for each image."""
    lines: list[str] = []
    for verdict in report.verdicts:
        lines += _verdict_lines(verdict)
    return "".join(f"{line}\n" for line in lines)


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    mark = _MARKS["pass" if verdict.ok else "fail"]
    yield f"### {mark} {escape_markdown(title_of(verdict))}: {describe_verdict(verdict)}"
    yield ""
    rows = [_result_cells(result) for result in verdict.results]
    yield from _table(("", "code", "rule", "setting", "result"), rows)
    for result in verdict.results:
        if result.status == "fail":
            yield from _details(verdict, result)


def _details(verdict: Verdict, result: RuleResult) -> Iterator[str]:
    violations = list_violations(verdict, result)
    shares = [("", line, "") for line in share_lines(verdict, result)]
    yield f"<details><summary>{result.rule.kind.name}: {_html(describe_result(result))}</summary>"
    yield ""
    rows = [*map(_violation_cells, violations), *shares]
    yield from _table(("what", "why", "layer"), [tuple(map(escape_markdown, row)) for row in rows[:_MOST]])
    if len(rows) > _MOST:
        yield f"... and {len(rows) - _MOST} more"
        yield ""
    yield "</details>"
    yield ""


def _result_cells(result: RuleResult) -> tuple[str, ...]:
    kind = result.rule.kind
    texts = (kind.code, kind.name, describe_setting(result.rule), describe_result(result))
    return _MARKS[result.status], *map(escape_markdown, texts)


def _violation_cells(violation: Violation) -> tuple[str, str, str]:
    layer = "" if violation.layer is None else f"{violation.layer}: {violation.step}" if violation.step else ""
    return violation.subject or "", violation.message, layer or str("" if violation.layer is None else violation.layer)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Put rows of markdown below each other."""
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
