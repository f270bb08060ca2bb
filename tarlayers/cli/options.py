"""The arguments and options that commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarlayers.image import Image
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
        help="PATH[#REF]: an archive, a directory, an engine's data root, a bare layer, or - for standard input; "
        "#REF is a tag, a digest, an image ID, @N or container:NAME.",
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


def split_reference(argument: str) -> tuple[str, str | None]:
    """Split `PATH#REF`; a path that exists with a `#` in its name is that path."""
    if "#" not in argument or os.path.exists(argument):  # noqa: PTH110 # a path is text here until it is opened
        return argument, None
    path, _, reference = argument.partition("#")
    while not os.path.exists(path) and path != "-" and "#" in reference:  # noqa: PTH110 # as above
        more, _, reference = reference.partition("#")
        path = f"{path}#{more}"
    return path, reference or None


def open_archive(
    argument: str, *, hashed: bool = True, contents: bool = False, keep: bool = False
) -> tuple[ImageArchive, str | None]:
    """Open what IMAGE names; what is needed of a stream is said as for `open_images`."""
    from tarlayers.imagearchive import open_images

    path, reference = split_reference(argument)
    if path == "-":
        if sys.stdin.isatty():
            raise typer.BadParameter("standard input is a terminal: pipe an archive into it, or give a path")
        return open_images(sys.stdin.buffer, hashed=hashed, contents=contents, keep=keep), reference
    return open_images(path, hashed=hashed, contents=contents, keep=keep), reference


def open_chosen(
    argument: str,
    platform: str | None,
    *,
    hashed: bool = True,
    contents: bool = False,
    keep: bool = False,
    quiet: bool = True,
) -> Image:
    """Open what IMAGE names and pick the one image that is meant. Unless `quiet`, say what a copy cannot tell."""
    from tarlayers.reference import choose_image

    archive, reference = open_archive(argument, hashed=hashed, contents=contents, keep=keep)
    image = choose_image(archive.images, reference, platform, archive.unlisted)
    if archive.root is not None and not quiet:
        _warn_of_losses(archive, image, contents=contents)
    return image


def _warn_of_losses(archive: ImageArchive, image: Image, *, contents: bool) -> None:
    """Say what a copied data root cannot tell about an image or a container."""
    from tarlayers.cli.outcome import warn
    from tarlayers.losses import find_losses
    from tarlayers.rootstore import RootStore

    lacking = sum(layer.on_disk is not None and not layer.on_disk.files for layer in image.built_layers)
    if contents and lacking:
        warn(
            f"{image.name}: the copy lacks the files of {lacking} layers: contents of one size are taken as equal",
            quiet=False,
        )
    if image.container is not None and isinstance(archive.store, RootStore):
        losses = find_losses(archive.store, [layer.blob for layer in image.built_layers if layer.blob is not None])
        for text in losses.describe():
            warn(f"{image.name}: {text}", quiet=False)


def warn_unmatched(image: Image, *, quiet: bool) -> None:
    """Say so where the history's steps cannot be matched to the layers."""
    from tarlayers.cli.outcome import warn

    filled = sum(not row.step.empty_layer for row in image.history)
    count = len(image.built_layers)
    if image.history and filled != count:
        warn(
            f"{image.name}: {filled} history steps claim a layer but there are {count}: not matched",
            quiet=quiet,
        )


def merge_chosen(image: Image, *, engine: Engine, at: str | None = None, contents: bool = False) -> RootFS:
    """Merge an image's layers, up to and with layer `at`; the layers are read several at a time."""
    from tarlayers.image import find_layer, require_layers
    from tarlayers.rootfs import merge_layers

    layers = image.layers if at is None else image.layers[: find_layer(image, at).index + 1]
    require_layers(layers, contents=contents)
    return merge_layers(layers, engine=engine.value)


def warn_refused(refused: Sequence[Refusal], *, quiet: bool) -> None:
    """Say which layers no engine would unpack: the first fault of each."""
    from tarlayers.cli.outcome import warn

    said: set[int] = set()
    for refusal in refused:
        if refusal.layer not in said:
            said.add(refusal.layer)
            warn(
                f"layer {refusal.layer}: {refusal.path}: engines refuse this layer ({refusal.message}); "
                "it is shown by the image-spec's rule",
                quiet=quiet,
            )
