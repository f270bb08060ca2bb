r"""Tar archives as Go's `archive/tar` reads them, because that is what every engine reads layers with.

A `Walker` yields one `Member` (tar_member) for each entry, in order. Where the bytes come from is a `Feed`
(tar_feed): `SeekFeed` hops over contents in a source that can be read anywhere, `ChunkFeed` takes the chunks of a
stream as they come. Both drive the same decoder, whose fields are read by tar_fields:

    for member in Walker(ChunkFeed(chunks)):
        member.name, member.size

Facts: a header is one 512-byte block; `ustar\0` has a name prefix (131 bytes of it in star archives, which
end in `tar\0`), `ustar  \0` is GNU and has none, everything else is v7. Extended headers (`x`, `g`) and GNU
long names (`L`, `K`) speak of the entry that follows. Types 1 to 6 never have contents, whatever their size
field says. Two zero blocks end the archive, as does the end of the stream at a block boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tarlayers.errors import MalformedInput
from tarlayers.formats.tar_feed import ChunkFeed, Feed, SeekFeed
from tarlayers.formats.tar_fields import (
    FieldError,
    ParsedPax,
    TooManyRegions,
    parse_numeric,
    parse_pax,
    parse_sparse_0x1,
    parse_sparse_blocks,
    parse_sparse_map,
    sparse_stored,
    verify_sum,
)
from tarlayers.formats.tar_headers import (
    BLOCK,
    HEADER_NAME_BYTES,
    ZERO_BLOCK,
    HeaderCaches,
    HeaderRun,
    decode_headers,
)
from tarlayers.formats.tar_member import HEADER_ONLY, Member, Pending, global_member
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

__all__ = [
    "BLOCK",
    "HEADER_NAME_BYTES",
    "HEADER_ONLY",
    "ChunkFeed",
    "Feed",
    "HeaderCaches",
    "Member",
    "SeekFeed",
    "Walker",
]

_META = frozenset((b"x", b"g", b"L", b"K"))
_HOLE = 1 << 16
_BATCH = 1 << 10
_NO_TAR = "not a tar archive, compressed or not (its first header has a bad checksum)"


class Walker:
    """The members of one tar. Iterate once; between two members `payload` and `content` give the bytes of
    the last one. Any breach of the format is MalformedInput at its offset in the tar.

    With `raw` every byte that is not content (headers and padding) is collected and can be drawn with
    `take_raw`: that is what tar-split records. What follows the end of the archive is left to `tail`. With
    `unmapped` a feed that ends where a PAX 1.0 sparse map has to be gives a member whose regions are not known.
    Walkers of many small tars can have the `caches` of header fields in common.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        limits: Limits = DEFAULT_LIMITS,
        raw: bool = False,
        unmapped: bool = False,
        caches: HeaderCaches | None = None,
    ) -> None:
        self._feed = feed
        self._limits = limits
        self._unmapped = unmapped
        self._raw: bytearray | None = bytearray() if raw else None
        self._buf = b""
        self._pos = 0
        self._base = 0  # offset in the tar of _buf[0]
        self._left = 0  # content of the current member not yet consumed
        self._pad = 0  # padding behind that content, or behind the records of a global header
        self._sparse: tuple[tuple[int, int], ...] | None = None
        self._size = 0
        self._pending: Pending | None = None
        self.end_mark = False
        """Two zero blocks were met. Go takes one of them, or none, for an end as well."""
        self.count = 0
        """The members that were met so far."""
        self._caches = caches or HeaderCaches()

    # -- bytes -------------------------------------------------------------------------------------

    def _fill(self, count: int) -> int:
        """Have `count` bytes at hand if there are so many; say how many there are, at most `count`."""
        have = len(self._buf) - self._pos
        if have >= count:
            return count
        if not have:
            self._next_chunk()
            have = len(self._buf) - self._pos
            if have >= count:
                return count
        parts = [self._buf[self._pos :]]
        self._base += self._pos
        while have < count:
            chunk, start = self._feed.read()
            if not chunk:
                break
            # What is not needed stays in its chunk: joining the two would copy it.
            stop = min(len(chunk), start + count - have)
            self._feed.back(len(chunk) - stop)
            parts.append(chunk[start:stop])
            have += stop - start
        self._buf, self._pos = b"".join(parts), 0
        return have

    def _next_chunk(self) -> None:
        """Go on to the feed's next bytes; there are none at its end."""
        chunk, start = self._feed.read()
        self._base += self._pos - start
        self._buf, self._pos = chunk, start

    def _block(self) -> bytes:
        """Take one block that has to be there."""
        if self._fill(BLOCK) < BLOCK:
            raise self._error("the archive ends inside a header")
        block = self._buf[self._pos : self._pos + BLOCK]
        self._pos += BLOCK
        if self._raw is not None:
            self._raw += block
        return block

    def _finish_payload(self, pad: int) -> None:
        """Go to the next header where it is not at hand: past the rest of the content, then its padding."""
        if self._raw is not None:
            for _ in self.payload():
                pass
            self._take_padding(pad)
            return
        have = len(self._buf) - self._pos
        offset = self._base + len(self._buf)
        if have < self._left:
            missing = self._left - have
            dropped = self._feed.skip(missing)
            offset += dropped
            if dropped < missing:
                raise MalformedInput("the archive ends inside a file's content", offset=offset)
        else:
            pad -= have - self._left
        self._base = offset + self._feed.skip(pad)
        self._buf, self._pos = b"", 0

    def _take_padding(self, pad: int) -> None:
        """Pass `pad` bytes, or what there is of them at the end of the stream."""
        count = self._fill(pad)
        if self._raw is not None:
            self._raw += self._buf[self._pos : self._pos + count]
        self._pos += count

    def payload(self) -> Iterator[bytes]:
        """Yield what is left of the current member's content as stored (a sparse file's regions only)."""
        while self._left:
            if self._pos == len(self._buf):
                self._next_chunk()
                if not self._buf:
                    raise MalformedInput("the archive ends inside a file's content", offset=self._base)
            piece = self._buf[self._pos : self._pos + self._left]
            self._pos += len(piece)
            self._left -= len(piece)
            yield piece

    def content(self) -> Iterator[bytes]:
        """Yield the current member's content, holes filled with zeros; call it before any `payload`."""
        if self._sparse is None:
            yield from self.payload()
            return
        holes = self._size - sum(length for _, length in self._sparse)
        if holes > self._limits.sparse_bytes:
            raise limit_exceeded(self._limits, "sparse_bytes", f"holes of {holes} bytes in one file", offset=self._base)
        for run in self.runs():
            if isinstance(run, bytes):
                yield run
            else:
                yield from _zeros(run)

    def runs(self) -> Iterator[bytes | int]:
        """Yield the current member's content with the lengths of its holes in their places, which costs nothing
        for a file of terabytes; call it before any `payload`.
        """
        position = 0
        for offset, length in self._sparse or ((0, self._left),):
            yield offset - position
            after = self._left - length
            self._left = length
            yield from self.payload()
            self._left = after
            position = offset + length
        yield self._size - position if self._sparse is not None else 0

    @property
    def data_offset(self) -> int:
        """Where in the tar the current member's stored content starts; ask before it is consumed."""
        return self._base + self._pos

    def take_raw(self) -> bytes:
        """Give, and forget, what is not content since the last call. Only with `raw`."""
        if self._raw is None:
            raise ValueError("this walker does not keep raw bytes")
        taken = bytes(self._raw)
        self._raw.clear()
        return taken

    def drain(self) -> int:
        """Read to the end of the feed. Say how many bytes follow the end of the archive, or 0 if they are
        all zero: engines ignore them, but the diff ID covers them.
        """
        rest, zero = 0, True
        for chunk in self.tail():
            rest += len(chunk)
            zero = zero and chunk.count(0) == len(chunk)
        return 0 if zero else rest

    def tail(self) -> Iterator[bytes]:
        """Yield what follows the end of the archive, once the last member is through; it is not kept as raw."""
        rest = self._buf[self._pos :]
        self._buf, self._pos = b"", 0
        if rest:
            yield rest
        while (piece := self._feed.read())[0]:
            chunk, start = piece
            yield chunk[start:]

    def _error(self, reason: str) -> MalformedInput:
        return MalformedInput(reason, offset=self._base + self._pos)

    # -- members -----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Member]:
        """Yield one member after the other; the content of each can be drawn before the next."""
        while self._next_header():
            yield from self._decode(1)

    def batches(self, alone: Callable[[], bool] | None = None) -> Iterator[list[Member]]:
        """Yield the members in lists, which costs a third less. The content of a list's last member can still be drawn,
        those of the others have passed; `alone` is asked before each list whether it shall have one member.
        """
        while self._next_header():
            if found := self._decode(1 if alone is not None and alone() else _BATCH):
                yield found

    def skim(self) -> Iterator[list[Member]]:
        """Read to the end, as strictly as the others do, but yield only those members that are more than a plain
        header, and the last of each stretch of plain ones. `count` says how many there were.
        """
        while self._next_header():
            if found := self._decode(_BATCH, every=self._pending is not None):
                yield found

    def _next_header(self) -> bool:
        """Pass what is left of the last member; say whether there is one more header."""
        if self._left or self._pad:
            end = self._pos + self._left + self._pad
            if end <= len(self._buf) and self._raw is None:
                self._pos = end
            else:
                self._finish_payload(self._pad)
            self._left = self._pad = 0
        count = self._fill(BLOCK)
        if 0 < count < BLOCK:
            raise self._error("the archive ends inside a header")
        if count and self._buf[self._pos : self._pos + BLOCK] == ZERO_BLOCK:
            self._end_of_archive()
            return False
        return count > 0

    def _decode(self, most: int, *, every: bool = True) -> list[Member]:
        """Decode headers at hand, of which there is one, and stop in front of the content of the last.

        None comes of a header that only speaks of the next. Not `every`: only the last of plain headers.
        """
        most = most if self._pending is None else 1
        try:
            run = decode_headers(self._buf, self._pos, self._base, self._caches, most, every=every)
        except FieldError as error:
            raise self._header_error(error, self._buf[self._pos : self._pos + BLOCK]) from error
        if not run.plain or self._pending is not None:
            return self._take_unusual(run)
        self._pos = run.at
        if not every:
            self.count += run.number - 1
            return self._decode(1)
        if self._raw is not None:
            self._raw += self._buf[run.at : run.at + BLOCK]
        self.count += run.number
        self._pos += BLOCK
        self._left, self._pad, self._sparse = run.stored, -run.stored % BLOCK, None
        return run.members

    def _take_unusual(self, run: HeaderRun) -> list[Member]:
        """Take a header that speaks of the next, or one of which others or its own content speak."""
        complete = self._complete(run.members[0], run.gnu, self._block())
        if complete is None:
            return []
        self.count += 1
        return [complete]

    def _complete(self, header: Member, gnu: bool, block: bytes) -> Member | None:
        """Take what stands before or behind an unusual header; None for one that only speaks of the next."""
        if header.typeflag in _META:
            return self._take_meta(header)
        if header.size < 0 and header.typeflag not in HEADER_ONLY:
            raise MalformedInput("negative size", offset=header.offset)
        pending, self._pending = self._pending, None
        pax = pending.pax if pending else None
        if pending is not None:
            header = pending.apply(header)
        if header.typeflag == b"\0":
            header = header._replace(typeflag=b"5" if header.name.endswith(b"/") else b"0")
        self._left = 0 if header.typeflag in HEADER_ONLY else header.size
        if self._left < 0:
            raise MalformedInput("negative size", offset=header.offset)
        if header.typeflag == b"S" or (pax is not None and pax.sparse):
            header = self._sparse_file(header, gnu, block, pax)
        self._sparse, self._size = header.sparse, header.size
        self._pad = -self._left % BLOCK
        return header._replace(stored=self._left)

    def _take_meta(self, header: Member) -> Member | None:
        """Take an extended header or a long name; a global header is a member of its own."""
        data = self._extension(header.size, header.typeflag)
        pending = self._pending or Pending(None, b"", b"")
        if header.typeflag == b"L":
            self._pending = pending._replace(longname=data.partition(b"\0")[0])
        elif header.typeflag == b"K":
            self._pending = pending._replace(longlink=data.partition(b"\0")[0])
        else:
            try:
                pax = parse_pax(data)
            except FieldError as error:
                raise self._error(error.reason) from error
            if header.typeflag == b"g":
                # Go returns from its loop here, and what stood before the global header is forgotten. Padding
                # comes with the next header, as that of a file: tar-split records it there.
                self._pending, self._left, self._sparse = None, 0, None
                self._pad = -header.size % BLOCK
                return global_member(header, pax)
            self._pending = pending._replace(pax=pax)
        self._take_padding(-header.size % BLOCK)
        return None

    def _header_error(self, error: FieldError, block: bytes) -> MalformedInput:
        """Say that this is no header at all where the checksum is wrong too, else what is wrong in it."""
        try:
            verify_sum(block)
        except FieldError as bad_sum:
            at_start = self._base + self._pos == 0
            return self._error(_NO_TAR if at_start else bad_sum.reason)
        return self._error(error.reason)

    def _end_of_archive(self) -> None:
        self._block()
        count = self._fill(BLOCK)
        if not count:
            return
        if count < BLOCK:
            raise self._error("the archive ends inside a header")
        if self._block() != ZERO_BLOCK:
            self._pos -= BLOCK
            raise self._error("a zero block is followed by a header")
        self.end_mark = True

    def _extension(self, size: int, flag: bytes) -> bytes:
        """Take the content of an extended header or long name."""
        if size < 0:
            raise self._error("negative size")
        if size > self._limits.extension_bytes:
            what = "extended header" if flag in (b"x", b"g") else "long name"
            offset = self._base + self._pos
            raise limit_exceeded(self._limits, "extension_bytes", f"{what} of {size} bytes", offset=offset)
        if self._fill(size) < size:
            raise self._error("the archive ends inside an extended header")
        data = self._buf[self._pos : self._pos + size]
        if self._raw is not None:
            self._raw += data
            if len(self._raw) > self._limits.segment_bytes:
                raise limit_exceeded(self._limits, "segment_bytes", "more header bytes than are allowed")
        self._pos += size
        return data

    def _sparse_file(self, header: Member, gnu: bool, block: bytes, pax: ParsedPax | None) -> Member:
        """Find the regions of a sparse file, wherever its format keeps them; the feed moves on past them."""
        regions: list[tuple[int, int]]
        name, size, most = header.name, header.size, self._limits.sparse_regions
        try:
            if header.typeflag == b"S":
                if not gnu:
                    raise FieldError("a sparse file whose header is not GNU's")
                size = parse_numeric(block[483:495])
                regions = parse_sparse_blocks(block, self._block, most)
            elif pax is not None:
                name = pax.sparse_name or name
                size = pax.sparse_size if pax.sparse_size is not None else size
                if self._unmapped and pax.sparse == "1.0" and not self._fill(BLOCK):
                    return header._replace(name=name, size=size, sparse=())
                inside = pax.sparse == "1.0"
                regions = parse_sparse_map(self._map_blocks(), most) if inside else parse_sparse_0x1(pax, most)
            if header.typeflag in HEADER_ONLY:
                raise FieldError("a sparse map on an entry without content")
            if sparse_stored(regions, size) != self._left:
                raise FieldError("the sparse map does not fit the stored content")
        except TooManyRegions as error:
            raise limit_exceeded(self._limits, "sparse_regions", error.reason, offset=header.offset) from error
        except FieldError as error:
            raise MalformedInput(error.reason, offset=header.offset) from error
        return header._replace(name=name, size=size, sparse=tuple(regions))

    def _map_blocks(self) -> Iterator[bytes]:
        """Blocks from the front of the current content, for a PAX 1.0 map, which stands there."""
        while self._left >= BLOCK:
            self._left -= BLOCK
            yield self._block()


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        step = min(count, _HOLE)
        yield bytes(step)
        count -= step
