"""The contents of a layer's files, taken from its uncompressed tar."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

from tarlayers.entry import Entry, decode_stretch
from tarlayers.errors import MalformedInput
from tarlayers.formats import tar
from tarlayers.limits import DEFAULT_LIMITS, Limits

Wanted = Callable[[Entry], bool]
"""Says of a file whether its content is to be looked at."""


def hash_pieces(pieces: Iterable[bytes]) -> bytes:
    """Give the sha256 of a content that comes in pieces."""
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def hash_contents(walker: tar.Walker, offsets: AbstractSet[int]) -> dict[int, bytes]:
    """Give the sha256 of the contents of those files whose headers stand at `offsets`, and read no further than
    to the last of them. MalformedInput for an offset where no member starts.
    """
    found: dict[int, bytes] = {}
    for stretch in walker.stretches():
        for offset, content in walker.open_contents(stretch):
            if offset in offsets:
                found[offset] = hash_pieces(content)
        if len(found) == len(offsets):
            return found
    for offset in sorted(offsets - found.keys()):
        raise MalformedInput("no member starts here", offset=offset)
    return found


def read_heads(
    plain_chunks: Iterable[bytes], size: int, wanted: Wanted, limits: Limits
) -> Iterator[tuple[Entry, bytes]]:
    """Yield each file that is `wanted` with the first `size` bytes of its content as stored (holes left out)."""
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    for stretch in walker.stretches():
        *passed, last = decode_stretch(stretch, walker.weight, limits)
        if isinstance(stretch, list):
            for entry, header in zip(passed, stretch, strict=False):
                if entry.type == "file" and wanted(entry):
                    yield entry, walker.passed(header)[:size]
        if last.type == "file" and wanted(last):
            yield last, _read_head(walker.payload(), size)


def _read_head(pieces: Iterable[bytes], size: int) -> bytes:
    kept: list[bytes] = []
    for piece in pieces:
        kept.append(piece[:size])
        size -= len(piece)
        if size <= 0:
            break
    return b"".join(kept)


def read_content(plain_chunks: Iterable[bytes], offset: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the content of the member whose header is at `offset` of an uncompressed layer, holes filled."""
    walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits)
    for member in walker:
        if member.offset == offset:
            yield from walker.content()
            return
    raise MalformedInput("no member starts here", offset=offset)
