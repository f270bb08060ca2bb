"""`--limit` and `--no-limits`, which every command has that reads an archive: the bounds under which it is read.

They belong to the call, not to a question, so no command passes them on: `Command` takes them, and whatever opens
something asks for `current_limits()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperOption

if TYPE_CHECKING:
    from tarlayers.limits import Limits

# Of the call that is running; a context variable, so that two calls in one process do not meet.
_CURRENT: ContextVar[Limits | None] = ContextVar("limits", default=None)
_WORDS, _NONE = "tarlayers.limit", "tarlayers.no_limits"


def bound_options() -> list[TyperOption]:
    """Make the two options; what they are given waits in the context's `meta`."""
    return [
        TyperOption(
            param_decls=["--limit"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Read on to another bound (repeatable); an error names the one that was passed.",
            expose_value=False,
            callback=lambda ctx, _, words: ctx.meta.update({_WORDS: words}),
        ),
        TyperOption(
            param_decls=["--no-limits"],
            is_flag=True,
            default=False,
            help="Read on whatever it costs: for archives that you trust.",
            expose_value=False,
            callback=lambda ctx, _, value: ctx.meta.update({_NONE: value}),
        ),
    ]


@contextmanager
def reading_within(context: Any) -> Iterator[None]:  # noqa: ANN401 # click's, vendored or not
    """Have `current_limits` give what the options say."""
    token = _CURRENT.set(_choose_limits(context))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _choose_limits(context: Any) -> Limits:  # noqa: ANN401 # as above
    from tarlayers.limits import DEFAULT_LIMITS, NO_LIMITS, change_limits

    try:
        return change_limits(NO_LIMITS if context.meta.get(_NONE) else DEFAULT_LIMITS, context.meta.get(_WORDS) or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), context, param_hint="--limit") from error


def current_limits() -> Limits:
    """Give the bounds of the running call."""
    from tarlayers.limits import DEFAULT_LIMITS

    return _CURRENT.get() or DEFAULT_LIMITS
