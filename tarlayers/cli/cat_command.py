"""`tarlayers cat`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import (
    AtOption,
    CacheOption,
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
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="File inside the image; symlinks are followed, with --only not.")
    ],
    at: AtOption = None,
    only: OnlyOption = None,
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset", metavar="BYTE", help="With --only: which of several of that name.", show_default=False
        ),
    ] = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """A file's bytes; with --only N those that layer N holds, also when a later layer hid them.

    Example: tarlayers cat app.tar /etc/os-release
    """
    from tarlayers.analysis.listing import find_file, find_holders, find_in_layer
    from tarlayers.errors import NoSuchPath
    from tarlayers.image import find_layer

    if offset is not None and only is None:
        raise typer.BadParameter("means something only with --only", param_hint="--offset")
    if at is not None and only is not None:
        raise typer.BadParameter("is about the merged view, so it does not go with --only", param_hint="--at")
    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, keep=True, hashed=False)
    if only is not None:
        layer = find_layer(chosen, only)
        write_bytes(layer.open_content(find_in_layer(layer.read().entries, path, offset)))
        return
    rootfs = merge_chosen(chosen, engine=engine, quiet=quiet, at=at)
    warn_refused(rootfs.refused, quiet=quiet)
    try:
        found = find_file(rootfs, path)
    except NoSuchPath as error:
        holders = find_holders(chosen.layers, path)
        if not holders:
            raise
        raise NoSuchPath(f"{error.reason}; layer {holders[-1]} holds it (--only {holders[-1]})", place=path) from error
    write_bytes(chosen.layers[rootfs.layer_of(found)].open_content(rootfs[found]))
