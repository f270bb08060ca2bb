"""`tarlayers blame`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    CacheOption,
    Engine,
    EngineOption,
    ImageArgument,
    ListFormat,
    ListFormatOption,
    PlatformOption,
    QuietOption,
    VerboseOption,
    load_chosen,
    open_chosen,
    warn_refused,
    warn_unmatched,
)
from tarlayers.cli.output import write_bytes, write_json_list, write_lines


def command(
    image: ImageArgument,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="At and below this path.", show_default=False)] = "/",
    long: Annotated[bool, typer.Option("--long", "-l", help="The instruction too.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: ListFormatOption = ListFormat.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """For each visible path the layer that last wrote it, and the one that introduced it.

    Columns: the last layer, its diff ID, the layer since which the path has been there, the path. A directory is
    last written by any layer that has something below it, for engines write it again then.

    Example: tarlayers blame -l app.tar /etc
    """
    from tarlayers.analysis.blame import blame_paths
    from tarlayers.render.blame import blame_lines, blame_rows
    from tarlayers.render.images import refusals_document
    from tarlayers.render.values import dump_ndjson

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache)
    warn_unmatched(chosen, quiet=quiet)
    load_chosen(chosen.layers, quiet=quiet)
    answer = blame_paths(chosen, path, engine=engine.value)
    warn_refused(answer.refused, quiet=quiet)
    if format is ListFormat.json:
        write_json_list("blame", "entries", blame_rows(answer), head={}, tail=refusals_document(answer.refused))
    elif format is ListFormat.ndjson:
        write_bytes(dump_ndjson(blame_rows(answer)))
    else:
        write_lines(blame_lines(answer.paths, long=long))
