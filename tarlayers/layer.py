"""A layer's blob: one pass over it, from which its digests, its entries and its table of contents come."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from tarlayers.content import Wanted
from tarlayers.digest import Digest, Meter
from tarlayers.entry import (
    Census,
    Entry,
    are_plain_names_short,
    check_names,
    count_entries,
    decode_entry,
    decode_stretch,
    decode_walk,
    join_entries,
    put_digest,
)
from tarlayers.formats import tar
from tarlayers.formats.toc import FOOTER_SIZES, STARGZ_MEMBER, StoredToc, find_chunked, read_behind
from tarlayers.limits import DEFAULT_LIMITS, Limits, require_limits
from tarlayers.threads import run_stage

if TYPE_CHECKING:
    from tarlayers.formats.compression import Decompressor

_TOC_PATH = f"/{STARGZ_MEMBER}"


class Demand(NamedTuple):
    """What is to be known of a layer besides its entries."""

    hashed: bool = False
    """Its digest and diff ID."""
    contents: bool = False
    """The digest of every file."""
    wanted: Wanted | None = None
    """Whose digests shall be known if the layer's bytes have to pass for its entries."""

    def is_met(self, index: LayerIndex) -> bool:
        """Say whether an index tells all that has to be known."""
        return bool((index.diff_id or not self.hashed) and (index.contents or not self.contents))


ENTRIES = Demand()
"""The entries alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerScan:
    """What one pass over a layer blob tells of it as a whole. Digests are None where hashing was not asked for."""

    digest: Digest | None
    """Of the blob as stored: sha256, or what was asked for."""
    size: int
    """Stored bytes."""
    compression: str
    """`none gzip zstd xz bzip2`, by magic."""
    diff_id: Digest | None
    """sha256 of the uncompressed tar to its very last byte."""
    plain_size: int
    """Uncompressed bytes."""
    trailing: int
    """Bytes after the end-of-archive mark that are not zero padding (engines ignore them)."""
    toc: StoredToc | None = None
    """The table of contents for lazy pulling, by content; its bytes are kept where hashing was asked for."""
    behind_gzip: int = 0
    """Stored bytes after the last gzip member, zero padding included: engines ignore or refuse them (L7)."""
    odd_header: bool = False
    """Some engines refuse how it starts: gzip flags that mean nothing (L7), a skippable zstd frame (L8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerIndex(LayerScan):
    """What one pass over a layer blob found: all that a scan tells, and the entries."""

    entries: tuple[Entry, ...]
    """In tar order, markers and global headers included."""
    contents: bool
    """Whether files carry content digests."""
    sparse_offsets: frozenset[int] = frozenset()
    """Where the headers of those files stand whose content is not stored as it is: holes are left out."""
    member_digests: Mapping[int, bytes] = field(default_factory=dict)
    """sha256 of files by the offset of their headers: of those that were wanted as they passed; and for layers with a
    table of contents, where they are computed if a blob is of several compressed members, as only such tables need."""

    @property
    def census(self) -> Census:
        """Count what the layer holds."""
        return count_entries(self.entries)


def index_layer(
    chunks: Iterable[bytes],
    *,
    hashed: bool = True,
    contents: bool = False,
    wanted: Wanted | None = None,
    algorithm: str = "sha256",
    ahead: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    caches: tar.HeaderCaches | None = None,
) -> LayerIndex:
    """Read a layer blob, compressed or not, from its first stored byte to its last.

    With `hashed` both digests are computed (the blob's by `algorithm`), with `contents` that of every file, else those
    of the files that are `wanted`, which are kept apart (`member_digests`). With `ahead` threads of their own read and
    decompress, unless `hashed` asks for a table of contents too. What headers have in common with those of other layers
    need not be decoded again where `caches` are given.
    MalformedInput, UnsupportedInput and LimitExceeded name the offset in the uncompressed tar, or in the blob
    where decompression failed. ValueError for limits that are no whole numbers of 0 or more.
    """
    require_limits(limits)
    stored = Meter(hashed=hashed, algorithm=algorithm)
    demand = Demand(hashed, contents, wanted)
    return index_metered(stored.watch(chunks), stored, demand, ahead=ahead, limits=limits, caches=caches)


def index_metered(
    chunks: Iterator[bytes],
    stored: Meter,
    demand: Demand,
    *,
    ahead: bool = False,
    limits: Limits,
    caches: tar.HeaderCaches | None = None,
) -> LayerIndex:
    """Index a blob whose bytes `stored` already watches, so that its digest survives a failure here."""
    with closing(_Reading(chunks, stored, hashed=demand.hashed, limits=limits, ahead=ahead, caches=caches)) as reading:
        passing = _Contents(reading, contents=demand.contents, wanted=demand.wanted)
        entries = join_entries(passing.take_all(limits) if passing.are_drawn else decode_walk(reading.walker, limits))
        return _make_index(passing.finish(entries[-1:]), passing, entries)


def _make_index(scan: LayerScan, passing: _Contents, entries: Iterable[Entry]) -> LayerIndex:
    told = {field.name: getattr(scan, field.name) for field in fields(scan)}
    return LayerIndex(
        **told,
        entries=tuple(entries),
        contents=passing.contents,
        sparse_offsets=passing.sparse_offsets,
        member_digests=passing.digests if scan.toc or passing.wanted else {},
    )


def scan_layer(
    chunks: Iterable[bytes],
    *,
    algorithm: str = "sha256",
    ahead: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    caches: tar.HeaderCaches | None = None,
) -> LayerScan:
    """Read a layer blob as `index_layer` does and as strictly, and hash it, but keep nothing of its entries.

    That there is a table of contents is told, but not what it says: to compare the two needs an index. With `ahead`
    each stage (hash what is stored, decompress, hash the tar) has a thread of its own.
    """
    stored = Meter(algorithm=algorithm)
    short = are_plain_names_short(limits)
    last: tar.Stretch = []
    reading = _Reading(stored.watch(chunks), stored, hashed=True, limits=limits, keep=0, ahead=ahead, caches=caches)
    with closing(reading):
        walker = reading.walker
        for stretch in walker.skim() if short else walker.stretches():
            tar.check_stretch(stretch, walker.weight, limits)
            if isinstance(stretch, tar.Member) or not short:
                check_names(tar.list_members(stretch), limits)
            last = stretch
        scan = reading.finish()
    return replace(scan, toc=scan.toc or find_toc_member(decode_stretch(last, 0, limits) if last else ()))


def scan_metered(
    chunks: Iterator[bytes],
    stored: Meter,
    *,
    limits: Limits,
    caches: tar.HeaderCaches | None = None,
) -> LayerScan:
    """Read a blob that `stored` watches as `scan_layer` does. It may pass but once: it is a LayerIndex where a table of
    contents has to be compared.

    Such a table comes last. Until then headers are kept, which take a third of the time that entries take.
    """
    if not are_plain_names_short(limits):
        return index_metered(chunks, stored, Demand(hashed=True), limits=limits, caches=caches)
    reading = _Reading(chunks, stored, hashed=True, limits=limits, caches=caches)
    passing = _Contents(reading, contents=False)
    kept: deque[list[tar.Header] | Entry] = deque()
    entry = None
    for stretch in reading.walker.stretches(passing.come_alone):
        tar.check_stretch(stretch, reading.walker.weight, limits)
        last = stretch if isinstance(stretch, tar.Member) else tar.make_member(stretch.pop())
        if isinstance(stretch, list) and stretch:
            kept.append(stretch)
        entry = passing.take(decode_entry(last, limits))
        kept.append(entry)
    scan = passing.finish((entry,) if entry else ())
    compared = scan.toc is not None and scan.toc.data is not None
    return _make_index(scan, passing, _decode_kept(kept, limits)) if compared else scan


def _decode_kept(kept: deque[list[tar.Header] | Entry], limits: Limits) -> Iterator[Entry]:
    """Give the entries of what was kept, which goes meanwhile."""
    while kept:
        each = kept.popleft()
        if isinstance(each, list):
            yield from decode_stretch(each, 0, limits)
        else:
            yield each


class _Reading:
    """One pass over a blob: how it is compressed, what was hashed, where the walker is."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        stored: Meter,
        *,
        hashed: bool,
        limits: Limits,
        keep: int | None = None,
        ahead: bool = False,
        caches: tar.HeaderCaches | None = None,
    ) -> None:
        from tarlayers.formats.compression import Decompressor, sniff_chunks  # noqa: PLC0415 # decoders

        self.keep = (limits.toc_bytes if hashed else 0) if keep is None else keep
        """Bytes of a table of contents that are kept."""
        self._limits = limits
        self._stored = stored
        self._compression, blob = sniff_chunks(chunks)
        self.unpacker: Decompressor | None = None
        self._stage: Generator[bytes, None, None] | None = None
        if self._compression == "none" and stored.algorithm == "sha256":
            self._plain, plain_chunks = stored, blob
        else:
            self._plain = Meter(hashed=hashed)
            self.unpacker = Decompressor(self._compression, limits, keep_skippable=max(self.keep, *FOOTER_SIZES))
            # Where a table of contents is kept, the walker has to know which compressed member it is in.
            if ahead and not self.keep:
                self._stage = run_stage(self.unpacker.run, blob)
            plain_chunks = self._plain.watch(self._stage or self.unpacker.run(blob))
        self.walker = tar.Walker(tar.ChunkFeed(plain_chunks), limits=limits, caches=caches)

    def close(self) -> None:
        """End the threads, however far they have come."""
        if self._stage is not None:
            self._stage.close()

    def finish(self) -> LayerScan:
        """Read what follows the tar; give all that was found but the entries."""
        unpacker, plain = self.unpacker, self._plain
        trailing, behind = read_behind(self.walker.tail(), self.keep)
        chunked = find_chunked(unpacker.skippable, self._limits) if unpacker else None
        return LayerScan(
            digest=self._stored.digest(),
            size=self._stored.size,
            compression=self._compression,
            diff_id=plain.digest(),
            plain_size=plain.size,
            trailing=trailing + (unpacker.trailing if unpacker else 0),
            toc=chunked or behind,
            behind_gzip=unpacker.padding + unpacker.trailing if unpacker else 0,
            odd_header=unpacker.odd_header if unpacker else False,
        )


def hop_layer(
    read_at: Callable[[int, int], bytes],
    size: int,
    *,
    limits: Limits = DEFAULT_LIMITS,
    caches: tar.HeaderCaches | None = None,
) -> LayerIndex:
    """Read the headers alone of an uncompressed layer of `size` bytes: no digest is known afterwards."""
    walker = tar.Walker(tar.SeekFeed(read_at, size), limits=limits, caches=caches)
    entries = join_entries(decode_walk(walker, limits))
    trailing, behind = read_behind(walker.tail(), 0)
    return LayerIndex(
        digest=None,
        size=size,
        compression="none",
        diff_id=None,
        plain_size=size,
        entries=tuple(entries),
        contents=False,
        sparse_offsets=frozenset(walker.sparse_offsets),
        trailing=trailing,
        toc=behind or find_toc_member(entries),
    )


class _Contents:
    """What is taken of the files' contents as a layer passes: digests, and a table of contents of eStargz."""

    def __init__(self, reading: _Reading, *, contents: bool, wanted: Wanted | None = None) -> None:
        self._reading = reading
        self.contents = contents
        self.wanted = None if contents else wanted
        self._toc = StoredToc("estargz", None)
        self.digests: dict[int, bytes] = {}

    @property
    def sparse_offsets(self) -> frozenset[int]:
        """Where the headers of those files stand whose holes are left out."""
        return frozenset(self._reading.walker.sparse_offsets)

    @property
    def are_drawn(self) -> bool:
        """Whether any content will be looked at: if none is, entries can be decoded across contents."""
        return self.contents or self.wanted is not None or self._reading.keep > 0

    def take_all(self, limits: Limits) -> Iterator[list[Entry]]:
        """Yield the layer's entries, those at once that come at once, after a look at their contents."""
        walker = self._reading.walker
        for stretch in walker.stretches(self.come_alone):
            *passed, last = decode_stretch(stretch, walker.weight, limits)
            yield [*self.take_passed(passed, stretch), self.take(last)]

    def come_alone(self) -> bool:
        """Say whether each file may start a compressed member of its own, and not only the last at hand.

        Lazy pullers need that; what docker and podman compress is one member.
        """
        unpacker = self._reading.unpacker
        return self._reading.keep > 0 and unpacker is not None and unpacker.members > 0

    def take_passed(self, entries: list[Entry], stretch: tar.Stretch) -> list[Entry]:
        """Look at the contents of what came with the entry at hand, and before it; give the entries that stand for
        them.
        """
        passed, sha256, wanted = self._reading.walker.passed, hashlib.sha256, self.wanted
        if isinstance(stretch, tar.Member):
            return entries
        if wanted is not None:
            for entry, header in zip(entries, stretch, strict=False):
                if entry.type == "file" and wanted(entry):
                    self.digests[entry.offset] = sha256(passed(header)).digest()
        if not self.contents:
            return entries
        return [
            put_digest(entry, sha256(passed(header)).digest()) if entry.type == "file" else entry
            for entry, header in zip(entries, stretch, strict=False)
        ]

    def take(self, entry: Entry) -> Entry:
        """Look at the content of the entry at hand; give the entry that stands for it."""
        keep = self._reading.keep
        is_toc = keep > 0 and entry.path == _TOC_PATH
        if entry.type != "file" or not (self.contents or is_toc or self._is_wanted(entry)):
            return entry
        hasher = hashlib.sha256()
        kept: list[bytes] | None = [] if is_toc and entry.size <= keep else None
        for piece in self._reading.walker.content():
            hasher.update(piece)
            if kept is not None:
                kept.append(piece)
        if is_toc:
            data = b"".join(kept) if kept is not None else None
            self._toc = StoredToc("estargz", data, limit=keep if data is None else None)
        if self.contents:
            return put_digest(entry, hasher.digest())
        self.digests[entry.offset] = hasher.digest()
        return entry

    def _is_wanted(self, entry: Entry) -> bool:
        """Say whether a file is wanted, or its content is not in the blob's first compressed member, which a table of
        contents may tell of.
        """
        if self.wanted is not None and self.wanted(entry):
            return True
        reading = self._reading
        unpacker = reading.unpacker
        return (
            reading.keep > 0
            and unpacker is not None
            and (unpacker.members > 0 or unpacker.produced == reading.walker.data_offset)
        )

    def finish(self, last: Sequence[Entry]) -> LayerScan:
        """Read what follows the tar; give all that was found but the entries, of which `last` is the last."""
        scan = self._reading.finish()
        return replace(scan, toc=self._toc) if scan.toc is None and find_toc_member(last) else scan


def find_toc_member(entries: Sequence[Entry]) -> StoredToc | None:
    """Recognise a layer of eStargz by its last member, which nobody has read."""
    last = entries[-1] if entries else None
    return StoredToc("estargz", None) if last and last.path == _TOC_PATH and last.type == "file" else None
