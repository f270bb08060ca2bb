"""What one pass over a stream leaves of an image: its documents, layers and digests, kept while the bytes go by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from tarlayers.content import hash_pieces
from tarlayers.digest import Digest, Meter, name_algorithm
from tarlayers.entry import Entry, decode_stretch, put_digest
from tarlayers.errors import ContentAbsent, PassedOver, ReadFailed, TarlayersError, naming
from tarlayers.formats import tar
from tarlayers.formats.magic import sniff
from tarlayers.formats.toc import read_behind
from tarlayers.layer import (
    ENTRIES,
    Demand,
    LayerIndex,
    LayerScan,
    find_toc_member,
    index_layer,
    index_metered,
    scan_metered,
)
from tarlayers.limits import Limits
from tarlayers.sources.archive import looks_like_json, oversized
from tarlayers.sources.members import IMAGE_MEMBER, Members, clean_name, clean_names, ends_whole, find_top
from tarlayers.stores.store import WHOLE, OnRead

# A bare layer is hashed as a whole as it passes; an archive of layers need not be, and its first such member tells.
_ARCHIVE_NAMES = re.compile(IMAGE_MEMBER)
# Documents and layers are never deeper than `blobs/sha256/<hex>`, or that in a directory of several layouts. The
# JSON and gzip files of a root file system mostly are: none of them need be kept or looked into.
_DEPTH = 3
_NOT_HASHED = "digests were not computed while the stream passed (hashed=True computes them)"
_NO_DIGESTS = "digests of files were not computed while the stream passed (contents=True computes them)"
_DIGITS = re.compile(r".*/[0-9a-f]{64,128}(\.tar(\.gz)?)?")


class PassedStore:
    """What one pass over a stream left: documents, what was found in layers, and digests, but no contents."""

    def __init__(self, limits: Limits, called: str) -> None:
        self.limits = limits
        self.called = called
        self.sizes: dict[str, int] = {}
        self.documents: Mapping[str, bytes] = {}
        self.aliases: Mapping[str, str] = {}
        self.duplicates: dict[str, int] = {}
        self.end_mark = True
        self.scans: dict[str, LayerScan | TarlayersError] = {}
        self.digests: dict[str, tuple[Digest, ...]] = {}
        self.compressions: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        """Follow a link."""
        return self.aliases.get(name, name)

    def as_layer(self) -> PassedStore:
        """Give what is known of the stream as a layer."""
        store = PassedStore(self.limits, self.called)
        store.end_mark = self.end_mark
        store.scans[WHOLE] = self.scans[WHOLE]
        if WHOLE in self.digests:
            store.digests[WHOLE] = self.digests[WHOLE]
        return store

    def compression(self, name: str) -> str:
        """Give what was sniffed in passing."""
        return self.compressions.get(name, "none")

    def index(self, name: str, demand: Demand = ENTRIES, on_read: OnRead | None = None) -> LayerIndex:  # noqa: ARG002 # all was read in passing
        """Give the index made in passing, or raise what went wrong then."""
        found = self._find(name, hashed=demand.hashed, contents=demand.contents)
        if not isinstance(found, LayerIndex):
            raise ContentAbsent("entries were not kept while the stream passed", place=name)
        if demand.contents and not found.contents:
            raise ContentAbsent(_NO_DIGESTS, place=name)
        return found

    def find_outline(self, name: str, on_read: OnRead | None = None) -> None:
        """Give none: nothing is kept elsewhere."""

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:  # noqa: ARG002 # as above
        """Give what was found in passing; with entries where a table of contents has to be compared with them."""
        return self._find(name, hashed=name != WHOLE, contents=False)

    def _find(self, name: str, *, hashed: bool, contents: bool) -> LayerScan:
        found = self.scans.get(name)
        data = self._stand_in(name) if found is None else None
        if data is not None:
            with naming(name):
                return index_layer((data,), hashed=hashed, contents=contents, limits=self.limits)
        if found is None:
            self._refuse_deep(name)
            raise ContentAbsent("this member is no layer", place=name)
        if isinstance(found, TarlayersError):
            raise found.inside(self.resolve(name))
        if hashed and found.diff_id is None:
            raise ContentAbsent(_NOT_HASHED, place=name)
        return found

    def _stand_in(self, name: str) -> bytes | None:
        """Give a document, or bytes that are as much of a layer as a blob that was not tried: less than a block is
        empty or cut short whatever it holds, and the others have no checksum in their first header.
        """
        if name in self.documents:
            return self.documents[name]
        if self.compressions.get(name) != "none":
            return None
        size = self.sizes[name]
        return bytes(size) if size < tar.BLOCK else b"-" * tar.BLOCK

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give the digests computed in passing."""
        entries = self.index(name, Demand(contents=True)).entries
        return {entry.offset: entry.sha256 for entry in entries if entry.sha256 and entry.offset in offsets}

    def digest(self, name: str, algorithm: str | None = None) -> Digest:
        """Give the digest computed in passing."""
        for digest in self.digests.get(name, ()):
            if algorithm in (None, digest.algorithm):
                return digest
        self._refuse_deep(name)
        raise ContentAbsent(_NOT_HASHED, place=name)

    def _refuse_deep(self, name: str) -> None:
        """Layers of image archives are never deep, and a file system's files mostly are."""
        if _lies_deep(name):
            raise PassedOver("nobody looks this deep into a stream: give the archive as a file", place=name)

    def open(self, name: str) -> Iterator[bytes]:
        """Refuse: the bytes are gone."""
        raise ContentAbsent("the stream has passed; its contents were not kept (keep=True keeps them)", place=name)

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
    chunks: Iterable[bytes], *, hashed: bool, contents: bool, entries: bool, limits: Limits, called: str
) -> PassedStore:
    """Read an uncompressed tar once, to its end: keep its documents, and index whatever looks like a layer, or scan it
    where digests alone are needed and no `entries`.

    The tar itself is indexed as a bare layer under the name WHOLE, for it may turn out to be one.
    """
    scanned = hashed and not contents and not entries
    store = PassedStore(limits, called)
    return _Pass(store, hashed=hashed, contents=contents, scanned=scanned, limits=limits).run(chunks)


class _Pass:
    """The state of one pass."""

    def __init__(self, store: PassedStore, *, hashed: bool, contents: bool, scanned: bool, limits: Limits) -> None:
        self._hashed = hashed
        self._contents = contents
        self._scanned = scanned
        self.limits = limits
        self._store = store
        self._caches = tar.HeaderCaches()
        self._members: Members[int] = Members()
        self._documents = _KeptDocuments(limits)
        self._kept = 0
        self._bare = True
        # What turns out to be a bare layer has no other identity than this; an archive stops it at its first member.
        self._meter = Meter()

    def run(self, chunks: Iterable[bytes]) -> PassedStore:
        meter = self._meter
        walker = tar.Walker(tar.ChunkFeed(meter.watch(chunks)), limits=self.limits)
        entries: list[Entry] = []
        for stretch in walker.stretches():
            found = decode_stretch(stretch, walker.weight, self.limits)
            digests = self._take_stretch(stretch, walker)
            if self._contents:
                found = [put_digest(entry, digest) for entry, digest in zip(found, digests, strict=True)]
            entries += found
        trailing, behind = read_behind(walker.tail(), 0)
        digest = meter.digest()
        whole = LayerIndex(
            digest=digest,
            size=meter.size,
            compression="none",
            diff_id=digest,
            plain_size=meter.size,
            trailing=trailing,
            toc=behind or find_toc_member(entries),
            entries=tuple(entries),
            contents=self._contents,
        )
        self._store.end_mark = ends_whole(walker, meter.size)
        return self._finish(whole)

    def _take_stretch(self, stretch: tar.Stretch, walker: tar.Walker) -> list[bytes | None]:
        """Take in the members of a stretch; give the digest of each one's content, where those are asked for."""
        if isinstance(stretch, tar.Member):
            name = clean_name(stretch.name)
            return [self._take(name, stretch.typeflag, stretch.linkname, stretch.size, walker.content())]
        members = zip(clean_names(stretch), stretch, walker.open_contents(stretch), strict=True)
        return [
            self._take(name, tail.typeflag, tail.linkname, size, content)
            for name, (_, tail, size, *_), (_, content) in members
        ]

    def _take(self, name: str, typeflag: bytes, linkname: bytes, size: int, content: Iterator[bytes]) -> bytes | None:
        """Take in one member, whose content can be drawn here alone; give its digest if it is asked for."""
        if self._members.add(name, typeflag, linkname, size):
            self._forget(name)
        if typeflag not in b"07S":
            return None
        if self._bare and _ARCHIVE_NAMES.match(name):
            self._bare = False
            self._meter.stop_hashing()
        if not _lies_deep(name):
            digest = self._take_file(name, size, content)
            return bytes.fromhex(digest.hex) if digest is not None and self._contents else None
        return hash_pieces(content) if self._contents else None

    def _take_file(self, name: str, size: int, content: Iterator[bytes]) -> Digest | None:
        """Keep a document, index or scan a layer, and hash what may be either."""
        hashed = self._hashed or self._contents
        meter = Meter(hashed=hashed, algorithm="sha256" if self._bare else name_algorithm(name))
        stream = meter.watch(content)
        # What links to a member may call it by another digest than its own name does.
        beside = Meter(hashed=hashed and meter.algorithm != "sha256")
        stream = beside.watch(stream) if meter.algorithm != "sha256" else stream
        head = b""
        while len(head) < tar.BLOCK and (chunk := next(stream, b"")):
            head += chunk
        self._store.compressions[name] = sniff(head)
        whole = _rejoin(head, stream)
        if looks_like_json(head[:64]):
            self._keep_document(name, size, whole)
        elif not self._bare or may_be_layer(head):
            self._take_layer(name, whole, meter)
        for _ in stream:
            pass
        digest = meter.digest()
        if digest is not None:
            self._store.digests[name] = (digest, *filter(None, (beside.digest(),)))
        return digest

    def _finish(self, whole: LayerIndex) -> PassedStore:
        """Follow links, and leave out the name of a directory that was packed."""
        store = self._store
        store.documents = self._documents
        store.sizes = self._members.files
        tables = [*self._tables(), store.sizes]
        aliases = self._members.resolve_links()
        for table in tables:
            table |= {name: table[target] for name, target in aliases.items() if dict.__contains__(table, target)}
        top = find_top(store.sizes)
        for table in tables if top else ():
            for name in [name for name in table if name.startswith(top)]:
                table[name[len(top) :]] = table.pop(name)
        store.aliases = {name[len(top) :]: target[len(top) :] for name, target in aliases.items()}
        store.duplicates = {name.removeprefix(top): count for name, count in self._members.duplicates.items()}
        store.scans[WHOLE] = whole
        if whole.digest is not None:
            store.digests[WHOLE] = (whole.digest,)
        return store

    def _tables(self) -> list[dict[str, Any]]:
        """What is kept by name."""
        store, documents = self._store, self._documents
        return [documents, documents.refused, store.compressions, store.scans, store.digests]

    def _forget(self, name: str) -> None:
        """Of two members with one name the last counts."""
        for table in self._tables():
            table.pop(name, None)

    def _keep_document(self, name: str, size: int, whole: Iterator[bytes]) -> None:
        room = min(self.limits.document_bytes, self.limits.documents_bytes - self._kept)
        if size > room:
            self._documents.refused[name] = size
            return
        self._documents[name] = b"".join(whole)
        self._kept += size

    def _take_layer(self, name: str, whole: Iterator[bytes], meter: Meter) -> None:
        found: LayerScan
        try:
            if self._scanned:
                found = scan_metered(whole, meter, limits=self.limits, caches=self._caches)
            else:
                demand = Demand(self._hashed, self._contents)
                found = index_metered(whole, meter, demand, limits=self.limits, caches=self._caches)
        except ReadFailed:
            raise  # nothing is wrong with this layer, but nothing follows it
        except TarlayersError as error:
            # A fresh one: that which was caught keeps the frames of its traceback, and most of these are never raised.
            self._store.scans[name] = error.inside("")
            return
        self._store.scans[name] = found


def _lies_deep(name: str) -> bool:
    return name.count("/") >= _DEPTH and not _DIGITS.fullmatch(name)


def _rejoin(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def may_be_layer(head: bytes) -> bool:
    """Say whether a file of a root file system may be a tar: compressed, or with digits for a checksum.

    To try and index each costs 70 microseconds, which a file system of a million files would notice. What is less than
    a block is looked at when it is asked for.
    """
    is_block = len(head) >= tar.BLOCK
    return sniff(head) != "none" or (is_block and not head[148:156].strip(b" \0").strip(b"01234567"))
