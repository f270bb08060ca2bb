"""What looks like a credential: in files, visible or hidden, in the environment, labels and build steps.

Each layer is read once. Of a file the first MiB is searched, and only of what is text or small.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tarlayers.formats.secrets import SCAN_BYTES, Match, is_scanned, match_content, match_name, match_text
from tarlayers.image import Image, Layer
from tarlayers.rootfs import path_key
from tarlayers.shipped import ShippedFile, trace_files
from tarlayers.stores.store import OnRead

_TEXT_CHARACTERS = 1 << 16  # of one variable, label or step: real ones have some hundred


class Secret(NamedTuple):
    """One finding. Its value is never there as a whole."""

    place: str
    """`file env label command history`."""
    rule: str
    path: str | None
    """Of a file."""
    layer: int | None
    """That ships the file, or that the build step made."""
    hidden_by: int | None
    """None for a visible file and for what is no file."""
    offset: int | None
    name: str | None
    """Of a variable or label; the number of a build step, from 0, as text."""
    line: int | None
    masked: str | None
    matches: int
    fixture: bool
    """Likely a test's or an example's."""


def find_secrets(
    image: Image, files: Iterable[ShippedFile] | None = None, *, on_read: OnRead | None = None
) -> tuple[Secret, ...]:
    """Search all files and the configuration. Files come first, in the order of paths, layers and offsets. They are
    those of `trace_files`, which is asked where they are not given.

    ContentAbsent where a layer cannot be read again (a stream that was not kept).
    """
    if files is None:
        files = trace_files(image.layers).files
    elif isinstance(files, Iterator):
        files = tuple(files)  # they are gone through twice
    by_layer: dict[int, array[int]] = {}  # offsets: most files of most images are wanted
    for file in files:
        if file.entry.size and file.entry.type == "file":
            by_layer.setdefault(file.layer, array("q")).append(file.entry.offset)
    sources = [layer.source for layer in image.layers]
    searched: dict[object, Mapping[int, list[Match]]] = {}
    for index in sorted(by_layer):
        if sources[index] not in searched:
            same = (offsets for i, offsets in by_layer.items() if sources[i] == sources[index])
            searched[sources[index]] = search_layer(image.layers[index], frozenset().union(*same), on_read)
    found: list[Secret] = []
    for file in files:
        if file.entry.size and file.entry.type == "file":
            matches = searched[sources[file.layer]].get(file.entry.offset, ())
            found += (_in_file(file, match) for match in matches)
    found.sort(key=lambda secret: (path_key(secret.path or ""), secret.layer, secret.offset, secret.rule))
    return (*found, *search_configuration(image))


def search_layer(layer: Layer, offsets: frozenset[int], on_read: OnRead | None = None) -> dict[int, list[Match]]:
    """Give what each of some files of a layer fits; they are known by the offsets of their headers."""
    found: dict[int, list[Match]] = {}
    for entry, head in layer.open_heads(SCAN_BYTES, lambda entry: entry.offset in offsets, on_read):
        matches = list(match_name(entry.path))
        if is_scanned(entry.size, head):
            matches += match_content(entry.path, head)
        if matches:
            found[entry.offset] = matches
    return found


def _in_file(file: ShippedFile, match: Match) -> Secret:
    return Secret(
        place="file",
        rule=match.rule,
        path=file.path,
        layer=file.layer,
        hidden_by=file.hidden_by,
        offset=file.entry.offset,
        name=None,
        line=match.line,
        masked=match.masked,
        matches=match.matches,
        fixture=match.fixture,
    )


def search_configuration(image: Image) -> Iterator[Secret]:
    """Yield what the variables, labels, commands and build steps of an image hold."""
    config = image.config.config if image.config else {}
    for text in _texts(config.get("Env")):
        yield from _in_text("env", text.partition("=")[0], text)
    labels = config.get("Labels")
    for key, value in sorted(labels.items()) if isinstance(labels, dict) else ():
        yield from _in_text("label", key, f"{key}={value}")
    for key in ("Entrypoint", "Cmd"):
        yield from _in_text("command", key, " ".join(_texts(config.get(key))))
    for number, row in enumerate(image.history):
        for said in (row.step.created_by, row.step.comment):
            yield from _in_text("history", str(number), said or "", row.layer)


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _in_text(place: str, name: str, text: str, layer: int | None = None) -> Iterator[Secret]:
    for match in match_text(text[:_TEXT_CHARACTERS]):
        yield Secret(
            place=place,
            rule=match.rule,
            path=None,
            layer=layer,
            hidden_by=None,
            offset=None,
            name=name,
            line=None,
            masked=match.masked,
            matches=match.matches,
            fixture=match.fixture,
        )
