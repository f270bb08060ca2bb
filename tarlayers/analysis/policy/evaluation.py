"""Holding an image to a policy.

reading = plan_reading(policy)                     # before the archive is opened
verdict = check_image(policy, Evidence(image, archive), "app.tar", today)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

from tarlayers.analysis.policy import findings, paths, settings, sizes
from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.exceptions import Exceptions, is_expired
from tarlayers.analysis.policy.verdict import Outcome, RuleResult, Verdict
from tarlayers.formats.policy import Hidden, Policy, Rule

_JUDGES: Mapping[str, Callable[[Rule, Evidence, Exceptions], Outcome]] = {
    "max_size": sizes.judge_size,
    "max_stored_size": sizes.judge_stored_size,
    "max_layers": sizes.judge_layer_count,
    "max_layer_size": sizes.judge_layer_size,
    "max_wasted_bytes": sizes.judge_waste,
    "min_efficiency": sizes.judge_efficiency,
    "max_growth": sizes.judge_growth,
    "max_growth_percent": sizes.judge_growth_percent,
    "forbid_paths": paths.judge_forbidden_paths,
    "require_paths": paths.judge_required_paths,
    "forbid_hidden": paths.judge_hidden,
    "forbid_secrets": paths.judge_secrets,
    "forbid_setuid": paths.judge_setuid,
    "layer_may_not_touch": paths.judge_touches,
    "forbid_users": settings.judge_user,
    "require_labels": settings.judge_labels,
    "forbid_env": settings.judge_variables,
    "lint": findings.judge_lint,
    "verify": findings.judge_verification,
    "lowestEfficiency": sizes.judge_dive_efficiency,
    "highestWastedBytes": sizes.judge_dive_waste,
    "highestUserWastedPercent": sizes.judge_dive_user_waste,
}

_NO_LAYER = frozenset(
    ("max_stored_size", "max_layers", "forbid_users", "require_labels", "forbid_env", "lint", "verify")
)
"""Rules that need no layer read, or that take a layer which cannot be read for a finding."""


class Reading(NamedTuple):
    """What the rules of a policy need of an archive, so that it is read once."""

    layers: bool
    """The entries of its layers."""
    hashed: bool
    """Their digests."""
    again: bool
    """Contents too, once the entries are known: a stream has to be kept."""
    baseline: bool
    """Another image to compare with."""


def plan_reading(policy: Policy) -> Reading:
    """Tell what has to be read for a policy."""
    rules = [rule for rule in policy.rules if rule.setting is not None]
    names = {rule.kind.name for rule in rules}
    hidden = [rule.setting for rule in rules if isinstance(rule.setting, Hidden)]
    return Reading(
        layers=bool(names - _NO_LAYER),
        hashed="verify" in names,
        again="forbid_secrets" in names or any(setting.secrets for setting in hidden),
        baseline=bool(names & {"max_growth", "max_growth_percent"}),
    )


def check_image(policy: Policy, evidence: Evidence, argument: str, today: date) -> Verdict:
    """Ask every rule, in the order of the policy. `argument` is what the report calls the image.

    ContentAbsent where a rule needs bytes that are not there, MalformedInput where it needs a layer that cannot
    be read; for `lint` and `verify` the latter is a finding.
    """
    image = evidence.image
    results = tuple(_check_rule(rule, evidence, today) for rule in policy.rules)
    return Verdict(
        argument=argument,
        name=image.name,
        image_id=image.image_id,
        steps=evidence.steps,
        results=results,
        refused=evidence.refused,
    )


def _check_rule(rule: Rule, evidence: Evidence, today: date) -> RuleResult:
    if rule.setting is None:
        outcome = Outcome(skipped="switched off")
    else:
        outcome = _JUDGES[rule.kind.name](rule, evidence, Exceptions(rule.ignores, today))
    hits = tuple(hit for hit in outcome.hits if hit.ignore is None)
    expired = tuple(ignore for ignore in rule.ignores if is_expired(ignore, today))
    return RuleResult(
        rule=rule,
        status="fail" if hits or expired or outcome.failed else "pass" if outcome.skipped is None else "skip",
        value=outcome.value,
        over=outcome.failed,
        hits=hits,
        allowed=tuple(hit for hit in outcome.hits if hit.ignore is not None),
        expired=expired,
        shares=outcome.shares,
        skipped=outcome.skipped,
    )
