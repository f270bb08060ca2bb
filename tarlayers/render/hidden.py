"""Hidden files and what looks like credentials: as JSON documents and as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Any

from tarlayers.analysis.hidden import HiddenFile
from tarlayers.analysis.secrets import Secret
from tarlayers.formats.secrets import mask_text
from tarlayers.render.escape import escape_text
from tarlayers.render.images import refusals_document
from tarlayers.render.rows import Rows
from tarlayers.render.steps import brief_step
from tarlayers.render.values import human_size, path_fields, paths_fields
from tarlayers.rootfs import Refusal

HEADER = ("SIZE", "LAYER", "PATH", "CAUSE", "HIDDEN BY")
ALIGN = ">><<<"
FOUND_HEADER = ("SECRET", "WHERE", "STATE", "LAYER", "VALUE")
FOUND_ALIGN = "<<<><"
_STEP = 48  # characters of an instruction beside a path

_Key = tuple[int | None, int | None]


def hidden_document(
    hidden: Sequence[HiddenFile], secrets: Sequence[Secret] | None, refused: Sequence[Refusal], top: int | None
) -> dict[str, Any]:
    """What is hidden. With `secrets` (None: not looked for) instructions are masked as well."""
    mask = (lambda text: text) if secrets is None else cache(_mask)  # thousands of files, a few instructions
    rules = _rules_by_file(secrets or ())
    document: dict[str, Any] = {
        "hidden": Rows(hidden[:top], lambda row: _hidden_row(row, mask, rules)),
        "total": {"files": len(hidden), "bytes": sum(row.size for row in hidden)},
    }
    if secrets is not None:
        document["secrets"] = [_secret_row(secret) for secret in secrets]
    return document | refusals_document(refused)


def _mask(text: str | None) -> str | None:
    return None if text is None else mask_text(text)


def _rules_by_file(secrets: Collection[Secret]) -> dict[_Key, list[str]]:
    rules: dict[_Key, list[str]] = {}
    for secret in secrets:
        if secret.place == "file":
            rules.setdefault((secret.layer, secret.offset), []).append(secret.rule)
    return rules


def _hidden_row(
    row: HiddenFile, mask: Callable[[str | None], str | None], rules: dict[_Key, list[str]]
) -> dict[str, Any]:
    document = path_fields("path", row.path or "/") | {
        "type": row.type,
        "size": row.size,
        "layer": row.layer,
        "hidden_by": row.hidden_by,
        "cause": row.cause,
        "how": row.how,
        **path_fields("by", row.by or "/"),
        "created_by": mask(row.created_by),
        "hidden_by_step": mask(row.hidden_by_step),
        "offset": row.offset,
    }
    if row.stored_as != row.path:
        document |= path_fields("stored_as", row.stored_as or "/")
    if row.links:
        document |= paths_fields("links", row.links)
    found = rules.get((row.layer, row.offset))
    return document | ({"secrets": found} if found else {})


def _secret_row(secret: Secret) -> dict[str, Any]:
    document: dict[str, Any] = {"place": secret.place, "rule": secret.rule}
    if secret.path is not None:
        document |= path_fields("path", secret.path)
        document |= {"visible": secret.hidden_by is None, "hidden_by": secret.hidden_by, "offset": secret.offset}
    extras = {"layer": secret.layer, "name": secret.name, "line": secret.line, "value": secret.masked}
    document |= {key: value for key, value in extras.items() if value is not None}
    return document | {"matches": secret.matches, "likely_example": secret.fixture}


# -- text ------------------------------------------------------------------------------------------


def row_teller(*, masked: bool) -> Callable[[HiddenFile], tuple[str, ...]]:
    """Give what makes a row of the table of hidden files."""
    brief = cache(lambda step: brief_step(_mask(step) if masked else step, _STEP))  # thousands of files, a few steps
    return lambda row: _cells(row, brief(row.hidden_by_step))


def _cells(row: HiddenFile, step: str) -> tuple[str, ...]:
    again = f" (stored as {escape_text(row.stored_as or '/')})" if row.stored_as != row.path else ""
    return (
        human_size(row.size),
        str(row.layer),
        escape_text(row.path or "/") + again,
        row.cause.replace("_", " "),
        f"{row.hidden_by} {step}".rstrip(),
    )


def total_lines(hidden: Sequence[HiddenFile]) -> Iterator[str]:
    """How much it is, and how to read one back."""
    size = human_size(sum(row.size for row in hidden))
    plural = "" if len(hidden) == 1 else "s"
    yield f"{len(hidden)} hidden file{plural}, {size}" + ("; read one with cat --only LAYER" if hidden else "")


def secret_cells(secrets: Sequence[Secret]) -> list[tuple[str, ...]]:
    """The table of secrets: what is hidden first, examples last; a git repository is one row."""
    rows: dict[tuple[str, ...], None] = {}
    for secret in sorted(secrets, key=lambda s: (s.fixture, s.hidden_by is None)):
        state = (
            "" if secret.path is None else "visible" if secret.hidden_by is None else f"hidden by {secret.hidden_by}"
        )
        layer = "" if secret.layer is None else str(secret.layer)
        value = escape_text(secret.masked or "") + (f" x{secret.matches}" if secret.matches > 1 else "")
        note = " (likely an example)" if secret.fixture else ""
        rows[secret.rule, _where(secret), state, layer, f"{value}{note}".strip()] = None
    return list(rows)


def _where(secret: Secret) -> str:
    if secret.path is None:
        return f"{secret.place} {escape_text(secret.name or '')}"
    path = secret.path
    if secret.rule == "git-repository":
        path = path[: path.index("/.git/") + len("/.git/")] if "/.git/" in path else path
    return escape_text(path) + (f":{secret.line}" if secret.line is not None else "")


def secret_total(secrets: Sequence[Secret]) -> str:
    """How many findings there are, and where."""
    counts = {
        "in hidden files": sum(s.place == "file" and s.hidden_by is not None for s in secrets),
        "in visible files": sum(s.place == "file" and s.hidden_by is None for s in secrets),
        "in the configuration and history": sum(s.place != "file" for s in secrets),
    }
    parts = ", ".join(f"{count} {where}" for where, count in counts.items() if count)
    return f"looks like a secret: {parts}" if parts else "nothing looks like a secret"
