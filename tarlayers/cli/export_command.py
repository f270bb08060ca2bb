"""`tarlayers export`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tarlayers.cli.options import (
    AtOption,
    CacheOption,
    Engine,
    EngineOption,
    ImageArgument,
    PlatformOption,
    QuietOption,
    VerboseOption,
    merge_chosen,
    open_chosen,
    split_reference,
    warn_refused,
)
from tarlayers.cli.output import require_output, write_output
from tarlayers.stdio import STANDARD


def command(
    image: ImageArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the tar; - is standard output.")
    ] = STANDARD,
    at: AtOption = None,
    mtime: Annotated[
        str | None,
        typer.Option("--mtime", metavar="TIME", help="One time for all: RFC 3339 or @SECONDS.", show_default=False),
    ] = None,
    strip_mtime: Annotated[bool, typer.Option("--strip-mtime", help="The epoch as every time.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The merged root file system as one tar, the same bytes for the same image.

    Example: tarlayers export app.tar -o rootfs.tar
    """
    from tarlayers.export import export_rootfs

    if output == STANDARD and sys.stdout.isatty():
        raise typer.BadParameter("a tar is not for a terminal: give --output FILE, or a pipe")
    require_output(output, [split_reference(image)[0]])
    if strip_mtime and mtime is not None:
        raise typer.BadParameter("--strip-mtime is a time of its own: give one of the two", param_hint="--mtime")
    time = 0 if strip_mtime else parse_time(mtime) if mtime is not None else None
    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, keep=True, hashed=False)
    rootfs = merge_chosen(chosen, engine=engine, quiet=quiet, at=at)
    warn_refused(rootfs.refused, quiet=quiet)
    chunks = export_rootfs(rootfs, chosen.layers, mtime=time)
    write_output(output, chunks)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch."""
    from datetime import UTC, datetime, timedelta

    try:
        seconds = int(text[1:]) if text.startswith("@") else None
        moment = datetime.fromisoformat(text) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise typer.BadParameter(f"{text!r} is no time (RFC 3339, or @SECONDS)", param_hint="--mtime") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
