"""`tarlayers layers`."""

from __future__ import annotations

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
)
from tarlayers.cli.output import write_json, write_table


def command(
    image: ImageArgument,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Each layer's identity and cost, base first.

    Example: tarlayers layers app.tar
    """
    from tarlayers.render.images import LAYER_ALIGN, LAYER_HEADER, LAYER_SPARE, layer_cells, layer_document

    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache)
    load_chosen([layer for layer in chosen.layers if layer.is_unclaimed], quiet=quiet, hashed=True)
    load_chosen(chosen.layers, quiet=quiet)
    if format is Format.json:
        rows = zip(chosen.layers, chosen.chain_ids, strict=True)
        write_json("layers", {"layers": [layer_document(layer, chain_id) for layer, chain_id in rows]})
    else:
        write_table(
            LAYER_HEADER, [layer_cells(layer) for layer in chosen.layers], LAYER_ALIGN, cut=True, spare=LAYER_SPARE
        )
