"""`tarlayers ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tarlayers.cli.options import (
    AtOption,
    Engine,
    EngineOption,
    ImageArgument,
    ListFormat,
    ListFormatOption,
    OnlyOption,
    PlatformOption,
    QuietOption,
    VerboseOption,
    merge_chosen,
    open_chosen,
    warn_refused,
)
from tarlayers.cli.output import write_bytes, write_json, write_lines

if TYPE_CHECKING:
    from tarlayers.analysis.listing import Selection
    from tarlayers.image import Image


def command(
    image: ImageArgument,
    path: Annotated[str, typer.Argument(help="Directory or file inside the image.")] = "/",
    long: Annotated[bool, typer.Option("--long", "-l", help="Type, mode, owner, size, time and layer too.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All that is below PATH.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Draw it as a tree.")] = False,
    at: AtOption = None,
    only: OnlyOption = None,
    match: Annotated[
        str | None, typer.Option("--match", metavar="GLOB", help="Paths that match, below PATH.", show_default=False)
    ] = None,
    type: Annotated[  # noqa: A002 # the option's name
        str | None,
        typer.Option("--type", metavar="TYPE,...", help="file dir symlink char block fifo.", show_default=False),
    ] = None,
    digests: Annotated[bool, typer.Option("--digests", help="Compute the sha256 of every file.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: ListFormatOption = ListFormat.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The merged file system, or one layer of it.

    Example: tarlayers ls -lR app.tar /etc
    """
    from tarlayers.analysis.listing import parse_selection

    try:
        selection = parse_selection(path, recursive=recursive or tree, match=match, types=type)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--type") from error
    chosen = open_chosen(image, platform, hashed=False, contents=digests, quiet=quiet)
    if only is not None:
        _list_layer(chosen, only, selection, long=long, digests=digests, format=format)
        return
    rootfs = merge_chosen(chosen, engine=engine, at=at, contents=digests)
    warn_refused(rootfs.refused, quiet=quiet)
    rows = selection.select(rootfs)
    if format is ListFormat.text:
        from tarlayers.render.listing import list_long, list_paths, list_tree

        write_lines((list_tree if tree else list_long if long else list_paths)(rows))
        return
    from tarlayers.render.values import dump_ndjson, entry_dict

    entries = (entry_dict(row.entry, path=row.path, layer=row.layer, links=row.links, digests=digests) for row in rows)
    if format is ListFormat.ndjson:
        write_bytes(dump_ndjson(entries))
    else:
        from tarlayers.render.images import refusals_document

        write_json("ls", {"entries": list(entries)} | refusals_document(rootfs.refused))


def _list_layer(
    image: Image,
    only: str,
    selection: Selection,
    *,
    long: bool,
    digests: bool,
    format: ListFormat,  # noqa: A002 # as above
) -> None:
    """One layer raw, in tar order."""
    from tarlayers.image import find_layer

    layer = find_layer(image, only)
    entries = list(selection.select_raw(layer.read(contents=digests).entries))
    if format is ListFormat.text:
        from tarlayers.render.listing import list_long, list_paths

        rows = [(entry.path, entry, layer.index, ()) for entry in entries]
        write_lines((list_long if long else list_paths)(rows))
        return
    from tarlayers.render.values import dump_ndjson, raw_entry_dict

    documents = (raw_entry_dict(entry, layer=layer.index, digests=digests) for entry in entries)
    if format is ListFormat.ndjson:
        write_bytes(dump_ndjson(documents))
    else:
        write_json("ls", {"layer": layer.index, "entries": list(documents)})
