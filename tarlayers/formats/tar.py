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
from typing import TypeAlias

from tarlayers.errors import MalformedInput, TarlayersError
from tarlayers.formats.tar_bytes import TarBytes, check_holes
from tarlayers.formats.tar_feed import ChunkFeed, Feed, SeekFeed
from tarlayers.formats.tar_fields import (
    BLOCK,
    SCHILY,
    FieldError,
    ParsedPax,
    TooManyRegions,
    parse_numeric,
    parse_records,
    parse_sparse_0x1,
    parse_sparse_blocks,
    parse_sparse_map,
    read_records,
    sparse_stored,
    verify_sum,
    weigh_records,
)
from tarlayers.formats.tar_headers import (
    HEADER_NAME_BYTES,
    ZERO_BLOCK,
    Header,
    HeaderCaches,
    HeaderRun,
    Tail,
    decode_headers,
    make_member,
    spell_names,
)
from tarlayers.formats.tar_member import HEADER_ONLY, Member, Pending, global_member
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

__all__ = [
    "BLOCK",
    "HEADER_NAME_BYTES",
    "HEADER_ONLY",
    "SCHILY",
    "ChunkFeed",
    "Feed",
    "Header",
    "HeaderCaches",
    "Member",
    "SeekFeed",
    "Stretch",
    "Tail",
    "Walker",
    "check_holes",
    "check_stretch",
    "list_members",
    "make_member",
    "spell_names",
]

Stretch: TypeAlias = list[Header] | Member
"""What comes at once: plain headers that follow each other, or one member that is more than its header."""

_META = frozenset((b"x", b"g", b"L", b"K"))
_BATCH = 1 << 10
_LONG = 1 << 8
_ENDS = "the archive ends inside a header"
_TOO_SHORT = ": it is cut short, or not a tar archive, compressed or not"
_NO_TAR = "not a tar archive, compressed or not (its first header has a bad checksum)"


class Walker(TarBytes):
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
        super().__init__(feed, limits, raw=raw)
        self._unmapped = unmapped
        self._pending: Pending | None = None
        self.end_mark = False
        """Two zero blocks were met. Go takes one of them, or none, for an end as well."""
        self.count = 0
        """The members that were met so far."""
        self._attributes = 0  # as how many entries their extended attributes count
        self.sparse_offsets: list[int] = []
        """Where the headers of those stand whose content has holes that are left out."""
        self._caches = caches or HeaderCaches()

    @property
    def weight(self) -> int:
        """As how many entries that counts which was met so far: extended attributes are kept, too."""
        return self.count + self._attributes

    def __iter__(self) -> Iterator[Member]:
        """Yield one member after the other; the content of each can be drawn before the next."""
        while self._next_header():
            yield from list_members(self._decode(1))

    def stretches(self, alone: Callable[[], bool] | None = None) -> Iterator[Stretch]:
        """Yield the members many at once, which costs a half less. The content of a stretch's last can still be drawn,
        those of the others have passed; `alone` is asked before each stretch whether it shall have one member.
        """
        while self._next_header():
            if found := self._decode(1 if alone is not None and alone() else _BATCH):
                yield found

    def open_contents(self, stretch: Stretch) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield where each member of the stretch at hand stands, and its content, which can be drawn until the next."""
        if isinstance(stretch, Member):
            yield stretch.offset, self.content()
            return
        for header in stretch[:-1]:
            yield header[5], self._open_passed(header)
        yield stretch[-1][5], self.content()

    def _open_passed(self, header: Header) -> Iterator[bytes]:
        if content := self.passed(header):
            yield content

    def gather(self) -> Iterator[Stretch]:
        """Yield stretches across contents, which cannot be drawn then: a short one costs as much as four members."""
        gathered: list[Header] = []
        known = 0, 0  # what those that are gathered count
        try:
            for stretch in self.stretches():
                if isinstance(stretch, list):
                    gathered += stretch
                    known = self.count, self._attributes
                if gathered and (len(gathered) >= _LONG or isinstance(stretch, Member)):
                    met = self.count, self._attributes
                    self.count, self._attributes = known
                    yield gathered
                    self.count, self._attributes = met
                    gathered = []
                if isinstance(stretch, Member):
                    yield stretch
        except TarlayersError:
            if gathered:
                self.count, self._attributes = known
                yield gathered  # it stands before what is wrong
            raise
        if gathered:
            yield gathered

    def skim(self) -> Iterator[Stretch]:
        """Read to the end, as strictly as the others do, but yield only those members that are more than a plain
        header, and the last of each stretch of plain ones. `count` says how many there were. No stretch goes beyond the
        first member that is more than are allowed.
        """
        while self._next_header():
            most = max(1, min(_BATCH, self._limits.entries + 1 - self.weight))
            if found := self._decode(most, every=self._pending is not None):
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
            at_start = self._base + self._pos == 0
            raise self._error(_ENDS + (_TOO_SHORT if at_start else ""))
        if count and self._buf[self._pos : self._pos + BLOCK] == ZERO_BLOCK:
            self._end_of_archive()
            return False
        return count > 0

    def _decode(self, most: int, *, every: bool = True) -> Stretch:
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
        if not run.headers:
            self.count += run.number - 1
            return self._decode(1)
        if self._raw is not None:
            self._raw += self._buf[run.at : run.at + BLOCK]
        self.count += run.number
        self._pos += BLOCK
        self._left, self._pad, self._sparse = run.stored, -run.stored % BLOCK, None
        return run.headers

    def _take_unusual(self, run: HeaderRun) -> Stretch:
        """Take a header that speaks of the next, or one of which others or its own content speak."""
        header = run.headers[0]
        complete = self._complete(make_member(header), header[1].gnu, self._block())
        if complete is None:
            return []
        self.count += 1
        return complete

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
            self.sparse_offsets.append(header.offset)
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
                records = parse_records(data)
                self._attributes += weigh_records(data)
                pax = read_records(records) if header.typeflag == b"x" else None
            except FieldError as error:
                raise self._error(error.reason) from error
            if pax is None:
                # Go returns from its loop here, and what stood before the global header is forgotten. Padding
                # comes with the next header, as that of a file: tar-split records it there.
                self._pending, self._left, self._sparse = None, 0, None
                self._pad = -header.size % BLOCK
                return global_member(header, records)
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
            self._check_segment(self._raw)
        self._pos += size
        return data

    def _map_block(self) -> bytes:
        """Take one block of a sparse file's map, which may go on for ever without a region."""
        block = self._block()
        if self._raw is not None:
            self._check_segment(self._raw)
        return block

    def _check_segment(self, raw: bytearray) -> None:
        """LimitExceeded when too much is kept of the headers of one entry."""
        if len(raw) > self._limits.segment_bytes:
            raise limit_exceeded(self._limits, "segment_bytes", "more header bytes than are allowed")

    def _sparse_file(self, header: Member, gnu: bool, block: bytes, pax: ParsedPax | None) -> Member:
        """Find the regions of a sparse file, wherever its format keeps them; the feed moves on past them."""
        regions: list[tuple[int, int]]
        name, size, most = header.name, header.size, self._limits.sparse_regions
        try:
            if header.typeflag == b"S":
                if not gnu:
                    raise FieldError("a sparse file whose header is not GNU's")
                size = parse_numeric(block[483:495])
                regions = parse_sparse_blocks(block, self._map_block, most)
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
            yield self._map_block()


def check_stretch(stretch: Stretch, count: int, limits: Limits) -> None:
    """LimitExceeded where a tar has had more members than it may have, the last of them in `stretch`."""
    if count > limits.entries:
        members = list_members(stretch)
        extra = members[-min(count - limits.entries, len(members))]
        raise limit_exceeded(limits, "entries", "one entry more than is allowed", offset=extra.offset)


def list_members(stretch: Stretch) -> list[Member]:
    """Give the members of a stretch."""
    return [stretch] if isinstance(stretch, Member) else [make_member(header) for header in stretch]
