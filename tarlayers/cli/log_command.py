"""`tarlayers log`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    CacheOption,
    Engine,
    EngineOption,
    Format,
    FormatOption,
    ImageArgument,
    PlatformOption,
    QuietOption,
    VerboseOption,
    load_chosen,
    open_chosen,
    warn_refused,
    warn_unmatched,
)
from tarlayers.cli.output import write_json, write_table


def command(
    image: ImageArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help="File or directory, also one that was deleted.")],
    full: Annotated[bool, typer.Option("--no-trunc", help="Do not cut instructions short.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The life of one path through the layers, newest first, with the instruction that did it.

    A added, C changed (and what: content, mode, owner, mtime, type, link, xattrs, rdev; "nothing" where a layer
    wrote it again as it was), D deleted (and how: by a whiteout, an opaque directory, or another type in its place
    or above it). A path that is gone has a life too; for one that never was the exit code is 1.

    Example: tarlayers log app.tar /etc/passwd
    """
    from tarlayers.analysis.log import trace_path
    from tarlayers.render.log import LOG_ALIGN, LOG_HEADER, log_cells, log_document

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, contents=True)
    warn_unmatched(chosen, quiet=quiet)
    load_chosen(chosen.layers, quiet=quiet)
    log = trace_path(chosen, path, engine=engine.value)
    warn_refused(log.refused, quiet=quiet)
    if format is Format.json:
        write_json("log", log_document(log))
    else:
        cells = [log_cells(event, log.path, full=full) for event in log.events]
        write_table(LOG_HEADER, cells, LOG_ALIGN, cut=not full)
