"""`tarlayers inspect`."""

from __future__ import annotations

from tarlayers.cli.options import (
    Format,
    FormatOption,
    ImageArgument,
    PlatformOption,
    QuietOption,
    VerboseOption,
    open_archive,
    select_meant,
    warn_of_cut,
    warn_of_unreadable,
)
from tarlayers.cli.outcome import warn
from tarlayers.cli.output import write_json, write_lines


def command(
    image: ImageArgument,
    platform: PlatformOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """What is in an archive: its images with their names, documents and layers; with #REF or --platform
    those that are meant alone. No layer is read.

    Example: tarlayers inspect app.tar
    """
    from tarlayers.render.images import inspect_document, inspect_lines

    archive, reference = open_archive(image, quiet=quiet, verbose=verbose)
    meant = select_meant(archive, reference, platform)
    warn_of_cut(archive, quiet=quiet)
    if (reference, platform) == (None, None):
        warn_of_unreadable(archive, quiet=quiet)
    for fault in archive.faults:
        warn(str(fault), quiet=quiet)
    if format is Format.json:
        write_json("inspect", inspect_document(archive, meant))
    else:
        write_lines(inspect_lines(archive, meant))
