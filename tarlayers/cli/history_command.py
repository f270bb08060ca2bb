"""`tarlayers history`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    CacheOption,
    Format,
    FormatOption,
    ImageArgument,
    PlatformOption,
    QuietOption,
    VerboseOption,
    load_chosen,
    open_chosen,
    warn_unmatched,
)
from tarlayers.cli.output import write_json, write_table


def command(
    image: ImageArgument,
    size: Annotated[
        bool, typer.Option("--size/--no-size", help="Sizes need every layer's headers; --no-size reads no layer.")
    ] = True,
    full: Annotated[bool, typer.Option("--no-trunc", help="Do not cut instructions short.")] = False,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Every build step, newest first, and the layer that it made. Sizes are those of docker history (overlay2).

    Example: tarlayers history --no-trunc app.tar
    """
    from tarlayers.render.images import HISTORY_ALIGN, HISTORY_HEADER, HISTORY_SPARE, history_cells, history_row

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache)
    warn_unmatched(chosen, quiet=quiet)
    if size:
        load_chosen([chosen.layers[row.layer] for row in chosen.history if row.layer is not None], quiet=quiet)
    newest_first = chosen.history[::-1]
    if format is Format.json:
        layers = [chosen.layers[row.layer] if size and row.layer is not None else None for row in newest_first]
        rows = [history_row(row, layer) for row, layer in zip(newest_first, layers, strict=True)]
        write_json("history", {"history": rows})
    else:
        cells = [history_cells(row, chosen.layers, sizes=size, full=full) for row in newest_first]
        write_table(HISTORY_HEADER, cells, HISTORY_ALIGN, cut=not full, spare=() if full else HISTORY_SPARE)
