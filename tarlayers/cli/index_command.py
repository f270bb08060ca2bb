"""`tarlayers index`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tarlayers.cli.options import (
    PlatformOption,
    QuietOption,
    VerboseOption,
    choose_in,
    open_archive,
    split_reference,
)
from tarlayers.cli.output import require_output, write_output
from tarlayers.cli.progress import watch_reading
from tarlayers.stdio import STANDARD


def command(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="PATH[#REF]: an archive, a directory, a bare layer, or - for standard input, but no engine's data "
            "root; #REF is a tag, a digest, an image ID or @N.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the index; - is standard output.")
    ] = STANDARD,
    digests: Annotated[
        bool, typer.Option("--digests/--no-digests", help="Digests of files' contents, which diff compares by.")
    ] = True,
    platform: PlatformOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The index of an archive: a small file that stands for it in every question but for contents.

    It holds all documents, entries and digests of the image that #REF or --platform chooses, or of all images, and
    is an IMAGE itself for every command but cat, export, extract, hidden --secrets, diff --patch, and check where a
    rule is about secrets.

    Example: tarlayers index app.tar -o app.tlx; tarlayers diff app.tlx new.tar
    """
    from tarlayers.imageindex import write_index

    if output == STANDARD and sys.stdout.isatty():
        raise typer.BadParameter("an index is not for a terminal: give --output FILE, or a pipe")
    require_output(output, [split_reference(image)[0]])
    archive, reference = open_archive(image, quiet=quiet, verbose=verbose, contents=digests)
    chosen = (
        None
        if reference is platform is None
        else [choose_in(archive, reference, platform, quiet=quiet, contents=digests)]
    )
    with watch_reading(archive.size, quiet=quiet) as on_read:
        chunks = write_index(archive, chosen, contents=digests, on_read=on_read)
        write_output(output, chunks)
