"""`tarlayers containers`."""

from __future__ import annotations

from typing import Annotated

import typer

from tarlayers.cli.options import Format, FormatOption, QuietOption, VerboseOption, open_archive, split_reference
from tarlayers.cli.output import write_json, write_table


def command(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="An engine's data root, or a tar of one.")],
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Containers of a data root. Each is an image too: ROOT#container:NAME.

    Example: tarlayers containers /mnt/disk/var/lib/docker
    """
    from tarlayers.errors import UnsupportedInput
    from tarlayers.render.containers import CONTAINER_HEADER, container_cells, container_document

    if split_reference(root)[1] is not None:
        raise typer.BadParameter("all containers are listed: give it without #REF", param_hint="ROOT")
    archive, _ = open_archive(root, quiet=quiet, verbose=verbose)
    if archive.kind == "containerd-root":
        raise UnsupportedInput("a containerd store: its images are read, its containers are not", place=root)
    if archive.root is None:
        raise UnsupportedInput(
            f"is no data root ({archive.kind}): only engines' own directories know containers", place=root
        )
    containers = [image.container for image in archive.unlisted if image.container is not None]
    if format is Format.json:
        write_json("containers", {"containers": [container_document(each) for each in containers]})
    else:
        write_table(CONTAINER_HEADER, [container_cells(each, archive) for each in containers])
