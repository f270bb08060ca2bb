"""What a check finds: values that judges make and reports show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.digest import Digest
from tarlayers.formats.policy import Ignore, Rule
from tarlayers.rootfs import Refusal


class Hit(NamedTuple):
    """One thing that is against a rule."""

    subject: str
    """A path, or what else the rule looks at: a user, a label, a variable, a layer."""
    message: str
    """Why it is against the rule; it stands behind the subject."""
    layer: int | None = None
    """That brought it."""
    bytes: int | None = None
    ignore: Ignore | None = None
    """The exception that allows it."""


class Share(NamedTuple):
    """What one path, or one layer, adds to a sum."""

    subject: str
    bytes: int
    layer: int | None


class Outcome(NamedTuple):
    """What a judge says of one rule."""

    value: float | int | None = None
    """As measured, in the rule's unit; None for rules that list what they find."""
    failed: bool = False
    hits: tuple[Hit, ...] = ()
    """Each of them, unless an exception allows it, fails the rule."""
    shares: tuple[Share, ...] = ()
    """What adds the most to the value, the largest first."""
    skipped: str | None = None
    """Why the rule could not be asked."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """How one rule came out."""

    rule: Rule
    status: str
    """`pass fail skip`."""
    value: float | int | None
    over: bool
    """Whether the value itself is beyond the limit."""
    hits: tuple[Hit, ...]
    allowed: tuple[Hit, ...]
    """Hits that an exception allows."""
    expired: tuple[Ignore, ...]
    """Exceptions whose time is over: each fails the rule."""
    shares: tuple[Share, ...]
    skipped: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an image came out."""

    argument: str
    """The image as it was asked for."""
    name: str
    image_id: Digest | None
    steps: tuple[str | None, ...]
    """The instruction of each layer, base first, secrets masked."""
    results: tuple[RuleResult, ...]
    """In the order of the policy."""
    refused: tuple[Refusal, ...]
    """What the engine would not unpack, as far as a rule asked for a merged view."""

    @property
    def ok(self) -> bool:
        """Whether no rule failed."""
        return all(result.status != "fail" for result in self.results)
