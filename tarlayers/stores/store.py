"""Where an image's blobs are read: in place, as often as needed, or once as a stream passed.

Both kinds of Store answer the same questions, so nothing above asks which one it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from threading import Lock
from typing import Protocol

from tarlayers.digest import Digest, Meter, name_algorithm
from tarlayers.errors import ContentAbsent, ReadFailed, TarlayersError
from tarlayers.formats import tar
from tarlayers.formats.compression import SNIFF_BYTES, open_plain, sniff
from tarlayers.formats.toc import read_behind
from tarlayers.layer import (
    Entry,
    LayerIndex,
    decode_entry,
    find_toc_member,
    hash_contents,
    hop_layer,
    index_layer,
    index_metered,
    read_content,
)
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.sources.archive import (
    Archive,
    Blob,
    clean_name,
    count_members,
    ends_whole,
    find_top,
    link_targets,
    looks_like_json,
    oversized,
    place_error,
    resolve_links,
)

WHOLE = ""
"""The name under which a store keeps the archive itself as a bare layer."""

# What members of image archives alone are called. A bare layer is hashed as a whole as it passes; an archive of
# layers need not be, and its first such member tells. Root file systems do hold a `manifest.json` or `index.json`.
_ARCHIVE_NAMES = re.compile(r"blobs/sha(256|512)(/|$)|oci-layout$|(sha256:)?[0-9a-f]{64}")
# Documents and layers are never deeper than `blobs/sha256/<hex>`, or that in a directory of several layouts. The
# JSON and gzip files of a root file system mostly are: none of them need be kept or looked into.
_DEPTH = 3
_DIGITS = re.compile(r".*/[0-9a-f]{64,128}(\.tar(\.gz)?)?")

OnRead = Callable[[int], object]
"""Hears of progress: how many stored bytes were just read, from the thread that read them."""


class Store(Protocol):
    """The blobs of one archive, by name."""

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

    def compression(self, name: str) -> str:
        """Give the compression by magic."""

    def index(self, name: str, *, hashed: bool, contents: bool, on_read: OnRead | None = None) -> LayerIndex:
        """Index a layer blob; the result is kept. `on_read` hears how many stored bytes were just read."""

    def hash_files(self, name: str, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Give the sha256 of a layer's files by the offsets of their headers, which `index` gave."""

    def digest(self, name: str) -> Digest:
        """Compute (or give the computed) digest of a blob as stored: sha512 for one that is called by such a
        digest, else sha256.
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

    def __init__(self, archive: Archive, limits: Limits = DEFAULT_LIMITS) -> None:
        self.archive = archive
        self.limits = limits
        self._indexes: dict[str, LayerIndex] = {}
        self._digests: dict[str, Digest] = {}
        self._lock = Lock()
        self.sizes: Mapping[str, int] = {name: blob.size for name, blob in archive.blobs.items()}
        self.documents: Mapping[str, bytes] = archive.documents(limits)
        self.aliases = archive.aliases
        self.duplicates = archive.duplicates
        self.end_mark = archive.end_mark

    def _blob(self, name: str) -> Blob:
        if name == WHOLE and self.archive.whole is not None:
            return self.archive.whole
        return self.archive.blob(name)

    def compression(self, name: str) -> str:
        """Read the first bytes."""
        return sniff(self._blob(name).read_at(0, SNIFF_BYTES))

    def index(self, name: str, *, hashed: bool, contents: bool, on_read: OnRead | None = None) -> LayerIndex:
        """Hop over a plain layer's contents unless digests are asked for; read it through otherwise."""
        name = self.aliases.get(name, name)
        with self._lock:
            known = self._indexes.get(name)
        if known is not None and (known.diff_id or not hashed) and (known.contents or not contents):
            return known
        blob = self._blob(name)
        try:
            if not hashed and not contents and sniff(blob.read_at(0, SNIFF_BYTES)) == "none":
                index = hop_layer(blob.read_at, blob.size, limits=self.limits)
            else:
                index = self._read_layer(name, blob, hashed=hashed, contents=contents, on_read=on_read)
        except TarlayersError as error:
            raise place_error(error, name or self.archive.path) from error
        with self._lock:
            self._indexes[name] = index
            if index.digest is not None:
                self._digests[name] = index.digest
        return index

    def _read_layer(self, name: str, blob: Blob, *, hashed: bool, contents: bool, on_read: OnRead | None) -> LayerIndex:
        return index_layer(
            tell_reading(blob.chunks(), on_read),
            hashed=hashed,
            contents=contents,
            algorithm=name_algorithm(name),
            limits=self.limits,
        )

    def hash_files(self, name: str, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Hop to the files of a plain layer; decompress any other up to the last of them."""
        blob = self._blob(name)
        try:
            if sniff(blob.read_at(0, SNIFF_BYTES)) == "none":
                feed: tar.Feed = tar.SeekFeed(blob.read_at, blob.size)
            else:
                feed = tar.ChunkFeed(open_plain(blob.chunks(), self.limits))
            return hash_contents(tar.Walker(feed, limits=self.limits), offsets)
        except TarlayersError as error:
            raise place_error(error, name or self.archive.path) from error

    def digest(self, name: str) -> Digest:
        """Hash the blob, unless an index already did."""
        name = self.aliases.get(name, name)
        if name not in self._digests:
            meter = Meter(algorithm=name_algorithm(name))
            for _ in meter.watch(self._blob(name).chunks()):
                pass
            digest = meter.digest()
            if digest is not None:
                self._digests[name] = digest
        return self._digests[name]

    def open(self, name: str) -> Iterator[bytes]:
        """Read the blob from the front."""
        return self._blob(name).chunks()

    def open_file(self, name: str, entry: Entry) -> Iterator[bytes]:
        """Read the layer up to the file."""
        return read_content(open_plain(self.open(name), self.limits), entry.offset, self.limits)


class PassedStore:
    """What one pass over a stream left: documents, indexes and digests, but no contents."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.sizes: dict[str, int] = {}
        self.documents: Mapping[str, bytes] = {}
        self.aliases: Mapping[str, str] = {}
        self.duplicates: dict[str, int] = {}
        self.end_mark = True
        self.indexes: dict[str, LayerIndex | TarlayersError] = {}
        self.digests: dict[str, Digest] = {}
        self.compressions: dict[str, str] = {}

    def compression(self, name: str) -> str:
        """Give what was sniffed in passing."""
        return self.compressions.get(name, "none")

    def index(self, name: str, *, hashed: bool, contents: bool, on_read: OnRead | None = None) -> LayerIndex:  # noqa: ARG002 # all was read in passing
        """Give the index made in passing, or raise what went wrong then."""
        found = self.indexes.get(name)
        if found is None and name in self.documents:
            try:
                return index_layer((self.documents[name],), hashed=hashed, contents=contents, limits=self.limits)
            except TarlayersError as error:
                raise error.inside(name) from error
        if found is None:
            raise ContentAbsent("this member is no layer", place=name)
        if isinstance(found, TarlayersError):
            raise found
        if (hashed and found.diff_id is None) or (contents and not found.contents):
            raise ContentAbsent("digests were not computed while the stream passed", place=name)
        return found

    def hash_files(self, name: str, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Give the digests computed in passing."""
        entries = self.index(name, hashed=False, contents=True).entries
        return {entry.offset: entry.sha256 for entry in entries if entry.sha256 and entry.offset in offsets}

    def digest(self, name: str) -> Digest:
        """Give the digest computed in passing."""
        if name not in self.digests:
            raise ContentAbsent("digests were not computed while the stream passed", place=name)
        return self.digests[name]

    def open(self, name: str) -> Iterator[bytes]:
        """Refuse: the bytes are gone."""
        raise ContentAbsent("the stream has passed; its contents were not kept", place=name)

    def open_file(self, name: str, _entry: Entry) -> Iterator[bytes]:
        """Refuse, as `open` does."""
        return self.open(name)


class _KeptDocuments(dict[str, bytes]):
    """Documents of a stream; one that was too large to keep is LimitExceeded when it is asked for."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.refused: dict[str, int] = {}

    def __missing__(self, name: str) -> bytes:
        if name in self.refused:
            raise oversized(name, self.refused[name], self.limits)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.refused


def pass_stream(
    chunks: Iterable[bytes], *, hashed: bool, contents: bool, limits: Limits = DEFAULT_LIMITS
) -> PassedStore:
    """Read an uncompressed tar once, to its end: keep its documents, and index whatever looks like a layer.

    The tar itself is indexed as a bare layer under the name WHOLE, for it may turn out to be one.
    """
    return _Pass(hashed=hashed, contents=contents, limits=limits).run(chunks)


class _Pass:
    """The state of one pass."""

    def __init__(self, *, hashed: bool, contents: bool, limits: Limits) -> None:
        self._hashed = hashed
        self._contents = contents
        self.limits = limits
        self._store = PassedStore(limits)
        self._documents = _KeptDocuments(limits)
        self._kept = 0
        self._links: dict[str, tuple[str, ...]] = {}
        self._bare = True

    def run(self, chunks: Iterable[bytes]) -> PassedStore:
        # What turns out to be a bare layer has no other identity than this; an archive stops it at its first member.
        meter = Meter()
        walker = tar.Walker(tar.ChunkFeed(meter.watch(chunks)), limits=self.limits)
        entries: list[Entry] = []
        for member in count_members(walker, self.limits):
            name = clean_name(member.name)
            if self._bare and _ARCHIVE_NAMES.match(name):
                self._bare = False
                meter.stop_hashing()
            entry = decode_entry(member, self.limits)
            sha256 = self._take(name, member, walker)
            entries.append(entry._replace(sha256=sha256) if sha256 and self._contents else entry)
        trailing, behind = read_behind(walker.tail(), 0)
        self._follow_links()
        self._strip_top()
        store = self._store
        store.end_mark = ends_whole(walker, meter.size)
        store.documents = self._documents
        digest = meter.digest()
        store.indexes[WHOLE] = LayerIndex(
            digest, meter.size, "none", digest, meter.size, tuple(entries), self._contents, trailing,
            behind or find_toc_member(entries),
        )  # fmt: skip
        if digest is not None:
            store.digests[WHOLE] = digest
        return store

    def _take(self, name: str, member: tar.Member, walker: tar.Walker) -> bytes | None:
        """Take in one member; give the digest of its content if it has one and hashing is on."""
        self._forget(name)
        if member.typeflag in b"12":
            self._links[name] = link_targets(name, member)
            return None
        if member.typeflag not in b"07S":
            return None
        self._store.sizes[name] = member.size
        algorithm = "sha256" if self._bare else name_algorithm(name)
        meter = Meter(hashed=self._hashed or self._contents, algorithm=algorithm)
        stream = meter.watch(walker.content())
        head = b""
        while len(head) < tar.BLOCK and (chunk := next(stream, b"")):
            head += chunk
        self._store.compressions[name] = sniff(head)
        whole = _rejoin(head, stream)
        if name.count("/") < _DEPTH or _DIGITS.fullmatch(name):
            if looks_like_json(head[:64]):
                self._keep_document(name, member.size, whole)
            elif not self._bare or may_be_layer(head, member.size):
                self._index(name, whole, meter)
        for _ in stream:
            pass
        digest = meter.digest()
        if digest is None:
            return None
        self._store.digests[name] = digest
        return bytes.fromhex(digest.hex)

    def _forget(self, name: str) -> None:
        """Of two members with one name the last counts."""
        if self._store.sizes.pop(name, None) is not None or name in self._links:
            self._store.duplicates[name] = self._store.duplicates.get(name, 1) + 1
            self._links.pop(name, None)
            self._documents.pop(name, None)
            self._store.indexes.pop(name, None)
            self._store.digests.pop(name, None)

    def _keep_document(self, name: str, size: int, whole: Iterator[bytes]) -> None:
        room = min(self.limits.document_bytes, self.limits.documents_bytes - self._kept)
        if size > room:
            self._documents.refused[name] = size
            return
        self._documents[name] = b"".join(whole)
        self._kept += size

    def _index(self, name: str, whole: Iterator[bytes], meter: Meter) -> None:
        try:
            index = index_metered(whole, meter, hashed=self._hashed, contents=self._contents, limits=self.limits)
        except ReadFailed:
            raise  # nothing is wrong with this layer, but nothing follows it
        except TarlayersError as error:
            # A fresh one: that which was caught keeps the frames of its traceback, and most of these are never raised.
            self._store.indexes[name] = error.inside(name)
            return
        self._store.indexes[name] = index

    def _follow_links(self) -> None:
        store = self._store
        store.aliases = resolve_links(self._links, store.sizes)
        for name, target in store.aliases.items():
            store.sizes[name] = store.sizes[target]
            store.compressions[name] = store.compressions[target]
            for kept in (store.indexes, store.digests, self._documents):
                with suppress(KeyError):
                    kept[name] = kept[target]  # type: ignore[assignment] # one loop over three value types

    def _strip_top(self) -> None:
        store = self._store
        top = find_top(store.sizes)
        store.aliases = {name[len(top) :]: target[len(top) :] for name, target in store.aliases.items()}
        store.duplicates = {name.removeprefix(top): count for name, count in store.duplicates.items()}
        for kept in (store.sizes, store.compressions, store.indexes, store.digests, self._documents):
            for name in [name for name in kept if top and name.startswith(top)]:
                kept[name[len(top) :]] = kept.pop(name)  # type: ignore[assignment] # one loop over five value types


def _rejoin(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def may_be_layer(head: bytes, size: int) -> bool:
    """Say whether a file of a root file system may be a tar: empty, compressed, or with digits for a checksum.

    To try and index each costs 70 microseconds, which a file system of a million files would notice.
    """
    return size == 0 or sniff(head) != "none" or not head[148:156].strip(b" \0").strip(b"01234567")
