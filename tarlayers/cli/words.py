"""Words of the command line that the option parser would misread, or show in a way of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

# Put before `-#REF`, which else looks like an option. No argument of a process can hold this character.
STREAM_MARK = "\0"


class ClosedPipe(Exception):
    """Nobody reads on. A BrokenPipeError itself typer would turn into exit 1, and that means: the answer is no."""


class Command(TyperCommand):
    """A command whose arguments may be `-#REF` (an image of several on standard input) and that may be cut short."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 # click's, vendored or not
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipe from error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 # as above
        """Mark such words, then parse as always."""
        return list(super().parse_args(ctx, self.mark(args)))

    def mark(self, args: Sequence[str]) -> list[str]:
        """Mark such words, unless they are what an option was given."""
        taking = {name for param in self.params if not getattr(param, "is_flag", False) for name in param.opts}
        return mark_streams(args, taking)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 # as above
        """Write `IMAGE` as everybody does; newer versions of typer put braces around it."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def spell_help(arguments: Sequence[str]) -> list[str]:
    """Make `help ls` into `ls --help`, as with git and docker."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else list(arguments)


def mark_streams(args: Sequence[str], taking: set[str]) -> list[str]:
    """Mark each `-#REF` that does not follow an option which takes a value."""
    before = ["", *args]
    return [
        f"{STREAM_MARK}{word}" if word.startswith("-#") and previous not in taking else word
        for previous, word in zip(before, args, strict=False)
    ]
