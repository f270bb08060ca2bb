"""What every format shows: the verdicts, and how rules, limits and violations are put into words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.analysis.policy.verdict import Hit, RuleResult, Verdict
from tarlayers.formats.policy import EXPIRED, Hidden, Ignore, Rule, Touch
from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_text
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size
from tarlayers.stdio import name_input

STEP_WIDTH = 60  # of an instruction beside a path
_SHARED_PATHS = frozenset(("P005", "P006"))  # whose shares are paths; other shares are layers


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that a report is made of."""

    policy: str
    """The policy's file, as it was found or given."""
    policy_uri: str
    """The same as a URI reference: relative where it lies below the current directory."""
    policy_in_repository: str
    """The same as a path from the root of the repository, as far as that is known."""
    version: str
    """Of tarlayers."""
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule of any image failed."""
        return all(verdict.ok for verdict in self.verdicts)


class Violation(NamedTuple):
    """One thing that is wrong, in words. All texts are escaped."""

    code: str
    subject: str | None
    """A path, or what else the rule looks at; None where it is the image as a whole."""
    message: str
    layer: int | None
    step: str | None
    line: int
    """Of the policy's file."""

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        where = "" if self.layer is None else f" (layer {self.layer}: {self.step})" if self.step else ""
        if self.layer is not None and not self.step:
            where = f" (layer {self.layer})"
        return f"{self.subject}: {self.message}{where}" if self.subject is not None else self.message


def list_violations(verdict: Verdict, result: RuleResult) -> tuple[Violation, ...]:
    """Everything that makes a rule fail: the value beyond its limit, what was found, exceptions that expired."""
    rule = result.rule
    found: list[Violation] = []
    if result.over:
        message = f"{rule.kind.title}: {describe_value(result)}"
        found.append(Violation(rule.kind.code, None, message, None, None, rule.line))
    found += (describe_hit(verdict, rule, hit) for hit in result.hits)
    found += (Violation(EXPIRED, None, describe_expired(ignore), None, None, ignore.line) for ignore in result.expired)
    return tuple(found)


def describe_hit(verdict: Verdict, rule: Rule, hit: Hit) -> Violation:
    """One hit in words."""
    step = verdict.steps[hit.layer] if hit.layer is not None else None
    subject = describe_step(hit.subject) if rule.kind.unit != "list" else escape_text(hit.subject)
    return Violation(
        rule.kind.code,
        subject,
        escape_text(hit.message),
        hit.layer,
        describe_step(step) if step and step != hit.subject else None,
        rule.line,
    )


def describe_step(step: str) -> str:
    """An instruction on one line."""
    return brief_step(step, STEP_WIDTH)


def describe_expired(ignore: Ignore) -> str:
    """Say which exception holds no longer."""
    globs = escape_text(", ".join(ignore.globs))
    return f"the exception for {globs} ended on {ignore.until} ({escape_text(ignore.reason)})"


def describe_result(result: RuleResult) -> str:
    """How a rule came out, in a few words."""
    if result.skipped is not None and result.status == "skip":
        return result.skipped
    if result.rule.kind.unit == "list":
        words = [count_noun(len(result.hits), "violation") if result.hits else "nothing found"]
    else:
        words = [describe_value(result)]
    if result.allowed:
        words.append(f"{len(result.allowed)} allowed")
    if result.expired:
        words.append(f"{count_noun(len(result.expired), 'exception')} expired")
    return ", ".join(words)


def describe_value(result: RuleResult) -> str:
    """The value and the limit: `5.46kB, more than 1kB`."""
    kind, limit, value = result.rule.kind, result.rule.setting, result.value
    least = kind.name in ("min_efficiency", "lowestEfficiency")
    beyond = result.over or bool(result.hits)
    relation = ("less than" if beyond else "at least") if least else ("more than" if beyond else "at most")
    if not isinstance(limit, int | float):
        return ""
    if value is None:
        value_text = "infinite" if beyond else "nothing to measure"
        return f"{value_text}, {relation} {format_amount(limit, kind.unit)}"
    texts = [format_amount(amount, kind.unit) for amount in (value, limit)]
    if texts[0] == texts[1] and value != limit:
        texts = [_exact(amount, kind.unit) for amount in (value, limit)]
    return f"{texts[0]}, {relation} {texts[1]}"


def format_amount(amount: float, unit: str) -> str:
    """A value or limit with its unit."""
    if unit == "bytes":
        return f"{'-' if amount < 0 else ''}{human_size(abs(int(amount)))}"
    if unit == "percent":
        return f"{amount:.3g}%"
    return str(amount) if isinstance(amount, int) else f"{amount:.3f}".rstrip("0").rstrip(".")


def _exact(amount: float, unit: str) -> str:
    return f"{amount}{' bytes' if unit == 'bytes' else '%' if unit == 'percent' else ''}"


def describe_setting(rule: Rule) -> str:
    """What a rule asks for, in one line."""
    setting = rule.setting
    if setting is None:
        return "off"
    if isinstance(setting, Touch):
        chosen = [f"layers {setting.layers}"] if setting.layers is not None else []
        chosen += [setting.instruction] if setting.instruction is not None else []
        return escape_text(f"{', '.join(setting.paths)} by {' and '.join(chosen) or 'any layer'}")
    if isinstance(setting, Hidden):
        return escape_text(", ".join([*setting.paths, *(["secrets"] if setting.secrets else [])]))
    if isinstance(setting, tuple):
        return escape_text(", ".join(str(text) or '""' for text in setting)) or "any"
    return format_amount(setting, rule.kind.unit) if isinstance(setting, int | float) else escape_text(setting)


def paths_of(result: RuleResult) -> list[str]:
    """The paths that a rule is about: what it found, or what adds the most to its value."""
    if result.rule.kind.unit == "list":
        return [hit.subject for hit in result.hits if hit.subject.startswith("/")]
    if result.rule.kind.code in _SHARED_PATHS and result.status == "fail":
        return [share.subject for share in result.shares]
    return []


def share_lines(verdict: Verdict, result: RuleResult) -> Iterator[str]:
    """What adds the most to a value that is beyond its limit."""
    for share in result.shares if result.over else ():
        step = verdict.steps[share.layer] if share.layer is not None else None
        if result.rule.kind.code in _SHARED_PATHS:
            yield f"{human_size(share.bytes)} {escape_text(share.subject)} (layer {share.layer})"
        else:
            yield f"{human_size(share.bytes)} layer {share.layer}: {describe_step(step or share.subject)}"


def describe_verdict(verdict: Verdict) -> str:
    """How an image came out: `2 of 9 rules violated`."""
    asked = [result for result in verdict.results if result.status != "skip"]
    failed = sum(result.status == "fail" for result in asked)
    skipped = len(verdict.results) - len(asked)
    rules = count_noun(len(asked), "rule")
    words = f"{failed} of {rules} violated" if failed else f"{rules} kept"
    return words + (f", {skipped} skipped" if skipped else "")


def title_of(verdict: Verdict) -> str:
    """The image as it was asked for, and its name where that says more."""
    argument = escape_text(verdict.argument)
    path, hash_sign, reference = argument.partition("#")
    argument = f"{name_input(path)}{hash_sign}{reference}"
    name = escape_text(verdict.name)
    return argument if name in argument or not name else f"{argument} ({name})"


def first_of(rows: Sequence[str], most: int | None) -> Iterator[str]:
    """The first rows, and how many more there are."""
    shown = rows if most is None or len(rows) <= most else rows[:most]
    yield from shown
    if len(shown) < len(rows):
        yield f"... and {len(rows) - len(shown)} more"
