"""Rules about the configuration: user, labels, variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.exceptions import Exceptions, fits_value
from tarlayers.analysis.policy.verdict import Hit, Outcome
from tarlayers.formats.policy import Rule

_NUMBER = re.compile(r"([+-]?)0*([0-9]*)(?<=[0-9])")
_ABSENT = Outcome(skipped="the input has no configuration")


def _texts(rule: Rule) -> tuple[str, ...]:
    return tuple(map(str, rule.setting)) if isinstance(rule.setting, tuple) else ()


def judge_user(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """The image runs as none of these users. No user at all, `0` and `root` are one; a group says nothing."""
    if evidence.settings is None:
        return _ABSENT
    said = str(evidence.settings.get("User") or "")
    user = _plain_user(said)
    if user not in map(_plain_user, _texts(rule)):
        return Outcome()
    message = "runs as root" if user == "root" else f"runs as {user}"
    message += "" if said else ": it names no user"
    return Outcome(hits=(Hit(said or "root", message, ignore=exceptions.for_text(said or "root")),))


def _plain_user(text: str) -> str:
    """Spell a user in one way: engines read a number as Go's strconv.Atoi does, which takes a sign."""
    name = text.partition(":")[0].strip()
    number = _NUMBER.fullmatch(name)
    if number:
        sign, digits = number.groups()
        name = f"{sign}{digits}" if digits and sign == "-" else digits
    return name or "root"


def judge_labels(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Every label is there, with a value that fits where the rule says one."""
    if evidence.settings is None:
        return _ABSENT
    labels = _strings(evidence.settings.get("Labels"))
    hits = tuple(
        Hit(name, _miss(name, wanted, labels), ignore=exceptions.for_text(name))
        for wanted in _texts(rule)
        if not any(fits_value((wanted,), label, value) for label, value in labels.items())
        for name in [wanted.partition("=")[0]]
    )
    return Outcome(hits=hits)


def _miss(name: str, wanted: str, labels: Mapping[str, str]) -> str:
    return f"is {labels[name]!r}, not {wanted.partition('=')[2]}" if name in labels else "is not there"


def _strings(value: Any) -> dict[str, str]:  # noqa: ANN401 # any JSON value
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def judge_variables(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """No variable of the environment fits. Its value is not told: it may be what has to stay secret."""
    if evidence.settings is None:
        return _ABSENT
    variables = evidence.settings.get("Env")
    hits = []
    for text in variables if isinstance(variables, list) else ():
        name, _, value = str(text).partition("=")
        pattern = fits_value(_texts(rule), name, value)
        if pattern is not None:
            hits.append(Hit(name, f"is set; fits {pattern}", ignore=exceptions.for_text(name)))
    return Outcome(hits=tuple(hits))
