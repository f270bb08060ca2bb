"""`tarlayers cache`."""

from __future__ import annotations

import typer

from tarlayers.cli.cache import open_cache, why_off
from tarlayers.cli.options import Format, FormatOption, QuietOption, VerboseOption
from tarlayers.cli.outcome import INPUT_WRONG, complain
from tarlayers.cli.output import write_json, write_lines
from tarlayers.cli.words import NamedCommand

command = typer.Typer(
    help="The files of layers that were read before, so that they need not be decompressed again.",
    epilog="Example: tarlayers cache info",
)


@command.command("info", cls=NamedCommand)
def show_info(
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Where it is, and how much is in it.

    Example: tarlayers cache info
    """
    from tarlayers.render.cache import info_document, info_lines

    cache = open_cache()
    off = cache.problem if cache is not None else why_off()
    if format is Format.json:
        write_json("cache", info_document(cache, off))
    else:
        write_lines(info_lines(cache, off))


@command.command("clear", cls=NamedCommand)
def clear(
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove all that is in it. Exit 3 when something cannot be removed.

    Example: tarlayers cache clear
    """
    from tarlayers.nouns import count_noun
    from tarlayers.render.cache import cleared_document, cleared_lines
    from tarlayers.sources.layercache import CacheUsage

    cache = open_cache()
    failed: list[OSError] = []
    removed = cache.clear(failed.append) if cache is not None else CacheUsage(0, 0)
    if format is Format.json:
        write_json("cache", cleared_document(removed))
    elif not quiet:
        write_lines(cleared_lines(removed))
    if cache is not None and (cache.problem or failed):
        complain(
            cache.problem or f"{cache.path}: {count_noun(len(failed), 'file')} cannot be removed: {failed[0].strerror}"
        )
        raise typer.Exit(INPUT_WRONG)
