"""`tarlayers lint`."""

from __future__ import annotations

from enum import StrEnum
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
    open_chosen,
)
from tarlayers.cli.outcome import answer_no
from tarlayers.cli.output import write_json, write_lines
from tarlayers.cli.progress import watch_reading


class Severity(StrEnum):
    """How bad a finding has to be."""

    error = "error"
    warning = "warning"
    note = "note"


def command(
    image: ImageArgument,
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit 1 when there is a finding this bad, or worse.")
    ] = Severity.error,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="CODE", help="Leave a code out (repeatable).")
    ] = None,
    all: Annotated[  # noqa: A002 # the option's name
        bool, typer.Option("--all", help="Every finding, however often a layer repeats one.")
    ] = False,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find what engines refuse in an image's layers or show differently, and what is risky to ship.

    An error is what containerd and Docker 29 refuse, a warning what engines do not agree on, a note the rest.

    Example: tarlayers lint --fail-on warning --ignore L006 app.tar
    """
    from tarlayers.analysis.lint.report import has_failed, lint_image
    from tarlayers.render.lint import lint_document, lint_lines

    chosen = open_chosen(image, platform, hashed=False, quiet=quiet, verbose=verbose, cache=cache)
    try:
        with watch_reading(sum(layer.size or 0 for layer in chosen.layers), quiet=quiet) as on_read:
            report = lint_image(chosen, ignore=[code.upper() for code in ignore or ()], on_read=on_read)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ignore") from error
    failed = has_failed(report, fail_on.value)
    if format is Format.json:
        write_json("lint", {"ok": not failed} | lint_document(report))
    else:
        write_lines(lint_lines(report, most=None if all else 10))
    if failed:
        answer_no()
