"""The report as JSON."""

from __future__ import annotations

from typing import Any

from tarlayers.analysis.policy.verdict import Hit, RuleResult, Verdict
from tarlayers.formats.policy import EXPIRED, Hidden, Ignore, Setting, Touch
from tarlayers.render.escape import escape_path, escape_text, raw_base64
from tarlayers.render.images import refusals_document
from tarlayers.render.reports.report import CheckReport, describe_expired, describe_result, paths_of
from tarlayers.render.values import dump_json

SCHEMA = "tarlayers.check/1"


def render_json(report: CheckReport) -> str:
    """One document: every rule of every image is a row of `rules`."""
    document = {
        "schema": SCHEMA,
        "ok": report.ok,
        "policy": report.policy,
        "images": [_image_document(verdict) for verdict in report.verdicts],
        "rules": [_rule_document(verdict, result) for verdict in report.verdicts for result in verdict.results],
    }
    return dump_json(document).decode()


def _image_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "image": verdict.argument,
        "name": verdict.name,
        "image_id": str(verdict.image_id) if verdict.image_id is not None else None,
        "ok": verdict.ok,
        **refusals_document(verdict.refused),
    }


def _rule_document(verdict: Verdict, result: RuleResult) -> dict[str, Any]:
    rule = result.rule
    document: dict[str, Any] = {
        "image": verdict.argument,
        "rule": rule.kind.name,
        "code": rule.kind.code,
        "status": result.status,
        "limit": _setting_value(rule.setting),
        "value": result.value,
        "unit": rule.kind.unit,
        "message": describe_result(result),
        "paths": [escape_path(path) for path in paths_of(result)],
        "line": rule.line,
        "violations": [_hit_document(verdict, rule.kind.code, hit) for hit in result.hits],
    }
    document["violations"] += (_expired_document(ignore) for ignore in result.expired)
    if result.allowed:
        document["allowed"] = [_allowed_document(verdict, rule.kind.code, hit) for hit in result.allowed]
    if result.shares:
        document["largest"] = [
            _subject(share.subject) | {"bytes": share.bytes, "layer": share.layer} for share in result.shares
        ]
    return document


def _setting_value(setting: Setting | None) -> Any:  # noqa: ANN401 # any JSON value
    return setting._asdict() if isinstance(setting, Touch | Hidden) else setting


def _hit_document(verdict: Verdict, code: str, hit: Hit) -> dict[str, Any]:
    document = {"code": code, **_subject(hit.subject), "message": escape_text(hit.message)}
    if hit.layer is not None:
        document |= {"layer": hit.layer, "created_by": verdict.steps[hit.layer]}
    if hit.bytes is not None:
        document["bytes"] = hit.bytes
    return document


def _subject(subject: str) -> dict[str, Any]:
    raw = raw_base64(subject)
    return {"subject": escape_path(subject)} | ({} if raw is None else {"subject_raw": raw})


def _expired_document(ignore: Ignore) -> dict[str, Any]:
    return {
        "code": EXPIRED,
        "subject": ", ".join(ignore.globs),
        "message": describe_expired(ignore),
        "reason": ignore.reason,
        "until": str(ignore.until),
    }


def _allowed_document(verdict: Verdict, code: str, hit: Hit) -> dict[str, Any]:
    document = _hit_document(verdict, code, hit)
    if hit.ignore is not None:
        document["reason"] = hit.ignore.reason
        document["until"] = str(hit.ignore.until) if hit.ignore.until is not None else None
    return document
