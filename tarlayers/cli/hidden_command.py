"""`tarlayers hidden`."""

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
    TopOption,
    VerboseOption,
    load_chosen,
    open_chosen,
    warn_refused,
)
from tarlayers.cli.output import FEW_ROWS, write_first, write_json, write_lines, write_table
from tarlayers.cli.progress import watch_reading


def command(
    image: ImageArgument,
    secrets: Annotated[
        bool,
        typer.Option("--secrets", help="Look for credentials in hidden and visible files, variables and build steps."),
    ] = False,
    all: Annotated[  # noqa: A002 # the option's name
        bool, typer.Option("--all", "-a", help="Hidden symlinks, devices and fifos too.")
    ] = False,
    top: TopOption = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Files that a lower layer still ships though a later one overwrote or deleted them.

    Any of them can be read: tarlayers cat IMAGE PATH --only LAYER. With --secrets text shows the 20 largest, and all
    that looks like a secret, its value masked; else it shows all, and so does JSON, unless --top says otherwise.

    Example: tarlayers hidden --secrets app.tar
    """
    from tarlayers.analysis.hidden import list_hidden
    from tarlayers.analysis.secrets import find_secrets
    from tarlayers.render import hidden as render
    from tarlayers.shipped import FILES, NO_DIRECTORIES, trace_files

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, hashed=False, keep=secrets)
    for layer in chosen.layers:
        layer.require_readable()
    load_chosen(chosen.layers, quiet=quiet)
    shipment = trace_files(chosen.layers, engine=engine.value, types=NO_DIRECTORIES if all else FILES)
    warn_refused(shipment.refused, quiet=quiet)
    hidden = list_hidden(chosen, shipment.hidden)
    found, refused = None, shipment.refused
    if secrets:
        total = sum(chosen.layers[index].size or 0 for index in {file.layer for file in shipment.files})
        with watch_reading(total, quiet=quiet) as on_read:
            found = find_secrets(chosen, shipment.files, on_read=on_read)
    del shipment  # and the merged view with it
    if format is Format.json:
        document = render.hidden_document(hidden, found, refused, top or None)
        write_json("hidden", document)
        return
    if hidden:
        cells = render.row_teller(masked=secrets)
        limit = FEW_ROWS if secrets and top is None else top or 0
        write_first(render.HEADER, hidden, cells, render.ALIGN, limit)
    write_lines(render.total_lines(hidden))
    if found is not None:
        write_lines([""])
        if found:
            write_table(render.FOUND_HEADER, render.secret_cells(found), render.FOUND_ALIGN)
            write_lines([""])
        write_lines([render.secret_total(found)])
