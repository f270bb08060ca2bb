r"""Tar archives as Go's `archive/tar` reads them, because that is what every engine reads layers with.

A `Walker` yields one `Member` for each entry, in order. Where the bytes come from is a `Feed`: `SeekFeed`
hops over contents in a source that can be read anywhere, `ChunkFeed` takes the chunks of a stream as they
come. Both drive the same decoder:

    for member in Walker(ChunkFeed(chunks)):
        member.name, member.size

Facts: a header is one 512-byte block; `ustar\0` has a name prefix (131 bytes of it in star archives, which
end in `tar\0`), `ustar  \0` is GNU and has none, everything else is v7. Extended headers (`x`, `g`) and GNU
long names (`L`, `K`) speak of the entry that follows. Types 1 to 6 never have contents, whatever their size
field says. Two zero blocks end the archive, as does the end of the stream at a block boundary.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol
from zlib import adler32

from tarlayers.errors import LimitExceeded, MalformedInput
from tarlayers.formats.tar_fields import (
    FieldError,
    NumberCache,
    ParsedPax,
    parse_checksum,
    parse_numeric,
    parse_pax,
    parse_sparse_0x1,
    parse_sparse_blocks,
    parse_sparse_map,
    sparse_stored,
)
from tarlayers.limits import DEFAULT_LIMITS, Limits

BLOCK = 512
_ZERO = bytes(BLOCK)
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12s")
_NO_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_META = frozenset((b"x", b"g", b"L", b"K"))
_HOLE = 1 << 16


class Member(NamedTuple):
    """One entry of a tar, its extended headers and long names applied; names are bytes."""

    name: bytes
    typeflag: bytes
    """As Go gives it: NUL has become `0`, or `5` where the name ends in a slash."""
    linkname: bytes
    size: int
    """Of the content a reader gets (holes expanded); meaningless for types 1 to 6."""
    mode: int
    uid: int
    gid: int
    mtime: int
    """Nanoseconds since the epoch."""
    devmajor: int
    devminor: int
    pax: Mapping[bytes, bytes] | None
    """All records of the extended header (of a global header: its own)."""
    offset: int
    """Of this entry's own header block; its extended headers come before it."""
    stored: int
    """Bytes of content in the archive, padding not counted."""
    sparse: tuple[tuple[int, int], ...] | None
    """Offset and length of each region that is stored; None for a file without holes."""


class Feed(Protocol):
    """The bytes of a tar, forward only."""

    def read(self) -> bytes:
        """Give the next bytes, as many as are handy; nothing at the end."""

    def skip(self, count: int) -> int:
        """Drop `count` bytes and say how many there were: fewer only at the end."""


class ChunkFeed:
    """The chunks of a stream as a Feed: what is skipped is still drawn from the stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self) -> bytes:
        """Give what a skip left of a chunk, else the next chunk."""
        chunk, self._rest = self._rest, b""
        while not chunk:
            following = next(self._chunks, None)
            if following is None:
                return b""
            chunk = following
        return chunk

    def skip(self, count: int) -> int:
        """Draw chunks until `count` bytes are gone."""
        left = count
        while left:
            chunk = self.read()
            if not chunk:
                break
            if len(chunk) > left:
                self._rest = chunk[left:]
                return count
            left -= len(chunk)
        return count - left


class SeekFeed:
    """A source that can be read anywhere as a Feed: what is skipped is never read.

    The window grows while headers follow each other closely and shrinks after a long hop, so that an
    archive of small files costs few calls and one of large files few bytes.
    """

    _LEAST, _MOST = 1 << 12, 1 << 18

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._position = 0
        self._window = self._LEAST

    def read(self) -> bytes:
        """Read the next window."""
        chunk = self._read_at(self._position, min(self._window, self._size - self._position))
        self._position += len(chunk)
        self._window = min(self._window * 2, self._MOST)
        return chunk

    def skip(self, count: int) -> int:
        """Move on without reading."""
        dropped = min(count, self._size - self._position)
        self._position += dropped
        if count > self._window:
            self._window = self._LEAST
        return dropped


class Walker:
    """The members of one tar. Iterate once; between two members `payload` and `content` give the bytes of
    the last one. Any breach of the format is MalformedInput at its offset in the tar.

    With `raw` every byte that is not content (headers, padding, what follows the end) is collected and can
    be drawn with `take_raw`: that is what tar-split records.
    """

    def __init__(self, feed: Feed, *, limits: Limits = DEFAULT_LIMITS, raw: bool = False) -> None:
        self._feed = feed
        self._limits = limits
        self._raw: bytearray | None = bytearray() if raw else None
        self._buf = b""
        self._pos = 0
        self._base = 0  # offset in the tar of _buf[0]
        self._left = 0  # content of the current member not yet consumed
        self._pad = 0
        self._sparse: tuple[tuple[int, int], ...] | None = None
        self._size = 0

    # -- bytes -------------------------------------------------------------------------------------

    def _fill(self, count: int) -> int:
        """Have `count` bytes at hand if there are so many; say how many there are, at most `count`."""
        have = len(self._buf) - self._pos
        if have >= count:
            return count
        parts = [self._buf[self._pos :]]
        self._base += self._pos
        while have < count:
            chunk = self._feed.read()
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        self._buf, self._pos = b"".join(parts), 0
        return min(have, count)

    def _block(self) -> bytes:
        """Take one block that has to be there."""
        if self._fill(BLOCK) < BLOCK:
            raise self._error("the archive ends inside a header")
        block = self._buf[self._pos : self._pos + BLOCK]
        self._pos += BLOCK
        if self._raw is not None:
            self._raw += block
        return block

    def _finish_payload(self) -> None:
        """Go to the next header: past the rest of the content, then past its padding."""
        if self._raw is not None:
            for _ in self.payload():
                pass
            count = self._fill(self._pad)
            self._raw += self._buf[self._pos : self._pos + count]
            self._pos += count
            return
        end = self._pos + self._left + self._pad
        if end <= len(self._buf):
            self._pos = end
            return
        self._hop()

    def _hop(self) -> None:
        have = len(self._buf) - self._pos
        offset = self._base + len(self._buf)
        pad = self._pad
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

    def payload(self) -> Iterator[bytes]:
        """Yield what is left of the current member's content as stored (a sparse file's regions only)."""
        while self._left:
            if self._pos == len(self._buf):
                self._base += self._pos
                self._buf, self._pos = self._feed.read(), 0
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
            limit = self._limits.sparse_bytes
            raise LimitExceeded(f"holes of {holes} bytes in one file (limit sparse_bytes = {limit})", offset=self._base)
        position = 0
        for offset, length in self._sparse:
            yield from _zeros(offset - position)
            yield from self._region(length)
            position = offset + length
        yield from _zeros(self._size - position)

    def _region(self, length: int) -> Iterator[bytes]:
        after = self._left - length
        self._left = length
        yield from self.payload()
        self._left = after

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
        chunk = self._buf[self._pos :]
        self._buf, self._pos = b"", 0
        while chunk or (chunk := self._feed.read()):
            rest += len(chunk)
            zero = zero and chunk.count(0) == len(chunk)
            if self._raw is not None:
                self._raw += chunk
            chunk = b""
        return 0 if zero else rest

    def _error(self, reason: str) -> MalformedInput:
        return MalformedInput(reason, offset=self._base + self._pos)

    # -- members -----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Member]:
        numbers = NumberCache()
        sums: dict[bytes, int] = {}
        unpack = _HEADER.unpack_from
        pax: ParsedPax | None = None
        longname = longlink = b""
        while True:
            buf, pos = self._buf, self._pos
            if len(buf) - pos < BLOCK:
                if not self._fill(BLOCK):
                    return
                if len(self._buf) < BLOCK:
                    raise self._error("the archive ends inside a header")
                buf, pos = self._buf, self._pos
            (
                name,
                mode,
                uid,
                gid,
                size,
                mtime,
                chksum,
                flag,
                link,
                magic,
                version,
                _,
                _,
                major,
                minor,
                prefix,
                tail,
            ) = unpack(buf, pos)
            if not name[0] and buf[pos : pos + BLOCK] == _ZERO:
                self._end_of_archive()
                return
            # adler32's low half is 1 + the sum of the bytes, exact for up to 256 of them: the checksum at C speed.
            total = (adler32(buf[pos : pos + 256]) & 0xFFFF) + (adler32(buf[pos + 256 : pos + BLOCK]) & 0xFFFF)
            if total != sums.get(chksum):
                self._check_sum(buf[pos : pos + BLOCK], chksum, total, sums)
            offset = self._base + pos
            try:
                size = numbers[size]
                mode, uid, gid, mtime = numbers[mode], numbers[uid], numbers[gid], numbers[mtime] * 1_000_000_000
                name = name.partition(b"\0")[0]
                link = link.partition(b"\0")[0] if link[0] else b""
                devmajor = devminor = 0
                gnu = False
                if magic == b"ustar\0":
                    devmajor, devminor = numbers[major], numbers[minor]
                    if tail[8:] == b"tar\0":
                        prefix = _star_prefix(prefix)
                    if prefix[0]:
                        name = prefix.partition(b"\0")[0] + b"/" + name
                elif magic == b"ustar " and version == b" \0":
                    gnu = True
                    devmajor, devminor = numbers[major], numbers[minor]
                    if prefix[0] or prefix[12]:
                        name = _gnu_times(prefix, name)
            except FieldError as error:
                raise self._error(error.reason) from error
            if self._raw is not None:
                self._raw += buf[pos : pos + BLOCK]
            self._pos = pos + BLOCK
            if flag in _META:
                records = self._extension(size, flag)
                if flag == b"L":
                    longname = records.partition(b"\0")[0]
                elif flag == b"K":
                    longlink = records.partition(b"\0")[0]
                else:
                    try:
                        parsed = parse_pax(records)
                    except FieldError as error:
                        raise self._error(error.reason) from error
                    if flag == b"g":
                        yield _global_member(name, parsed, offset)
                    else:
                        pax = parsed
                continue
            sparse = None
            if size < 0 and flag not in _NO_CONTENT:
                raise MalformedInput("negative size", offset=offset)
            if pax is not None or longname or longlink:
                if pax is not None:
                    name, link = pax.path or name, pax.linkpath or link
                    uid = pax.uid if pax.uid is not None else uid
                    gid = pax.gid if pax.gid is not None else gid
                    size = pax.size if pax.size is not None else size
                    mtime = pax.mtime if pax.mtime is not None else mtime
                name, link = longname or name, longlink or link
                longname = longlink = b""
            if flag == b"\0":
                flag = b"5" if name.endswith(b"/") else b"0"
            if flag in _NO_CONTENT:
                stored = 0
            elif size < 0:
                raise MalformedInput("negative size", offset=offset)
            else:
                stored = size
            self._left, self._pad, self._sparse = stored, -stored % BLOCK, None
            if flag == b"S" or (pax is not None and pax.sparse):
                name, size, sparse = self._sparse_file(name, size, flag, gnu, buf[pos : pos + BLOCK], pax, offset)
                stored = self._left
                self._sparse, self._size = sparse, size
            yield Member(
                name, flag, link, size, mode, uid, gid, mtime, devmajor, devminor,
                pax.records if pax is not None else None, offset, stored, sparse,
            )  # fmt: skip
            pax = None
            self._finish_payload()
            self._left = 0

    def _check_sum(self, block: bytes, chksum: bytes, total: int, sums: dict[bytes, int]) -> None:
        """Compare with the claimed sum, in which the field itself counts as eight blanks; some old tars
        summed signed bytes.
        """
        try:
            claimed = parse_checksum(chksum)
        except FieldError as error:
            raise self._error(error.reason) from error
        expected = claimed - 256 + sum(chksum) + 2
        if total != expected:
            signed = sum(struct.unpack("512b", block)) - sum(struct.unpack("8b", chksum)) + 256
            if signed != claimed:
                raise self._error("bad checksum: this is not a tar header")
            return
        if len(sums) < 1 << 12:
            sums[chksum] = expected

    def _end_of_archive(self) -> None:
        self._block()
        count = self._fill(BLOCK)
        if not count:
            return
        if count < BLOCK:
            raise self._error("the archive ends inside a header")
        if self._block() != _ZERO:
            self._pos -= BLOCK
            raise self._error("a zero block is followed by a header")

    def _extension(self, size: int, flag: bytes) -> bytes:
        """Take the content of an extended header or long name, and its padding."""
        if size < 0:
            raise self._error("negative size")
        if size > self._limits.extension_bytes:
            what = "extended header" if flag in (b"x", b"g") else "long name"
            raise LimitExceeded(
                f"{what} of {size} bytes (limit extension_bytes = {self._limits.extension_bytes})",
                offset=self._base + self._pos,
            )
        if self._fill(size) < size:
            raise self._error("the archive ends inside an extended header")
        data = self._buf[self._pos : self._pos + size]
        pad = self._fill(size + -size % BLOCK)
        if self._raw is not None:
            self._raw += self._buf[self._pos : self._pos + pad]
        self._pos += pad
        return data

    def _sparse_file(
        self,
        name: bytes,
        size: int,
        flag: bytes,
        gnu: bool,
        block: bytes,
        pax: ParsedPax | None,
        offset: int,
    ) -> tuple[bytes, int, tuple[tuple[int, int], ...] | None]:
        """Find the regions of a sparse file, wherever its format keeps them; the feed moves on past them."""
        regions: list[tuple[int, int]] | None = None
        try:
            if flag == b"S":
                if not gnu:
                    raise FieldError("a sparse file whose header is not GNU's")
                size = parse_numeric(block[483:495])
                regions = parse_sparse_blocks(block, self._block, self._limits.sparse_regions)
            elif pax is not None and pax.sparse:
                name = pax.sparse_name or name
                size = pax.sparse_size if pax.sparse_size is not None else size
                if pax.sparse == "1.0":
                    regions = parse_sparse_map(self._map_blocks(), self._limits.sparse_regions)
                else:
                    regions = parse_sparse_0x1(pax)
            if regions is None:
                return name, size, None
            if flag in _NO_CONTENT:
                raise FieldError("a sparse map on an entry without content")
            if sparse_stored(regions, size) != self._left:
                raise FieldError("the sparse map does not fit the stored content")
        except FieldError as error:
            raise MalformedInput(error.reason, offset=offset) from error
        return name, size, tuple(regions)

    def _map_blocks(self) -> Iterator[bytes]:
        """Blocks from the front of the current content, for a PAX 1.0 map, which stands there."""
        while self._left >= BLOCK:
            if self._fill(BLOCK) < BLOCK:
                raise self._error("the archive ends inside a file's content")
            block = self._buf[self._pos : self._pos + BLOCK]
            self._pos += BLOCK
            self._left -= BLOCK
            yield block


def _star_prefix(prefix: bytes) -> bytes:
    """Star's prefix is 131 bytes, then access and change time, which have to be numbers."""
    parse_numeric(prefix[131:143])
    parse_numeric(prefix[143:155])
    return prefix[:131]


def _gnu_times(prefix: bytes, name: bytes) -> bytes:
    """GNU keeps access and change time where ustar has the prefix; Go before 1.8 wrote a prefix there."""
    try:
        for field in (prefix[:12], prefix[12:24]):
            if field[0]:
                parse_numeric(field)
    except FieldError:
        text = prefix.partition(b"\0")[0]
        if text and text.isascii():
            return text + b"/" + name
    return name


def _global_member(name: bytes, parsed: ParsedPax, offset: int) -> Member:
    return Member(parsed.path or name, b"g", b"", 0, 0, 0, 0, 0, 0, 0, parsed.records, offset, 0, None)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        step = min(count, _HOLE)
        yield bytes(step)
        count -= step
