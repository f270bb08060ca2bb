"""`tarlayers verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import Format, FormatOption, ImageArgument, QuietOption, open_archive, select_meant
from tarlayers.cli.outcome import answer_no
from tarlayers.cli.output import write_json, write_lines
from tarlayers.cli.progress import watch_reading


def command(
    image: ImageArgument,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every blob that is checked, in text.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Recompute every digest, size and count that an archive claims, for all its images. Exit 1 when one is wrong.

    Example: tarlayers verify app.tar
    """
    from tarlayers.render.findings import verify_document, verify_lines

    archive, reference = open_archive(image, quiet=quiet, verbose=verbose, entries=False)
    select_meant(archive, reference)  # the whole archive is verified, but a name has to be one
    with watch_reading(archive.size, quiet=quiet) as on_read:
        if archive.root is None:
            from tarlayers.analysis.verify import verify_archive

            report = verify_archive(archive, on_read=on_read)
        else:
            from tarlayers.analysis.verify_root import verify_root

            report = verify_root(archive)
    if format is Format.json:
        write_json("verify", verify_document(report))
    else:
        write_lines(verify_lines(report, every_blob=verbose))
    if not report.ok:
        answer_no()
