"""`tarlayers diff`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tarlayers.cli.options import (
    CacheOption,
    Engine,
    EngineOption,
    PlatformOption,
    QuietOption,
    VerboseOption,
    open_two,
    refuse_together,
    warn_refused,
)
from tarlayers.cli.outcome import answer_no
from tarlayers.cli.output import write_bytes, write_json, write_lines
from tarlayers.cli.progress import watch_reading

if TYPE_CHECKING:
    from tarlayers.analysis.diff import ImageDiff
    from tarlayers.analysis.patch import FilePatch


class DiffFormat(StrEnum):
    """Output of `diff`."""

    text = "text"
    json = "json"
    markdown = "markdown"


def command(
    old: Annotated[str, typer.Argument(metavar="OLD", help="PATH[#REF] of the old image.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="PATH[#REF] of the new image.", show_default=False)],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Directory or file to look at alone.")] = "/",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 when they differ.")] = False,
    stat: Annotated[bool, typer.Option("--stat", help="Sum files up, by directory where there are many.")] = False,
    only: Annotated[
        str, typer.Option("--only", metavar="SECTION,...", help="Compare some of these alone.")
    ] = "files,config,history,layers",
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="GLOB", help="Paths to leave out; may be repeated.", show_default=False),
    ] = None,
    mtime: Annotated[bool, typer.Option("--mtime/--ignore-mtime", help="Whether times count.")] = False,
    patch: Annotated[
        str | None,
        typer.Option("--patch", metavar="PATH", help="Show one text file line by line.", show_default=False),
    ] = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    format: Annotated[  # noqa: A002 # the option's name
        DiffFormat, typer.Option("--format", "-f", help="How to print the answer.")
    ] = DiffFormat.text,
    cache: CacheOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Two images: files, configuration, history, layers.

    Layers that claim one diff ID are taken for equal and are not compared; verify checks the claims.

    Example: tarlayers diff --only files --ignore '*.pyc' app.tar#v1 app.tar#v2 /usr
    """
    from tarlayers.analysis.diff import SECTIONS, diff_images

    sections = [word.strip() for word in only.split(",")]
    if not set(sections) <= set(SECTIONS):
        raise typer.BadParameter(f"give some of {','.join(SECTIONS)}", param_hint="--only")
    about_files = {"PATH": path != "/", "--stat": stat, "--ignore": bool(ignore), "--mtime": mtime}
    if patch is not None:
        for option, is_given in {**about_files, "--only": only != ",".join(SECTIONS)}.items():
            refuse_together({"--patch": True, option: is_given})
    for option, is_given in about_files.items():
        if is_given and "files" not in sections:
            raise typer.BadParameter("is about files, which --only leaves out", param_hint=option)
    images = open_two(
        old,
        new,
        platform,
        quiet=quiet,
        verbose=verbose,
        cache=cache,
        contents="files" in sections,
        keep=patch is not None,
    )
    total = sum(layer.size or 0 for image in images for layer in image.layers)
    if patch is not None:
        from tarlayers.analysis.patch import patch_file

        with watch_reading(total, quiet=quiet) as on_read:
            found = patch_file(*images, patch, engine=engine.value, on_read=on_read)
        _show_patch(found, old, new, format=format, exit_code=exit_code, quiet=quiet)
        return
    with watch_reading(total, quiet=quiet) as on_read:
        diff = diff_images(
            *images, engine=engine.value, only=sections, ignore=ignore or (), mtime=mtime, path=path, on_read=on_read
        )
    for place, refused in zip((old, new), diff.refused, strict=True):
        warn_refused(refused, quiet=quiet, place=place)
    _write(diff, old, new, stat=stat, format=format)
    if exit_code and not diff.identical:
        answer_no()


def _write(diff: ImageDiff, old: str, new: str, *, stat: bool, format: DiffFormat) -> None:  # noqa: A002 # as above
    if format is DiffFormat.json:
        from tarlayers.render.diff import diff_document

        write_json("diff", diff_document(diff))
    elif format is DiffFormat.markdown:
        from tarlayers.render.diff_markdown import markdown_lines

        write_lines(markdown_lines(diff, old, new, stat=stat))
    elif stat and diff.files:
        from tarlayers.render.diff import summary_line
        from tarlayers.render.diff_stat import stat_lines

        write_lines([*stat_lines(diff.files), f" {summary_line(diff.summary)}"])
    else:
        from tarlayers.render.diff import diff_lines

        write_lines(diff_lines(diff))


def _show_patch(
    patch: FilePatch,
    old: str,
    new: str,
    *,
    format: DiffFormat,  # noqa: A002 # as above
    exit_code: bool,
    quiet: bool,
) -> None:
    """One file, line by line."""
    from tarlayers.render.patch import patch_bytes, patch_document, patch_markdown

    for place, refused in zip((old, new), patch.refused, strict=True):
        warn_refused(refused, quiet=quiet, place=place)
    if format is DiffFormat.json:
        write_json("diff", patch_document(patch))
    elif format is DiffFormat.markdown:
        write_bytes(patch_markdown(patch))
    else:
        write_bytes(patch_bytes(patch, terminal=sys.stdout.isatty()))
    if exit_code and not patch.identical:
        answer_no()
