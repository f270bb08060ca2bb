"""`tarlayers waste`."""

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
from tarlayers.cli.output import FEW_ROWS, write_first, write_json, write_lines


def command(
    image: ImageArgument,
    digests: Annotated[
        bool, typer.Option("--digests", help="Compare contents: tell copies that changed nothing but metadata.")
    ] = False,
    top: TopOption = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bytes that are shipped but not visible: which paths, which layers, and why. Dive's score beside it.

    Text shows the 20 largest, JSON all, unless --top says otherwise.

    Example: tarlayers waste --digests app.tar
    """
    from tarlayers.analysis.dive import score_image
    from tarlayers.analysis.waste import measure_waste
    from tarlayers.render import waste as render

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, contents=digests)
    for layer in chosen.layers:
        layer.require_readable()
    load_chosen(chosen.layers, quiet=quiet, compared=digests)
    score = score_image(chosen)  # first, while there is no list of paths beside its trees
    waste = measure_waste(chosen, engine=engine.value, digests=digests)
    warn_refused(waste.refused, quiet=quiet)
    if format is Format.json:
        document = render.waste_document(waste, score, top or None)
        write_json("waste", document)
        return
    if waste.paths:
        limit = FEW_ROWS if top is None else top
        by_size = sorted((row for row in waste.by_layer if row.bytes), key=lambda row: -row.bytes)
        write_first(render.PATH_HEADER, waste.paths, render.path_cells, render.PATH_ALIGN, limit)
        write_first(render.LAYER_HEADER, by_size, render.layer_cells, render.LAYER_ALIGN, limit)
    write_lines(render.total_lines(waste, score))
