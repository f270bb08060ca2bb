"""The report as JUnit XML, as Jenkins and GitLab read it: an image is a suite, a rule is a case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from tarlayers.analysis.policy.verdict import RuleResult, Verdict
from tarlayers.render.escape import escape_text
from tarlayers.render.reports.report import (
    CheckReport,
    describe_result,
    list_violations,
    share_lines,
    title_of,
)

_NOT_XML = re.compile("[\ufffe\uffff]")  # XML 1.0, section 2.2; the others that it forbids are escaped already


def render_junit(report: CheckReport) -> str:
    """One document. There are no times in it: the same image gives the same bytes."""
    counts = _counts([result for verdict in report.verdicts for result in verdict.results])
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="tarlayers check" {counts}>']
    for verdict in report.verdicts:
        lines += _suite(verdict)
    lines.append("</testsuites>")
    return "".join(f"{line}\n" for line in lines)


def _counts(results: list[RuleResult]) -> str:
    failures = sum(result.status == "fail" for result in results)
    skipped = sum(result.status == "skip" for result in results)
    return f'tests="{len(results)}" failures="{failures}" errors="0" skipped="{skipped}"'


def _suite(verdict: Verdict) -> Iterator[str]:
    name = _attribute(title_of(verdict))
    yield f"  <testsuite name={name} {_counts(list(verdict.results))}>"
    seen: dict[str, int] = {}
    for result in verdict.results:
        kind = result.rule.kind
        seen[kind.name] = seen.get(kind.name, 0) + 1
        # A rule may be there more than once; a reader takes cases of one name for one case.
        case = f"{kind.code} {kind.name}" + (f" {seen[kind.name]}" if seen[kind.name] > 1 else "")
        yield f"    <testcase classname={name} name={_attribute(case)}>"
        yield from _outcome(verdict, result)
        yield "    </testcase>"
    yield "  </testsuite>"


def _outcome(verdict: Verdict, result: RuleResult) -> Iterator[str]:
    message = _attribute(describe_result(result))
    if result.status == "skip":
        yield f"      <skipped message={message}/>"
    if result.status == "fail":
        sentences = [violation.sentence for violation in list_violations(verdict, result)]
        text = "\n".join([*sentences, *share_lines(verdict, result)])
        yield f'      <failure type="{result.rule.kind.code}" message={message}>{escape(_legal(text))}</failure>'


def _attribute(text: str) -> str:
    return quoteattr(_legal(escape_text(text)))


def _legal(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
