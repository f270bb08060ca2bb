"""`tarlayers waste`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    Engine,
    EngineOption,
    Format,
    FormatOption,
    ImageArgument,
    PlatformOption,
    QuietOption,
    TopOption,
    VerboseOption,
    open_chosen,
    warn_refused,
)
from tarlayers.cli.output import write_json, write_lines, write_table

_TOP = 20  # paths that text shows unless told otherwise: what fits a terminal


def command(
    image: ImageArgument,
    digests: Annotated[
        bool, typer.Option("--digests", help="Compare contents: tell copies that changed nothing but metadata.")
    ] = False,
    top: TopOption = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bytes that are shipped but not visible: which paths, which layers, and why. Dive's score beside it.

    Text shows the 20 largest paths, JSON all, unless --top says otherwise.

    Example: tarlayers waste --digests app.tar
    """
    from tarlayers.analysis.dive import score_image
    from tarlayers.analysis.waste import measure_waste
    from tarlayers.render import waste as render

    chosen = open_chosen(image, platform, contents=digests)
    waste = measure_waste(chosen, engine=engine.value, digests=digests)
    score = score_image(chosen)
    warn_refused(waste.refused, quiet=quiet)
    if format is Format.json:
        write_json("waste", render.waste_document(waste, score, top or None))
        return
    shown = waste.paths[: (_TOP if top is None else top) or None]
    if waste.paths:
        write_table(render.PATH_HEADER, [render.path_cells(row) for row in shown], render.PATH_ALIGN)
        if len(shown) < len(waste.paths):
            write_lines([f"... and {len(waste.paths) - len(shown)} more (--top 0 shows all)"])
        by_size = sorted((row for row in waste.by_layer if row.bytes), key=lambda row: -row.bytes)
        write_lines([""])
        write_table(render.LAYER_HEADER, [render.layer_cells(row) for row in by_size], render.LAYER_ALIGN)
        write_lines([""])
    write_lines(render.total_lines(waste, score))
