"""What all commands take: the options of `cli.bounds`, and words that the option parser would misread or show in a
way of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand

from tarlayers.cli.bounds import bound_options, reading_within
from tarlayers.cli.cache import telling_served

# Put before `-#REF`, which else looks like an option. No argument of a process can hold this character.
STREAM_MARK = "\0"

_JOINED = re.compile("-[A-Za-z]{2,}")

_UsageError: type[typer.BadParameter] = typer.BadParameter.mro()[1]  # click's, vendored or not


class NamedCommand(TyperCommand):
    """A command that every error about its words names; click leaves it out where an option lacks its value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 # click's, vendored or not
        """Parse as always, unless -h is one letter of several: nobody who writes `ls -lh` asks for help."""
        try:
            joined = find_joined_help(args, self.taking)
            if joined is not None:
                raise _UsageError(f"{joined}: -h is --help and stands alone{_add_hint(ctx, '-h')}")
            return list(super().parse_args(ctx, args))
        except _UsageError as error:
            error.ctx = error.ctx or ctx
            error.message += _add_hint(ctx, getattr(error, "option_name", ""))
            raise

    @property
    def taking(self) -> set[str]:
        """The options that take a value."""
        return {name for param in self.params if not getattr(param, "is_flag", False) for name in param.opts}


def _add_hint(ctx: Any, option: str) -> str:  # noqa: ANN401 # as above
    from tarlayers.cli.hint import hint_option

    hint = hint_option(ctx.command_path.partition(" ")[2], option)
    return f"; {hint}" if hint else ""


class Command(NamedCommand):
    """A command whose arguments may be `-#REF` (an image of several on standard input), and that has the options of
    `cli.bounds`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # typer's, whatever they are
        super().__init__(*args, **kwargs)
        self.params += bound_options()

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 # click's, vendored or not
        """Run the command within the bounds that its options give."""
        with reading_within(ctx), telling_served():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 # as above
        """Mark such words, then parse as always."""
        return list(super().parse_args(ctx, self.mark(args)))

    def mark(self, args: Sequence[str]) -> list[str]:
        """Mark such words, unless they are what an option was given."""
        return mark_streams(args, self.taking)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 # as above
        """Write `IMAGE` as everybody does; newer versions of typer put braces around it."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def spell_help(arguments: Sequence[str]) -> list[str]:
    """Make `help ls` into `ls --help`, as with git and docker."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else list(arguments)


def mark_streams(args: Sequence[str], taking: set[str]) -> list[str]:
    """Mark each `-#REF` that does not follow an option which takes a value."""
    return [
        f"{STREAM_MARK}{word}" if word.startswith("-#") and previous not in taking else word
        for previous, word in pairwise(("", *args))
    ]


def find_joined_help(args: Sequence[str], taking: set[str]) -> str | None:
    """Give the first word of several short options of which one is -h."""
    before = ["", *args]
    for previous, word in zip(before, args, strict=False):
        if word == "--":
            return None
        if _JOINED.fullmatch(word) and previous not in taking and "h" in word:
            letters = word[1 : word.index("h")]
            if not any(f"-{letter}" in taking for letter in letters):  # what follows one of these is its value
                return word
    return None
