"""Files that a layer still ships although the merged file system does not show them, and what hid them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tarlayers.image import Image
from tarlayers.rootfs import path_key
from tarlayers.shipped import ShippedFile, trace_files


class HiddenFile(NamedTuple):
    """One file that can be read back from its layer."""

    path: str
    """Where the merged view had it last."""
    stored_as: str
    """The path that its layer has it under: another one where a symlink stood in between."""
    type: str
    size: int
    layer: int
    created_by: str | None
    hidden_by: int
    """Its own layer, where that wrote the path twice, deleted it again, or has what no engine unpacks."""
    hidden_by_step: str | None
    cause: str
    """As of a ShippedFile."""
    how: str
    """`entry whiteout opaque replaced` as a trace has them; `refused` for what no engine unpacks."""
    by: str
    """The path that was written, whited out, made opaque or replaced."""
    offset: int
    """Of its header in the uncompressed layer, which tells copies of one path apart."""
    links: tuple[str, ...]
    """Other names that went with it."""


def list_hidden(image: Image, files: Iterable[ShippedFile] | None = None) -> tuple[HiddenFile, ...]:
    """List what is hidden, the largest first, then in the order of paths, layers and offsets. `files` are those of
    `trace_files`; without them it is asked, for regular files and as containerd merges.
    """
    if files is None:
        files = trace_files(image.layers).hidden
    rows = (_describe(image, file) for file in files if file.cause is not None)
    return tuple(sorted(rows, key=lambda row: (-row.size, path_key(row.path), row.layer, row.offset)))


def _describe(image: Image, file: ShippedFile) -> HiddenFile:
    hidden_by = file.layer if file.hidden_by is None else file.hidden_by
    return HiddenFile(
        path=file.path,
        stored_as=file.entry.path,
        type=file.entry.type,
        size=file.entry.size,
        layer=file.layer,
        created_by=image.layers[file.layer].created_by,
        hidden_by=hidden_by,
        hidden_by_step=image.layers[hidden_by].created_by,
        cause=file.cause or "",
        how=file.event.cause if file.event is not None else "refused",
        by=file.event.by if file.event is not None else file.path,
        offset=file.entry.offset,
        links=tuple(name for name in file.names if name != file.path),
    )
