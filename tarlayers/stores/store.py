"""Where an image's blobs are read: in place, as often as needed, or once as a stream passed.

Both kinds of Store answer the same questions, so nothing above asks which one it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from threading import Lock
from typing import Protocol

from tarlayers.content import hash_contents, hash_pieces, read_content
from tarlayers.digest import Digest, Meter, name_algorithm
from tarlayers.entry import Entry
from tarlayers.errors import naming
from tarlayers.formats import tar
from tarlayers.formats.magic import SNIFF_BYTES, sniff
from tarlayers.formats.toc import TOC_END_BYTES, may_have_toc
from tarlayers.layer import (
    ENTRIES,
    Demand,
    LayerIndex,
    LayerScan,
    hop_layer,
    index_layer,
    scan_layer,
)
from tarlayers.limits import Limits
from tarlayers.outline import Outline
from tarlayers.sources.archive import Archive
from tarlayers.sources.blob import Blob
from tarlayers.threads import count_cores

WHOLE = ""
"""The name under which a store keeps the archive itself as a bare layer."""

LEAST_AHEAD = 4 << 20  # bytes: less is read while threads start

OnRead = Callable[[int], object]
"""Hears of progress: how many stored bytes were just read, from the thread that read them."""


class Store(Protocol):
    """The blobs of one archive, by name."""

    @property
    def called(self) -> str:
        """What messages call the archive."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The stored size of every regular member."""

    @property
    def documents(self) -> Mapping[str, bytes]:
        """The members that look like JSON."""

    @property
    def limits(self) -> Limits:
        """The bounds under which all is read."""

    @property
    def aliases(self) -> Mapping[str, str]:
        """Of each member that is a link the one that it leads to."""

    @property
    def duplicates(self) -> Mapping[str, int]:
        """How many members have the same name, where there are several; the last of them is the blob."""

    @property
    def end_mark(self) -> bool:
        """Whether the archive's tar ends as it has to."""

    def resolve(self, name: str) -> str:
        """Give the member that holds the bytes of a blob: the one that a link leads to, and itself where it is none."""

    def as_layer(self) -> Store:
        """Give the archive as a layer alone, where no member of it is a blob: nothing is kept of them then."""

    def compression(self, name: str) -> str:
        """Give the compression by magic."""

    def index(self, name: str, demand: Demand = ENTRIES, on_read: OnRead | None = None) -> LayerIndex:
        """Index a layer blob; the result is kept. `on_read` hears how many stored bytes were just read."""

    def find_outline(self, name: str, on_read: OnRead | None = None) -> Outline | None:
        """Give the outline of an orderly layer whose entries are kept somewhere and have not been made; None for all
        others, which `index` reads.
        """

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:
        """Read a layer blob through and hash it: what `index` tells but for the entries, which come along only where
        a table of contents has to be compared with them. WHOLE is not hashed: no document speaks of it.
        """

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give the sha256 of a layer's files by the offsets of their headers, which `index` gave."""

    def digest(self, name: str, algorithm: str | None = None) -> Digest:
        """Compute (or give the computed) digest of a blob as stored. Where no algorithm is asked for that is sha512 for
        one that is called by such a digest, else sha256. ContentAbsent where it was not computed while that could be.
        """

    def open(self, name: str) -> Iterator[bytes]:
        """Yield the stored bytes; ContentAbsent when they have passed."""

    def open_file(self, name: str, entry: Entry) -> Iterator[bytes]:
        """Yield the content of one file of a layer."""


def tell_reading(chunks: Iterable[bytes], on_read: OnRead | None) -> Iterator[bytes]:
    """Pass chunks on, and tell `on_read` of each."""
    if on_read is None:
        yield from chunks
        return
    for chunk in chunks:
        on_read(len(chunk))
        yield chunk


class SeekStore:
    """A store over random access: everything is read when it is asked for, layers once."""

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self.archive = archive
        self.limits = limits
        self.called = archive.path
        self._indexes: dict[str, LayerIndex] = {}
        self._digests: dict[tuple[str, str], Digest] = {}
        self._lock = Lock()
        self._caches = tar.HeaderCaches()
        self.sizes = archive.sizes
        self.documents: Mapping[str, bytes] = archive.documents(limits)
        self.aliases = archive.aliases
        self.duplicates = archive.duplicates
        self.end_mark = archive.end_mark

    def resolve(self, name: str) -> str:
        """Follow a link."""
        return self.aliases.get(name, name)

    def as_layer(self) -> SeekStore:
        """Give the archive as a layer."""
        return SeekStore(self.archive.as_layer(), self.limits)

    def _blob(self, name: str) -> Blob:
        if name == WHOLE and self.archive.whole is not None:
            return self.archive.whole
        return self.archive.blob(name)

    def compression(self, name: str) -> str:
        """Read the first bytes."""
        return sniff(self._blob(name).read_at(0, SNIFF_BYTES))

    def index(self, name: str, demand: Demand = ENTRIES, on_read: OnRead | None = None) -> LayerIndex:
        """Hop over a plain layer's contents unless digests are asked for; read it through otherwise."""
        name = self.resolve(name)
        with self._lock:
            known = self._indexes.get(name)
        if known is not None and demand.is_met(known):
            return known
        blob = self._blob(name)
        with naming(name):
            if known is not None and (known.contents or not demand.contents) and _is_hashed_alone(name, known):
                index = _hash_layer(known, tell_reading(blob.chunks(), on_read))
            elif not demand.hashed and not demand.contents and sniff(blob.read_at(0, SNIFF_BYTES)) == "none":
                index = hop_layer(blob.read_at, blob.size, limits=self.limits, caches=self._caches)
            else:
                index = self._read_layer(name, blob, demand, on_read)
        with self._lock:
            self._indexes[name] = index
            if index.digest is not None:
                self._digests[name, index.digest.algorithm] = index.digest
        return index

    def find_outline(self, name: str, on_read: OnRead | None = None) -> Outline | None:  # noqa: ARG002 # nothing is kept
        """Give none: nothing is kept."""
        return None

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:
        """Keep entries only of a layer whose end, or what is found there, is that of a table of contents."""
        name = self.resolve(name)
        if name == WHOLE:  # nothing claims a digest of it
            return self.index(name, on_read=on_read)
        blob = self._blob(name)
        if not may_have_toc(blob.read_at(max(0, blob.size - TOC_END_BYTES), TOC_END_BYTES)):
            with naming(name):
                scan = scan_layer(
                    tell_reading(blob.chunks(), on_read),
                    algorithm=name_algorithm(name),
                    ahead=self._outweighs(blob),
                    limits=self.limits,
                    caches=self._caches,
                )
            if scan.toc is None:
                return scan
        return self.index(name, Demand(hashed=True), on_read)

    def _read_layer(self, name: str, blob: Blob, demand: Demand, on_read: OnRead | None) -> LayerIndex:
        return index_layer(
            tell_reading(blob.chunks(), on_read),
            hashed=demand.hashed,
            contents=demand.contents,
            wanted=demand.wanted,
            algorithm=name_algorithm(name),
            ahead=self._outweighs(blob),
            limits=self.limits,
            caches=self._caches,
        )

    def _outweighs(self, blob: Blob) -> bool:
        """Say whether a blob is so large that cores would wait for it: then its stages run beside each other.

        Where there are others enough, a core for each of them is better: nothing is handed from thread to thread.
        """
        return blob.size > self._share

    @cached_property
    def _share(self) -> int:
        """A core's part of all bytes. A bare layer's members are not asked for it."""
        once = sum(size for name, size in self.sizes.items() if name not in self.aliases and self._takes_time(name))
        return max(once // count_cores(), LEAST_AHEAD)

    def _takes_time(self, name: str) -> bool:  # noqa: ARG002 # nothing is kept
        """Say whether a member would be read whole."""
        return True

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give what was wanted when the layer passed. Of others read those of a plain layer where they stand, and
        decompress any other up to the last of them.
        """
        with self._lock:
            index = self._indexes.get(self.resolve(name))
        known = index.member_digests if index is not None else {}
        missing = offsets - known.keys()
        found = self._read_files(name, missing) if missing else {}
        return {**found, **{offset: known[offset] for offset in offsets - missing}}

    def _read_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        blob = self._blob(name)
        with naming(name):
            if self.compression(name) == "none":
                return self._hash_stored(blob, self.index(name), offsets)
            from tarlayers.formats.compression import open_plain  # noqa: PLC0415 # decoders

            feed = tar.ChunkFeed(open_plain(blob.chunks(), self.limits))
            return hash_contents(tar.Walker(feed, limits=self.limits), offsets)

    def _hash_stored(self, blob: Blob, index: LayerIndex, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Hash files of a plain layer; only those with holes take a walk."""
        found = {
            entry.offset: hash_pieces(_read_stored(blob, entry))
            for entry in index.entries
            if entry.offset in offsets and _is_stored_whole(entry, index)
        }
        left = offsets - found.keys()
        if left:
            walker = tar.Walker(tar.SeekFeed(blob.read_at, blob.size), limits=self.limits)
            found.update(hash_contents(walker, left))
        return found

    def digest(self, name: str, algorithm: str | None = None) -> Digest:
        """Hash the blob, unless an index already did."""
        name = self.resolve(name)
        algorithm = algorithm or name_algorithm(name)
        if (name, algorithm) not in self._digests:
            meter = Meter(algorithm=algorithm)
            for _ in meter.watch(self._blob(name).chunks()):
                pass
            digest = meter.digest()
            if digest is not None:
                self._digests[name, algorithm] = digest
        return self._digests[name, algorithm]

    def open(self, name: str) -> Iterator[bytes]:
        """Read the blob from the front."""
        return self._blob(name).chunks()

    def open_file(self, name: str, entry: Entry) -> Iterator[bytes]:
        """Read a file of a plain layer where it stands; of any other the layer up to it."""
        if self.compression(name) == "none":
            index = self.index(name)
            place = bisect_left(index.entries, entry.offset, key=attrgetter("offset"))
            if place < len(index.entries) and index.entries[place].offset == entry.offset:
                stored = index.entries[place]
                if _is_stored_whole(stored, index):
                    return _read_stored(self._blob(name), stored)
        from tarlayers.formats.compression import open_plain  # noqa: PLC0415 # as above

        return read_content(open_plain(self.open(name), self.limits), entry.offset, self.limits)


def _is_hashed_alone(name: str, index: LayerIndex) -> bool:
    """Say whether an index lacks no more than one digest: entries are not read twice, nor kept twice meanwhile."""
    return index.compression == "none" and index.toc is None and name_algorithm(name) == "sha256"


def _hash_layer(index: LayerIndex, chunks: Iterable[bytes]) -> LayerIndex:
    digest = Digest("sha256", hash_pieces(chunks).hex())
    return replace(index, digest=digest, diff_id=digest)


def _is_stored_whole(entry: Entry, index: LayerIndex) -> bool:
    """Say whether the bytes behind an entry's header are the content of a file."""
    return entry.type == "file" and entry.offset not in index.sparse_offsets


def _read_stored(blob: Blob, entry: Entry) -> Iterator[bytes]:
    start = entry.offset + tar.BLOCK
    return blob.chunks(start, start + entry.size)
