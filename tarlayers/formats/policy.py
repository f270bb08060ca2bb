"""A policy: the rules that `check` holds an image to, as `.tarlayers.toml`, or `[tool.tarlayers]` of a
pyproject.toml, has them.

    max_size = "200MB"                       # a rule and its setting
    [forbid_paths]                           # the same at length, with exceptions
    paths = ["*.pem"]
    ignore = [{ globs = ["/etc/ssl/**"], reason = "the CA bundle", until = 2027-01-31 }]

Reading is strict: a key that does not exist, or a value of the wrong type, is MalformedPolicy at its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from tarlayers.formats.sizes import parse_size
from tarlayers.formats.toml_values import TomlDocument, TomlValue
from tarlayers.severity import SEVERITIES

EXPIRED = "P090"
"""The code of an exception whose time is over."""

_LAYERS = re.compile(r"-?[0-9]{1,6}|(-?[0-9]{1,6})?:(-?[0-9]{1,6})?|(sha256:)?[0-9a-f]{12,64}")


class Ignore(NamedTuple):
    """An exception to a rule."""

    globs: tuple[str, ...]
    """Held against what the rule looks at: paths, or the names that docs/policy.md says."""
    reason: str
    until: date | None
    """The last day on which it holds."""
    line: int


class Hidden(NamedTuple):
    """What lower layers may not hold."""

    paths: tuple[str, ...]
    secrets: bool
    """Whatever looks like a credential."""


class Touch(NamedTuple):
    """Which layers may not touch which paths."""

    paths: tuple[str, ...]
    layers: str | None
    """An index, a range of them (`1:`, as Python's slices are written) or a digest; None for all."""
    instruction: str | None
    """A glob for the instruction that made the layer; None for all."""


Setting = int | float | str | tuple[str, ...] | Hidden | Touch


@dataclass(frozen=True, slots=True)
class RuleKind:
    """What there is to know of a rule before it is used."""

    name: str
    code: str
    unit: str
    """Of limit and value: `bytes count ratio percent`; `list` for a rule that lists what it finds."""
    title: str
    """What a violation is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy."""

    kind: RuleKind
    setting: Setting | None
    """None where the rule is off."""
    ignores: tuple[Ignore, ...]
    line: int
    """Of the policy's file, from 1."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, in the order of their file."""

    name: str
    """Of its file, as messages and reports call it."""
    rules: tuple[Rule, ...]


class _Form(NamedTuple):
    """How a rule is written."""

    keys: tuple[str, ...]
    """Of the rule as a table, `ignore` left out; a setting that is no table stands for the first."""
    parse: Callable[[Mapping[str, TomlValue]], Setting | None]
    """Makes the setting of the values that are there; None where the rule is switched off."""
    required: bool = True
    """Whether the first key has to be there."""


# -- settings --------------------------------------------------------------------------------------

_Members = Mapping[str, TomlValue]


def _size(members: _Members) -> Setting:
    value = members["limit"]
    if not isinstance(value.value, str):
        return value.whole()
    size = parse_size(value.value)
    if size is None:
        raise value.wrong(f"{value.value!r} is no size such as 20MB or 1.5GiB")
    return size


def _count(members: _Members) -> Setting:
    return members["limit"].whole()


def _ratio(members: _Members) -> Setting:
    number = members["limit"].number()
    if number > 1:
        raise members["limit"].wrong(f"expected a ratio from 0 to 1, not {number}")
    return number


def _percent(members: _Members) -> Setting:
    return members["limit"].number()


def _paths(members: _Members) -> Setting:
    return members["paths"].texts()


def _hidden(members: _Members) -> Setting | None:
    paths = members.get("paths")
    if paths is not None and isinstance(paths.value, str):
        if paths.value != "secrets":
            raise paths.wrong(f'expected an array or "secrets", not {paths.value!r}')
        return Hidden((), secrets=True)
    secrets = "secrets" in members and members["secrets"].flag()
    return Hidden(paths.texts() if paths is not None else (), secrets)


def _switch(members: _Members) -> Setting | None:
    value = members.get("enabled")
    return () if value is None or value.flag() else None


def _allowed(members: _Members) -> Setting | None:
    value = members.get("allow")
    if value is None or value.value is True:
        return ()
    return None if value.value is False else value.texts()


def _users(members: _Members) -> Setting | None:
    value = members["users"]
    if isinstance(value.value, bool):
        return ("root",) if value.value else None
    # The empty user is what an image without USER runs as.
    return tuple("" if element.value == "" else element.text() for element in value.elements())


def _labels(members: _Members) -> Setting:
    return members["labels"].texts()


def _names(members: _Members) -> Setting:
    return members["names"].texts()


def _touch(members: _Members) -> Setting:
    layers, instruction = members.get("layers"), members.get("instruction")
    return Touch(
        members["paths"].texts(),
        _layers(layers) if layers is not None else None,
        instruction.text() if instruction is not None else None,
    )


def _layers(value: TomlValue) -> str:
    text = str(value.value) if type(value.value) is int else value.text()
    if not _LAYERS.fullmatch(text):
        raise value.wrong(f"{text!r} is no layer: give an index, a range such as 1: or a digest")
    return text


def _severity(members: _Members) -> Setting:
    value = members["severity"]
    if value.value not in SEVERITIES:
        raise value.wrong(f"expected one of {', '.join(SEVERITIES)}, not {value.value!r}")
    return value.text()


_KINDS = (
    RuleKind("max_size", "P001", "bytes", "the image's files take too much"),
    RuleKind("max_stored_size", "P002", "bytes", "the stored layers take too much"),
    RuleKind("max_layers", "P003", "count", "the image has too many layers"),
    RuleKind("max_layer_size", "P004", "bytes", "a layer's files take too much"),
    RuleKind("max_wasted_bytes", "P005", "bytes", "too much is shipped but not visible"),
    RuleKind("min_efficiency", "P006", "ratio", "too little of what is shipped is visible"),
    RuleKind("max_growth", "P007", "bytes", "the image has grown too much"),
    RuleKind("max_growth_percent", "P008", "percent", "the image has grown too much"),
    RuleKind("forbid_paths", "P010", "list", "a path that may not be in the image"),
    RuleKind("require_paths", "P011", "list", "a path that has to be in the image is missing"),
    RuleKind("forbid_hidden", "P012", "list", "a lower layer still ships what may not be there"),
    RuleKind("forbid_secrets", "P013", "list", "what looks like a credential"),
    RuleKind("forbid_setuid", "P014", "list", "a set-uid or set-gid program"),
    RuleKind("layer_may_not_touch", "P015", "list", "a layer touches what it may not"),
    RuleKind("forbid_users", "P020", "list", "the image runs as a user that it may not"),
    RuleKind("require_labels", "P021", "list", "a label is missing, or not as it has to be"),
    RuleKind("forbid_env", "P022", "list", "a variable that may not be set"),
    RuleKind("lint", "P030", "list", "the layers' structure has findings"),
    RuleKind("verify", "P031", "list", "a claim of the archive is wrong"),
)
KINDS: Mapping[str, RuleKind] = {kind.name: kind for kind in _KINDS}
"""Every rule that a policy may have, by its name."""

_FORMS = {
    "max_size": _Form(("limit",), _size),
    "max_stored_size": _Form(("limit",), _size),
    "max_layers": _Form(("limit",), _count),
    "max_layer_size": _Form(("limit",), _size),
    "max_wasted_bytes": _Form(("limit",), _size),
    "min_efficiency": _Form(("limit",), _ratio),
    "max_growth": _Form(("limit",), _size),
    "max_growth_percent": _Form(("limit",), _percent),
    "forbid_paths": _Form(("paths",), _paths),
    "require_paths": _Form(("paths",), _paths),
    "forbid_hidden": _Form(("paths", "secrets"), _hidden, required=False),
    "forbid_secrets": _Form(("enabled",), _switch, required=False),
    "forbid_setuid": _Form(("allow",), _allowed, required=False),
    "layer_may_not_touch": _Form(("paths", "layers", "instruction"), _touch),
    "forbid_users": _Form(("users",), _users),
    "require_labels": _Form(("labels",), _labels),
    "forbid_env": _Form(("names",), _names),
    "lint": _Form(("severity",), _severity),
    "verify": _Form(("severity",), _severity),
}


# -- the document ----------------------------------------------------------------------------------


def parse_policy(raw: bytes, name: str) -> Policy:
    """Read a policy that is a file of its own; `name` is what messages and reports call it."""
    root = TomlDocument(raw, name).root
    return _parse_rules(root, name)


def find_policy(raw: bytes, name: str, table: Sequence[str]) -> Policy | None:
    """Read the policy that is one table of a file, such as (`tool`, `tarlayers`); None when there is no such table."""
    root = TomlDocument(raw, name).root.find(table)
    return None if root is None else _parse_rules(root, name)


def _parse_rules(root: TomlValue, name: str) -> Policy:
    rules: list[Rule] = []
    for key, value in root.members(tuple(KINDS), "rule").items():
        several = value.elements() if value.is_array_of_tables else [value]
        rules += (_parse_rule(KINDS[key], one) for one in several)
    if not rules:
        raise root.wrong("the policy has no rule")
    return Policy(name, tuple(rules))


def _parse_rule(kind: RuleKind, value: TomlValue) -> Rule:
    form = _FORMS[kind.name]
    members = value.members((*form.keys, "ignore"), "key") if value.is_table else {form.keys[0]: value}
    if form.required and form.keys[0] not in members:
        raise value.wrong(f"{form.keys[0]} is missing")
    ignores = members["ignore"].elements() if "ignore" in members else []
    return Rule(kind, form.parse(members), tuple(map(_parse_ignore, ignores)), value.line)


def _parse_ignore(value: TomlValue) -> Ignore:
    members = value.members(("globs", "reason", "until"), "key")
    for key in ("globs", "reason"):
        if key not in members:
            raise value.wrong(f"{key} is missing: every exception says what it is for and why")
    until = members.get("until")
    return Ignore(
        members["globs"].texts(), members["reason"].text(), until.day() if until is not None else None, value.line
    )
