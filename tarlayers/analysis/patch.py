"""How one text file differs between two images, line by line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tarlayers.analysis.alignment import Alignment
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import Image, Layer
from tarlayers.imagepair import merge_pair, pair_images
from tarlayers.rootfs import Refusal, RootFS
from tarlayers.stores.store import OnRead

MOST_BYTES = 1 << 20  # of a file that is shown by lines: some 20,000 of text
_MOST_LINES = 20_000
_CONTEXT = 3  # lines around a change, as diff and git have it
_BINARY_BYTES = 8000  # git looks for a zero byte in as many (xdiff-interface.c, buffer_is_binary)


class PatchSide(NamedTuple):
    """The file as one image has it."""

    path: str
    """Where the symlinks lead to."""
    entry: Entry
    layer: int
    created_by: str | None


class FilePatch(NamedTuple):
    """How a file differs; a side is None where that image has no such file."""

    path: str
    old: PatchSide | None
    new: PatchSide | None
    identical: bool
    """Contents and mode are equal."""
    reason: str | None
    """Why there are no lines although the contents differ: `binary` or `too large`."""
    lines: tuple[bytes, ...]
    """Hunks of a unified diff, without the two lines that name the files; each ends in a line feed."""
    refused: tuple[tuple[Refusal, ...], tuple[Refusal, ...]]


class _Content(NamedTuple):
    """A file read through, and kept where it is small enough."""

    digest: bytes
    kept: bytes | None


def patch_file(
    old: Image, new: Image, path: str, *, engine: str = "containerd", on_read: OnRead | None = None
) -> FilePatch:
    """Compare one file of two images; symlinks are followed inside each image.

    NoSuchPath when neither image has it, or when it is no file in one of them; ContentAbsent where the bytes
    have passed with a stream.
    """
    pair = pair_images(old, new, contents=False)
    roots = merge_pair(pair, engine=engine, on_read=on_read)
    sides = [_find_side(root, clean_path(path), image) for root, image in zip(roots, (old, new), strict=True)]
    if sides[0] is None and sides[1] is None:
        raise NoSuchPath("in neither image", place=path)
    a, b = (_read_side(stack, side) for stack, side in zip(pair.stacks, sides, strict=True))
    reason, lines = _compare_contents(a, b)
    refused = roots[0].refused, roots[1].refused
    modes = {side.entry.mode if side is not None else None for side in sides}
    identical = a.digest == b.digest and len(modes) == 1
    return FilePatch(clean_path(path), sides[0], sides[1], identical, reason, lines, refused)


def _find_side(root: RootFS, path: str, image: Image) -> PatchSide | None:
    try:
        found = root.resolve(path)
    except NoSuchPath:
        return None
    kind = root[found].type if found else "dir"
    if kind != "file":
        raise NoSuchPath(f"is a {kind}, not a file, in {image.name}", place=path)
    layer = root.layer_of(found)
    return PatchSide(found, root[found], layer, image.layers[layer].created_by)


def _read_side(layers: Sequence[Layer], side: PatchSide | None) -> _Content:
    """Hash a file, and keep it if it is not too large; a file that is not there is empty."""
    if side is None:
        return _Content(hashlib.sha256().digest(), b"")
    hasher = hashlib.sha256()
    kept = bytearray()
    for piece in layers[side.layer].open_content(side.entry):
        hasher.update(piece)
        if len(kept) <= MOST_BYTES:
            kept += piece
    return _Content(hasher.digest(), bytes(kept) if len(kept) <= MOST_BYTES else None)


def _compare_contents(a: _Content, b: _Content) -> tuple[str | None, tuple[bytes, ...]]:
    if a.digest == b.digest:
        return None, ()
    if any(content.kept is not None and b"\0" in content.kept[:_BINARY_BYTES] for content in (a, b)):
        return "binary", ()
    if a.kept is None or b.kept is None:
        return "too large", ()
    old, new = a.kept.split(b"\n"), b.kept.split(b"\n")
    if max(len(old), len(new)) > _MOST_LINES:
        return "too large", ()
    return None, tuple(_diff_lines(_end_lines(old), _end_lines(new)))


def _end_lines(parts: list[bytes]) -> list[bytes]:
    """Put the line feeds back; a last line without one gets git's remark, which makes it another line."""
    lines = [part + b"\n" for part in parts[:-1]]
    return lines if not parts[-1] else [*lines, parts[-1] + b"\n\\ No newline at end of file\n"]


def _diff_lines(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[bytes]:
    for group in Alignment(old, new).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        yield b"@@ -%b +%b @@\n" % (_span_lines(first[1], last[2]), _span_lines(first[3], last[4]))
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (b" " + line for line in old[i:i_end])
            else:
                yield from (b"-" + line for line in old[i:i_end])
                yield from (b"+" + line for line in new[j:j_end])


def _span_lines(start: int, stop: int) -> bytes:
    """Say where a hunk is in a file: its first line and how many; of none, POSIX wants the line before them."""
    length = stop - start
    return b"%d" % stop if length == 1 else b"%d,%d" % (start + 1 if length else start, length)
