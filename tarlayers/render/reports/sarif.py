"""The report as SARIF 2.1.0 (OASIS), which code scanning services read.

A result points at the rule's line in the policy, because that is the file of the repository that it is about; the
image and the path in it are its logical location. What an exception allows is there too, as suppressed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from tarlayers.analysis.policy.verdict import Hit, RuleResult, Verdict
from tarlayers.formats.policy import EXPIRED
from tarlayers.render.reports.report import CheckReport, Violation, describe_hit, list_violations
from tarlayers.render.values import dump_json

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_sarif(report: CheckReport) -> str:
    """One run with a result for each violation."""
    titles = {result.rule.kind.code: result.rule.kind for verdict in report.verdicts for result in verdict.results}
    rules = [_rule(code, kind.name, kind.title) for code, kind in sorted(titles.items())]
    if any(result.expired for verdict in report.verdicts for result in verdict.results):
        rules.append(_rule(EXPIRED, "expired_exception", "an exception has ended"))
    numbers = {rule["id"]: number for number, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "tarlayers", "version": report.version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [result | {"ruleIndex": numbers[result["ruleId"]]} for result in _results(report)],
    }
    return dump_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}).decode()


def _rule(code: str, name: str, title: str) -> dict[str, Any]:
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": f"{title[0].upper()}{title[1:]}."},
        "help": {"text": f"tarlayers check --explain {code}"},
        "defaultConfiguration": {"level": "error"},
    }


def _results(report: CheckReport) -> Iterator[dict[str, Any]]:
    for verdict in report.verdicts:
        for result in verdict.results:
            for violation in list_violations(verdict, result):
                yield _result(report, verdict, result, violation)
            for hit in result.allowed:
                found = _result(report, verdict, result, describe_hit(verdict, result.rule, hit))
                yield found | {"suppressions": [_suppression(hit)]}


def _result(report: CheckReport, verdict: Verdict, result: RuleResult, violation: Violation) -> dict[str, Any]:
    place = verdict.argument if violation.subject is None else f"{verdict.argument}: {violation.subject}"
    properties: dict[str, Any] = {"image": verdict.argument, "rule": result.rule.kind.name}
    if verdict.image_id is not None:
        properties["image_id"] = str(verdict.image_id)
    if violation.layer is not None:
        properties["layer"] = violation.layer
    return {
        "ruleId": violation.code,
        "level": "error",
        "message": {"text": violation.sentence},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": report.policy_uri},
                    "region": {"startLine": violation.line},
                },
                "logicalLocations": [{"fullyQualifiedName": place, "kind": "resource"}],
            }
        ],
        # So that a service knows a result again when the image is built anew and its line has moved.
        "partialFingerprints": {"violation/v1": _fingerprint(violation.code, place)},
        "properties": properties,
    }


def _fingerprint(code: str, place: str) -> str:
    return hashlib.sha256(f"{code}\0{place}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _suppression(hit: Hit) -> dict[str, Any]:
    return {"kind": "external", "justification": hit.ignore.reason if hit.ignore is not None else ""}
