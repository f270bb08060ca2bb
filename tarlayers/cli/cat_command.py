"""`tarlayers cat`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    AtOption,
    Engine,
    EngineOption,
    ImageArgument,
    OnlyOption,
    PlatformOption,
    QuietOption,
    VerboseOption,
    merge_chosen,
    open_chosen,
    warn_refused,
)
from tarlayers.cli.output import write_bytes


def command(
    image: ImageArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help="File inside the image; symlinks are followed.")],
    at: AtOption = None,
    only: OnlyOption = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """A file's bytes; with --only N those that layer N holds, also when a later layer hid them.

    Example: tarlayers cat app.tar /etc/os-release
    """
    from tarlayers.analysis.listing import find_file, find_in_layer
    from tarlayers.image import find_layer

    chosen = open_chosen(image, platform, keep=True, hashed=False, quiet=quiet)
    if only is not None:
        layer = find_layer(chosen, only)
        write_bytes(layer.open_content(find_in_layer(layer.entries, path)))
        return
    rootfs = merge_chosen(chosen, engine=engine, at=at)
    warn_refused(rootfs.refused, quiet=quiet)
    found = find_file(rootfs, path)
    write_bytes(chosen.layers[rootfs.layer_of(found)].open_content(rootfs[found]))
