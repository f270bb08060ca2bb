"""`tarlayers ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tarlayers.cli.options import (
    AtOption,
    CacheOption,
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
    refuse_together,
    warn_refused,
)
from tarlayers.cli.output import write_bytes, write_json_list, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarlayers.analysis.listing import ListedPath, Selection
    from tarlayers.image import Image
    from tarlayers.rootfs import RootFS


def command(
    image: ImageArgument,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Directory or file inside the image; links are followed where they lead somewhere."
        ),
    ] = "/",
    long: Annotated[bool, typer.Option("--long", "-l", help="Type, mode, owner, size, time and layer too.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All that is below PATH.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Draw it as a tree.")] = False,
    du: Annotated[
        bool,
        typer.Option(
            "--du", help="Sizes with all that is below, and the layers they come from; largest first, last all of PATH."
        ),
    ] = False,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", metavar="N", min=1, help="All that is at most N levels below PATH.", show_default=False
        ),
    ] = None,
    at: AtOption = None,
    only: OnlyOption = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match",
            metavar="GLOB",
            help="Names that match, or with a slash whole paths; below PATH.",
            show_default=False,
        ),
    ] = None,
    type: Annotated[  # noqa: A002 # the option's name
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE,...",
            help="file dir symlink char block fifo; with --only also hardlink unknown.",
            show_default=False,
        ),
    ] = None,
    digests: Annotated[bool, typer.Option("--digests", help="Compute the sha256 of every file.")] = False,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: ListFormatOption = ListFormat.text,  # noqa: A002 # the option's name
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The merged file system, or one layer of it.

    Example: tarlayers ls -lR app.tar /etc

    Example: tarlayers ls --du --depth 2 app.tar /usr
    """
    from tarlayers.analysis.listing import parse_selection

    try:
        selection = parse_selection(
            path, recursive=recursive or tree, match=match, types=type, depth=depth, raw=only is not None
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--type") from error
    refuse_together({"--du": du, "--tree": tree, "--long": long})
    if format is ListFormat.text:
        refuse_together({"--du": du, "--tree": tree, "--digests": digests})
    for option, given in (("--du", du), ("--tree", tree), ("--at", at is not None)):
        if given and only is not None:
            raise typer.BadParameter("is about the merged view, so it does not go with --only", param_hint=option)
    chosen = open_chosen(image, platform, quiet=quiet, verbose=verbose, cache=cache, hashed=False, contents=digests)
    if only is not None:
        _list_layer(chosen, only, selection, long=long, digests=digests, format=format)
        return
    rootfs = merge_chosen(chosen, engine=engine, quiet=quiet, at=at, contents=digests)
    warn_refused(rootfs.refused, quiet=quiet)
    if format is ListFormat.text and not (du or tree or long or digests):
        from tarlayers.render.listing import list_paths

        write_lines(list_paths(selection.select_paths(rootfs)))
        return
    if format is ListFormat.text and tree:
        from tarlayers.render.listing import list_tree

        write_lines(list_tree(selection.select_tree(rootfs)))
        return
    rows = selection.select(rootfs)
    if du:
        _list_usage(rootfs, selection, rows, digests=digests, format=format)
        return
    if format is ListFormat.text:
        from tarlayers.render.listing import list_digests, list_long

        write_lines(list_long(rows, digests=digests) if long else list_digests(rows))
        return
    from tarlayers.render.values import dump_ndjson, entry_dict

    entries = (entry_dict(row.entry, path=row.path, layer=row.layer, links=row.links, digests=digests) for row in rows)
    if format is ListFormat.ndjson:
        write_bytes(dump_ndjson(entries))
    else:
        from tarlayers.render.images import refusals_document

        write_json_list("ls", "entries", entries, head={}, tail=refusals_document(rootfs.refused))


def _list_usage(
    rootfs: RootFS,
    selection: Selection,
    rows: Sequence[ListedPath],
    *,
    digests: bool,
    format: ListFormat,  # noqa: A002 # the option's name
) -> None:
    """Sizes: the largest first as text, in the order of paths in documents."""
    from tarlayers.analysis.usage import measure_usage

    top = selection.find_top(rootfs)
    usages = measure_usage(rootfs, [*(row.path for row in rows), top])
    if format is ListFormat.text:
        from tarlayers.render.listing import list_usage

        write_lines(
            list_usage([usage for usage in usages if usage.path != top], next(u for u in usages if u.path == top))
        )
        return
    from tarlayers.render.values import dump_ndjson, entry_dict, usage_dict

    by_path = {usage.path: usage_dict(usage.bytes, usage.files, usage.by_layer) for usage in usages}
    entries = (
        entry_dict(row.entry, path=row.path, layer=row.layer, links=row.links, digests=digests)
        | {"du": by_path[row.path]}
        for row in rows
    )
    if format is ListFormat.ndjson:
        write_bytes(dump_ndjson(entries))
    else:
        from tarlayers.render.images import refusals_document

        tail = {"total": by_path[top]} | refusals_document(rootfs.refused)
        write_json_list("ls", "entries", entries, head={}, tail=tail)


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
    entries = selection.select_raw(layer.read(contents=digests).entries)
    if format is ListFormat.text:
        from tarlayers.render.listing import list_digests, list_long, list_paths

        rows = [(entry.path, entry, layer.index, ()) for entry in entries]
        if long:
            write_lines(list_long(rows, digests=digests))
        else:
            write_lines(list_digests(rows) if digests else list_paths([entry.path for entry in entries]))
        return
    from tarlayers.render.values import dump_ndjson, raw_entry_dict

    documents = (raw_entry_dict(entry, layer=layer.index, digests=digests) for entry in entries)
    if format is ListFormat.ndjson:
        write_bytes(dump_ndjson(documents))
    else:
        write_json_list("ls", "entries", documents, head={"layer": layer.index}, tail={})
