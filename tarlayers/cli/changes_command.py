"""`tarlayers changes`."""

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
from tarlayers.cli.output import write_json, write_lines


def command(
    image: ImageArgument,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="At and below this path.", show_default=False)] = "/",
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="N", help="What layer N did (index or digest).", show_default=False),
    ] = None,
    noise: Annotated[
        bool,
        typer.Option("--all", "-a", help="Also what was written again as it was, and directories' times."),
    ] = False,
    long: Annotated[bool, typer.Option("--long", "-l", help="Also what changed, or why a path is gone.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """What each layer did, as docker diff prints it: A added, C changed, D deleted.

    A deleted directory is one line, whatever was in it; so is a directory that something else replaced. Of the
    first layer everything is A. Directories whose time alone changed are left out, and what was written again as
    it was: --all shows them, and then a committed layer has the lines of docker diff. More than one layer: a line
    that starts with # says whose changes follow. What changed is told by --long: of an A its size, of a C the
    aspects, of a D the cause, and how many paths went with a directory. For a PATH that no layer ever had the exit
    code is 1; of one that none of them changed nothing is printed. Of a container of a data root
    (ROOT#container:NAME) these are the changes of its own layer: with --all, docker diff without a daemon.

    Example: tarlayers changes app.tar /etc --layer 3
    """
    from tarlayers.analysis.changes import list_changes
    from tarlayers.image import find_layer
    from tarlayers.render.changes import change_lines, changes_document

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, contents=True)
    warn_unmatched(chosen, quiet=quiet)
    if layer is None and chosen.container is not None:
        layer = "-1"  # docker diff speaks of a container's own layer alone
    index = None if layer is None else find_layer(chosen, layer).index
    load_chosen(chosen.layers if index is None else chosen.layers[: index + 1], quiet=quiet, compared=True)
    answer = list_changes(chosen, layer=index, path=path, noise=noise, engine=engine.value)
    warn_refused(answer.refused, quiet=quiet)
    if format is Format.json:
        write_json("changes", changes_document(answer))
    else:
        headed = index is None and len(answer.layers) > 1
        write_lines(change_lines(answer.layers, headed=headed, narrowed=path.strip("/.") != "", long=long))
