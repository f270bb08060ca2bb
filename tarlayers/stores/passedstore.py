"""What one pass over a stream leaves of an image: its documents, layers and digests, kept while the bytes go by."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from tarlayers.digest import Digest, Meter, name_algorithm
from tarlayers.entry import Entry, decode_entry
from tarlayers.errors import ContentAbsent, ReadFailed, TarlayersError
from tarlayers.formats import tar
from tarlayers.formats.magic import sniff
from tarlayers.formats.toc import read_behind
from tarlayers.layer import LayerIndex, LayerScan, find_toc_member, index_layer, index_metered, scan_metered
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.sources.archive import (
    clean_name,
    count_members,
    ends_whole,
    find_top,
    link_targets,
    looks_like_json,
    oversized,
    resolve_links,
)
from tarlayers.stores.store import WHOLE, OnRead

# What members of image archives alone are called. A bare layer is hashed as a whole as it passes; an archive of
# layers need not be, and its first such member tells. Root file systems do hold a `manifest.json` or `index.json`.
_ARCHIVE_NAMES = re.compile(r"blobs/sha(256|512)(/|$)|oci-layout$|(sha256:)?[0-9a-f]{64}")
# Documents and layers are never deeper than `blobs/sha256/<hex>`, or that in a directory of several layouts. The
# JSON and gzip files of a root file system mostly are: none of them need be kept or looked into.
_DEPTH = 3
_NOT_HASHED = "digests were not computed while the stream passed"
_DIGITS = re.compile(r".*/[0-9a-f]{64,128}(\.tar(\.gz)?)?")


class PassedStore:
    """What one pass over a stream left: documents, what was found in layers, and digests, but no contents."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.sizes: dict[str, int] = {}
        self.documents: Mapping[str, bytes] = {}
        self.aliases: Mapping[str, str] = {}
        self.duplicates: dict[str, int] = {}
        self.end_mark = True
        self.scans: dict[str, LayerScan | TarlayersError] = {}
        self.digests: dict[str, Digest] = {}
        self.compressions: dict[str, str] = {}

    def compression(self, name: str) -> str:
        """Give what was sniffed in passing."""
        return self.compressions.get(name, "none")

    def index(self, name: str, *, hashed: bool, contents: bool, on_read: OnRead | None = None) -> LayerIndex:  # noqa: ARG002 # all was read in passing
        """Give the index made in passing, or raise what went wrong then."""
        found = self._find(name, hashed=hashed, contents=contents)
        if not isinstance(found, LayerIndex):
            raise ContentAbsent("entries were not kept while the stream passed", place=name)
        if contents and not found.contents:
            raise ContentAbsent(_NOT_HASHED, place=name)
        return found

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:  # noqa: ARG002 # as above
        """Give what was found in passing; with entries where a table of contents has to be compared with them."""
        return self._find(name, hashed=name != WHOLE, contents=False)

    def _find(self, name: str, *, hashed: bool, contents: bool) -> LayerScan:
        found = self.scans.get(name)
        if found is None and name in self.documents:
            try:
                return index_layer((self.documents[name],), hashed=hashed, contents=contents, limits=self.limits)
            except TarlayersError as error:
                raise error.inside(name) from error
        if found is None:
            raise ContentAbsent("this member is no layer", place=name)
        if isinstance(found, TarlayersError):
            raise found
        if hashed and found.diff_id is None:
            raise ContentAbsent(_NOT_HASHED, place=name)
        return found

    def hash_files(self, name: str, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Give the digests computed in passing."""
        entries = self.index(name, hashed=False, contents=True).entries
        return {entry.offset: entry.sha256 for entry in entries if entry.sha256 and entry.offset in offsets}

    def digest(self, name: str) -> Digest:
        """Give the digest computed in passing."""
        if name not in self.digests:
            raise ContentAbsent(_NOT_HASHED, place=name)
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
    chunks: Iterable[bytes], *, hashed: bool, contents: bool, entries: bool = True, limits: Limits = DEFAULT_LIMITS
) -> PassedStore:
    """Read an uncompressed tar once, to its end: keep its documents, and index whatever looks like a layer, or scan it
    where digests alone are needed and no `entries`.

    The tar itself is indexed as a bare layer under the name WHOLE, for it may turn out to be one.
    """
    scanned = hashed and not contents and not entries
    return _Pass(hashed=hashed, contents=contents, scanned=scanned, limits=limits).run(chunks)


class _Pass:
    """The state of one pass."""

    def __init__(self, *, hashed: bool, contents: bool, scanned: bool, limits: Limits) -> None:
        self._hashed = hashed
        self._contents = contents
        self._scanned = scanned
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
        store.scans[WHOLE] = LayerIndex(
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
                self._take_layer(name, whole, meter)
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
            self._store.scans.pop(name, None)
            self._store.digests.pop(name, None)

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
                found = scan_metered(whole, meter, limits=self.limits)
            else:
                found = index_metered(whole, meter, hashed=self._hashed, contents=self._contents, limits=self.limits)
        except ReadFailed:
            raise  # nothing is wrong with this layer, but nothing follows it
        except TarlayersError as error:
            # A fresh one: that which was caught keeps the frames of its traceback, and most of these are never raised.
            self._store.scans[name] = error.inside(name)
            return
        self._store.scans[name] = found

    def _follow_links(self) -> None:
        store = self._store
        store.aliases = resolve_links(self._links, store.sizes)
        for name, target in store.aliases.items():
            store.sizes[name] = store.sizes[target]
            store.compressions[name] = store.compressions[target]
            for kept in (store.scans, store.digests, self._documents):
                with suppress(KeyError):
                    kept[name] = kept[target]  # type: ignore[assignment] # one loop over three value types

    def _strip_top(self) -> None:
        store = self._store
        top = find_top(store.sizes)
        store.aliases = {name[len(top) :]: target[len(top) :] for name, target in store.aliases.items()}
        store.duplicates = {name.removeprefix(top): count for name, count in store.duplicates.items()}
        for kept in (store.sizes, store.compressions, store.scans, store.digests, self._documents):
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
