"""The arguments and options that commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tarlayers.cli.bounds import current_limits
from tarlayers.cli.progress import watch_reading
from tarlayers.cli.words import STREAM_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarlayers.image import Image, Layer
    from tarlayers.imagearchive import ImageArchive
    from tarlayers.rootfs import Refusal, RootFS


class Format(StrEnum):
    """Output that every command can give."""

    text = "text"
    json = "json"


class ListFormat(StrEnum):
    """Output of commands that list entries."""

    text = "text"
    json = "json"
    ndjson = "ndjson"


class Engine(StrEnum):
    """Whose rules merge the layers."""

    containerd = "containerd"
    oci = "oci"


ImageArgument = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE",
        help="PATH[#REF]: an archive, a directory, a bare layer, or - for standard input; "
        "#REF is a tag, a digest, an image ID or @N.",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print the answer.")]
ListFormatOption = Annotated[ListFormat, typer.Option("--format", "-f", help="How to print the answer.")]
EngineOption = Annotated[
    Engine, typer.Option("--engine", help="Whose rules merge the layers: what Docker 29 shows, or the image-spec's.")
]
PlatformOption = Annotated[
    str | None,
    typer.Option("--platform", metavar="OS/ARCH[/VARIANT]", help="Which image of several.", show_default=False),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say on standard error what is done.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No warnings, no progress.")]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="N", help="The view after layer N (index or digest).", show_default=False)
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", metavar="N", help="Layer N alone, as it is stored.", show_default=False)
]
TopOption = Annotated[
    int | None,
    typer.Option("--top", metavar="N", min=0, help="At most N of the largest; 0 for all.", show_default=False),
]


def split_reference(argument: str) -> tuple[str, str | None]:
    """Split `PATH#REF`; a path that exists with a `#` in its name is that path."""
    argument = argument.removeprefix(STREAM_MARK)
    marks = [i for i, letter in enumerate(argument) if letter == "#"]
    # No tag and no digest has a `#`, so the longest path that exists is the one that is meant.
    for end in (len(argument), *reversed(marks)):
        if os.path.exists(argument[:end]):  # noqa: PTH110 # a path is text here until it is opened
            return argument[:end], argument[end + 1 :] or None
    path, _, reference = argument.partition("#")
    return path, reference or None


def open_archive(
    argument: str, *, quiet: bool, verbose: bool, hashed: bool = True, contents: bool = False, keep: bool = False
) -> tuple[ImageArchive, str | None]:
    """Open what IMAGE names; what is needed of a stream is said as for `open_images`."""
    from tarlayers.cli.outcome import complain
    from tarlayers.imagearchive import open_images

    path, reference = split_reference(argument)
    if path == "-" and sys.stdin.isatty():
        raise typer.BadParameter("standard input is a terminal: pipe an archive into it, or give a path")
    source = sys.stdin.buffer if path == "-" else path
    total = os.path.getsize(path) if os.path.isfile(path) else None  # noqa: PTH202, PTH113 # as above
    tell = complain if verbose else None
    with watch_reading(total, quiet=quiet) as on_read:
        archive = open_images(
            source, hashed=hashed, contents=contents, keep=keep, tell=tell, limits=current_limits(), on_read=on_read
        )
    return archive, reference


def open_chosen(
    argument: str,
    platform: str | None,
    *,
    quiet: bool,
    verbose: bool,
    hashed: bool = True,
    contents: bool = False,
    keep: bool = False,
) -> Image:
    """Open what IMAGE names and pick the one image that is meant."""
    archive, reference = open_archive(
        argument, quiet=quiet, verbose=verbose, hashed=hashed, contents=contents, keep=keep
    )
    return _choose(archive, reference, platform)


def _choose(archive: ImageArchive, reference: str | None, platform: str | None) -> Image:
    """Pick the image that is meant; an error says in which archive."""
    from tarlayers.errors import ContentAbsent, NoSuchImage
    from tarlayers.reference import choose_image

    try:
        return choose_image(archive.images, reference, platform, archive.others)
    except (NoSuchImage, ContentAbsent) as error:
        raise error.inside(archive.path if archive.path != "-" else "standard input") from error


def open_two(
    old: str,
    new: str,
    platform: str | None,
    *,
    quiet: bool,
    verbose: bool,
    contents: bool = False,
    keep: bool = False,
) -> tuple[Image, Image]:
    """Open the two images that are meant; an archive that holds both is opened, and a stream read, once."""
    if old == new == "-":
        raise typer.BadParameter("standard input can be one side alone; of an archive with two name both: -#v1 -#v2")
    first, old_reference = open_archive(old, quiet=quiet, verbose=verbose, contents=contents, keep=keep)
    path, new_reference = split_reference(new)
    second = first
    if path != split_reference(old)[0]:
        second, _ = open_archive(new, quiet=quiet, verbose=verbose, contents=contents, keep=keep)
    return _choose(first, old_reference, platform), _choose(second, new_reference, platform)


def warn_unmatched(image: Image, *, quiet: bool) -> None:
    """Say so where the history's steps cannot be matched to the layers."""
    from tarlayers.cli.outcome import warn

    filled = sum(not row.step.empty_layer for row in image.history)
    if image.history and filled != len(image.layers):
        warn(
            f"{image.name}: {filled} history steps claim a layer but there are {len(image.layers)}: not matched",
            quiet=quiet,
        )


def load_chosen(layers: Sequence[Layer], *, quiet: bool, contents: bool = False) -> None:
    """Index layers several at a time, with a bar where somebody watches."""
    from tarlayers.image import load_layers

    with watch_reading(sum(layer.size or 0 for layer in layers), quiet=quiet) as on_read:
        load_layers(layers, contents=contents, on_read=on_read)


def merge_chosen(image: Image, *, engine: Engine, quiet: bool, at: str | None = None, contents: bool = False) -> RootFS:
    """Merge an image's layers, up to and with layer `at`."""
    from tarlayers.errors import ContentAbsent
    from tarlayers.image import find_layer
    from tarlayers.rootfs import merge_layers

    layers = image.layers if at is None else image.layers[: find_layer(image, at).index + 1]
    for layer in layers:
        try:
            layer.require_readable()
        except ContentAbsent as error:
            below = f"; --at {layer.index - 1} shows what is below it" if layer.index else ""
            raise ContentAbsent(f"{error.reason}{below}", place=error.place) from error
    load_chosen(layers, quiet=quiet, contents=contents)
    return merge_layers(layers, engine=engine.value)


def warn_refused(refused: Sequence[Refusal], *, quiet: bool, place: str = "") -> None:
    """Say which layers no engine would unpack: the first fault of each. `place` says of which image."""
    from tarlayers.cli.outcome import warn

    said: set[int] = set()
    prefix = f"{place}: " if place else ""
    for refusal in refused:
        if refusal.layer not in said:
            said.add(refusal.layer)
            warn(
                f"{prefix}layer {refusal.layer}: {refusal.path}: engines refuse this layer ({refusal.message}); "
                "it is shown by the image-spec's rule",
                quiet=quiet,
            )
