"""`tarlayers extract`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    warn_refused,
)

if TYPE_CHECKING:
    from tarlayers.extract import ExtractReport


def command(
    image: ImageArgument,
    destination: Annotated[str, typer.Argument(metavar="DEST", help="Directory; made if it is not there.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH|GLOB]...", help="What to extract.", show_default="all")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    privileged: Annotated[
        bool, typer.Option("--privileged", help="Owners, devices, set-uid bits, all attributes too; needs root.")
    ] = False,
    at: AtOption = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Files of the merged view to disk, never outside of DEST.

    Example: tarlayers extract app.tar out /etc '*.conf'
    """
    from tarlayers.analysis.listing import select_below
    from tarlayers.extract import extract_paths

    if not destination:
        raise typer.BadParameter("names no directory", param_hint="DEST")
    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, keep=True, hashed=False)
    rootfs = merge_chosen(chosen, engine=engine, quiet=quiet, at=at)
    warn_refused(rootfs.refused, quiet=quiet)
    wanted = select_below(rootfs, paths).__contains__ if paths else bool
    report = extract_paths(rootfs, chosen.layers, destination, wanted=wanted, force=force, privileged=privileged)
    _tell(report, verbose=verbose, quiet=quiet)


def _tell(report: ExtractReport, *, verbose: bool, quiet: bool) -> None:
    """What was written, and what was left out: each with --verbose, else the first and how many."""
    from tarlayers.cli.outcome import complain, warn
    from tarlayers.nouns import count_noun
    from tarlayers.render.values import human_size

    shown = report.skipped if verbose else report.skipped[:1]
    for path, why in shown:
        more = f", and {len(report.skipped) - 1} more (-v tells)" if len(report.skipped) > len(shown) else ""
        warn(f"{path}: left out {why}{more}", quiet=quiet)
    if verbose:
        made = "1 new directory" if report.directories == 1 else f"{report.directories} new directories"
        owned = f"; {report.owners} of another owner in the image (--privileged)" if report.owners else ""
        complain(f"{count_noun(report.files, 'file')}, {human_size(report.bytes)}, {made}{owned}")
