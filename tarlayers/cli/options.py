"""The arguments and options that commands share, and what they mean."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from tarlayers.cli.bounds import current_limits
from tarlayers.cli.progress import watch_reading
from tarlayers.cli.words import STREAM_MARK
from tarlayers.stdio import STANDARD, STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say on standard error what is read and written, and what came from the cache.",
    ),
]
CacheOption = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache",
        help="Keep what is found in layers for the next run, or not. Of a stream nothing is kept unless asked: "
        "it is spooled to disk then.",
        show_default=False,
    ),
]
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


def refuse_together(given: Mapping[str, bool]) -> None:
    """Refuse a second of options that exclude each other, naming both; what is not given is False."""
    chosen = [option for option, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise typer.BadParameter(f"does not go with {chosen[0]}", param_hint=chosen[1])


def _widen_pipe(stream: BinaryIO) -> None:
    """Let as much wait in a pipe as any user may ask for: by the 64 KiB that wait otherwise, one pass took a third
    longer.
    """
    with suppress(OSError, ValueError):  # it is a file, or no file at all; ValueError is how io says the latter
        import fcntl  # for a stream alone

        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def open_archive(
    argument: str,
    *,
    quiet: bool,
    verbose: bool,
    hashed: bool = True,
    contents: bool = False,
    entries: bool = True,
    keep: bool = False,
    cache: bool | None = False,
) -> tuple[ImageArchive, str | None]:
    """Open what IMAGE names; what is needed of a stream is said as for `open_images`. With None for `cache` the
    layers of all but standard input are kept for the next run.
    """
    from tarlayers.cli.cache import open_cache
    from tarlayers.cli.outcome import complain
    from tarlayers.opening import open_images

    path, reference = split_reference(argument)
    if not path:
        raise typer.BadParameter("names no path", param_hint="IMAGE")
    if path == STANDARD and sys.stdin.isatty():
        raise typer.BadParameter("standard input is a terminal; pipe an archive into it", param_hint="IMAGE")
    source: BinaryIO | str = path
    if path != STANDARD and not os.path.exists(path):  # noqa: PTH110 # a path is text here until it is opened
        _refuse_absent(path)
    if path == STANDARD:
        source = sys.stdin.buffer
        _widen_pipe(source)
    total = os.path.getsize(path) if os.path.isfile(path) else None  # noqa: PTH202, PTH113 # as above
    tell = complain if verbose else None
    layers = open_cache(tell) if cache or (cache is None and path != STANDARD) else None
    with watch_reading(total, quiet=quiet) as on_read:
        archive = open_images(
            source,
            hashed=hashed,
            contents=contents,
            entries=entries,
            keep=keep,
            spool=cache is True,
            tell=tell,
            cache=layers,
            limits=current_limits(),
            on_read=on_read,
            called=STANDARD_INPUT,
        )
    if verbose:
        _tell_archive(archive)
    return archive, reference


def _refuse_absent(path: str) -> None:
    """Say how an archive is named, where that helps; opening it tells what is wrong otherwise."""
    from tarlayers.cli.hint import hint_archive
    from tarlayers.errors import MalformedInput

    hint = hint_archive(path)
    if hint is not None:
        raise MalformedInput(f"{os.strerror(errno.ENOENT)} ({hint})", place=path)


def _tell_archive(archive: ImageArchive) -> None:
    """Say what an archive was found to be, and how its layers are read."""
    from tarlayers.cli.outcome import complain
    from tarlayers.nouns import count_noun
    from tarlayers.render.values import human_size

    in_place = archive.kind != "index" and archive.path != STANDARD and archive.compression == "none"
    how = ", read in place" if in_place else ""  # of all else it was said before
    images = count_noun(len(archive.images), "image")
    complain(f"{archive.name}: {archive.kind} of {images}, {human_size(archive.size)}{how}")


def open_chosen(
    argument: str,
    platform: str | None,
    *,
    quiet: bool,
    verbose: bool,
    hashed: bool = True,
    contents: bool = False,
    keep: bool = False,
    cache: bool | None = None,
) -> Image:
    """Open what IMAGE names and pick the one image that is meant."""
    archive, reference = open_archive(
        argument, quiet=quiet, verbose=verbose, hashed=hashed, contents=contents, keep=keep, cache=cache
    )
    return choose_in(archive, reference, platform, quiet=quiet, contents=contents)


def select_meant(archive: ImageArchive, reference: str | None, platform: str | None = None) -> Mapping[int, Image]:
    """Give all images of an archive, or those that #REF and --platform mean, by their numbers; an error says in which
    archive.
    """
    from tarlayers.errors import naming
    from tarlayers.reference import select_images

    with naming(archive.name):
        return select_images(archive.images, reference, platform, archive.others, unlisted=archive.unlisted)


def choose_in(
    archive: ImageArchive, reference: str | None, platform: str | None, *, quiet: bool, contents: bool
) -> Image:
    """Pick the image that is meant; an error says in which archive, a warning what a copied root cannot tell."""
    from tarlayers.errors import naming
    from tarlayers.reference import choose_image

    with naming(archive.name):
        image = choose_image(archive.images, reference, platform, archive.others, unlisted=archive.unlisted)
    warn_of_cut(archive, quiet=quiet)
    if (reference, platform) == (None, None):
        warn_of_unreadable(archive, quiet=quiet)
    if archive.root is not None and not quiet:
        _warn_of_losses(archive, image, contents=contents)
    return image


def warn_of_cut(archive: ImageArchive, *, quiet: bool) -> None:
    """Say that an archive may be less than was written: what is left of a stream that broke off between two members is
    a tar, and engines take it. `verify` does not.
    """
    from tarlayers.cli.outcome import warn

    if not archive.store.end_mark:
        warn(f"{archive.name}: ends without its end-of-archive mark: it may be cut short", quiet=quiet)


def warn_of_unreadable(archive: ImageArchive, *, quiet: bool) -> None:
    """Name the images that are missing here because a document of theirs cannot be parsed."""
    from tarlayers.cli.outcome import warn

    for other in archive.others:
        if other.fault is not None:
            image = " ".join(other.names) or str(other.digest or "an image")
            warn(f"{archive.name}: {image} is left out: {other.fault}", quiet=quiet)


def _warn_of_losses(archive: ImageArchive, image: Image, *, contents: bool) -> None:
    """Say what a copied data root cannot tell about an image or a container."""
    from tarlayers.cli.outcome import warn
    from tarlayers.nouns import count_noun
    from tarlayers.stores.losses import find_losses
    from tarlayers.stores.rootstore import RootStore

    lacking = sum(layer.on_disk is not None and not layer.on_disk.files for layer in image.built_layers)
    if contents and lacking:
        warn(
            f"{image.name}: the copy lacks the files of {count_noun(lacking, 'layer')}: contents are not known",
            quiet=False,
        )
    if image.container is not None and isinstance(archive.store, RootStore):
        losses = find_losses(archive.store, [layer.blob for layer in image.built_layers if layer.blob is not None])
        for text in losses.describe():
            warn(f"{image.name}: {text}", quiet=False)


def open_two(
    old: str,
    new: str,
    platform: str | None,
    *,
    quiet: bool,
    verbose: bool,
    contents: bool = False,
    keep: bool = False,
    cache: bool | None = None,
) -> tuple[Image, Image]:
    """Open the two images that are meant; an archive that holds both is opened, and a stream read, once."""
    if old == new == STANDARD:
        raise typer.BadParameter("standard input can be one side alone; of an archive with two name both: -#v1 -#v2")
    first, old_reference = open_archive(old, quiet=quiet, verbose=verbose, contents=contents, keep=keep, cache=cache)
    path, new_reference = split_reference(new)
    second = first
    if path != split_reference(old)[0]:
        second, _ = open_archive(new, quiet=quiet, verbose=verbose, contents=contents, keep=keep, cache=cache)
    return (
        choose_in(first, old_reference, platform, quiet=quiet, contents=contents),
        choose_in(second, new_reference, platform, quiet=quiet, contents=contents),
    )


def warn_unmatched(image: Image, *, quiet: bool) -> None:
    """Say so where the history's steps cannot be matched to the layers."""
    from tarlayers.cli.outcome import warn
    from tarlayers.nouns import count_noun

    filled = sum(not row.step.empty_layer for row in image.history)
    count = len(image.built_layers)
    if image.history and filled != count:
        steps = count_noun(filled, "step")
        warn(f"{image.name}: the history has {steps} with a layer, the image has {count}: not matched", quiet=quiet)


def load_chosen(
    layers: Sequence[Layer], *, quiet: bool, hashed: bool = False, contents: bool = False, compared: bool = False
) -> None:
    """Index layers several at a time, with a bar where somebody watches; `contents` hashes all files, `compared`
    those of layers that have to be decompressed anyway.
    """
    from tarlayers.image import load_layers

    with watch_reading(sum(layer.size or 0 for layer in layers), quiet=quiet) as on_read:
        if compared:
            from tarlayers.comparison import load_comparable

            load_comparable(layers, on_read=on_read)
        else:
            load_layers(layers, hashed=hashed, contents=contents, on_read=on_read)


def merge_chosen(image: Image, *, engine: Engine, quiet: bool, at: str | None = None, contents: bool = False) -> RootFS:
    """Merge an image's layers, up to and with layer `at`."""
    from tarlayers.errors import ContentAbsent
    from tarlayers.image import find_layer
    from tarlayers.merging.engine import merge_layers

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
