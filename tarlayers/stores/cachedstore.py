"""A store that asks the layer cache before it decompresses or hashes.

A cached layer answers only for bytes that were hashed: just now, or when the same file, unchanged since by its
inode and times, was read before. What a document or a name claims only tells whether hashing is worth it. Digests
are never answered from here, so `verify` reads all, and plain layers whose headers alone are wanted are hopped over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from tarlayers.digest import Digest, Meter, name_algorithm
from tarlayers.layer import Demand, LayerIndex, index_metered
from tarlayers.limits import DEFAULT_LIMITS
from tarlayers.outline import Outline
from tarlayers.sources.archive import Archive
from tarlayers.sources.blob import Blob, Origin
from tarlayers.sources.layercache import LayerCache
from tarlayers.stores.store import LEAST_AHEAD, OnRead, SeekStore, tell_reading

if TYPE_CHECKING:
    from tarlayers.stores.layerfile import FileDigests

_CLAIM = re.compile(r"([0-9a-f]{64}|[0-9a-f]{128})(\.tar(\.gz)?)?$")


class CachedStore(SeekStore):
    """A store over random access with a cache of layers. What it answers is what a SeekStore would."""

    def __init__(self, archive: Archive, cache: LayerCache) -> None:
        super().__init__(archive, DEFAULT_LIMITS)
        self._cache = cache
        self._hashed: dict[str, Digest] = {}

    def as_layer(self) -> CachedStore:
        """Give the archive as a layer."""
        return CachedStore(self.archive.as_layer(), self._cache)

    def _read_layer(self, name: str, blob: Blob, demand: Demand, on_read: OnRead | None) -> LayerIndex:
        """Give what is kept of the layer; else read it, hash its stored bytes as they pass, and keep what is found."""
        if demand.hashed or blob.size < self._cache.least_bytes:
            return super()._read_layer(name, blob, demand, on_read)
        digest = self._recall(name, blob) or self._hash_claimed(name, blob, on_read)
        found = self._load(digest, contents=demand.contents) if digest is not None else None
        if digest is not None and found is not None:
            self._cache.served.add(digest)
            return found
        origin = blob.origin
        meter = Meter(algorithm=name_algorithm(name))
        chunks = meter.watch(tell_reading(blob.chunks(), on_read))
        index = index_metered(
            chunks,
            meter,
            demand,
            ahead=self._outweighs(blob),
            limits=self.limits,
            caches=self._caches,
        )
        computed = self._note(name, blob, origin, meter)
        if computed is not None:
            self._save(computed, index)
        return replace(index, digest=None, diff_id=None)

    def find_outline(self, name: str, on_read: OnRead | None = None) -> Outline | None:
        """Give the outline of a layer that is kept and not in memory."""
        name = self.resolve(name)
        with self._lock:
            if name in self._indexes:
                return None
        blob = self._blob(name)
        if blob.size < self._cache.least_bytes or self.compression(name) == "none":
            return None
        digest = self._recall(name, blob) or self._hash_claimed(name, blob, on_read)
        data = self._cache.read(digest, "entries") if digest is not None else None
        if digest is None or data is None:
            return None
        from tarlayers.stores.layerfile import decode_outline  # noqa: PLC0415 # as below

        self._cache.served.add(digest)
        return decode_outline(data)

    def _takes_time(self, name: str) -> bool:
        """Say whether a member is large and not kept."""
        if self.sizes[name] < LEAST_AHEAD:
            return False
        digest = self._recall(name, self._blob(name)) or _claimed_digest(name)
        return digest is None or digest not in self._cache

    def _recall(self, name: str, blob: Blob) -> Digest | None:
        """Give the digest that was computed of a blob, in this run or before."""
        if name not in self._hashed:
            origin = blob.origin
            digest = self._cache.find(origin) if origin is not None else None
            if digest is None:
                return None
            self._hashed[name] = digest
        return self._hashed[name]

    def _hash_claimed(self, name: str, blob: Blob, on_read: OnRead | None) -> Digest | None:
        """Hash a blob whose name claims to be a layer that is kept: three times faster than to inflate it."""
        claimed = _claimed_digest(name)
        if claimed is None or claimed not in self._cache:
            return None
        origin = blob.origin
        meter = Meter(algorithm=claimed.algorithm)
        for _ in meter.watch(tell_reading(blob.chunks(), on_read)):
            pass
        return self._note(name, blob, origin, meter)

    def _note(self, name: str, blob: Blob, origin: Origin | None, meter: Meter) -> Digest | None:
        """Take down what a blob's bytes were hashed to, if nothing was written to its file meanwhile."""
        digest = meter.digest()
        if digest is not None:
            self._hashed[name] = digest
            if origin is not None and origin == blob.origin:
                self._cache.remember(origin, digest)
        return digest

    def _load(self, digest: Digest, *, contents: bool) -> LayerIndex | None:
        from tarlayers.stores.layerfile import decode_layer  # noqa: PLC0415 # zstandard, which a plain layer needs not

        digests = self._load_digests(digest) if contents else None
        if contents and (digests is None or not digests.complete):
            return None
        data = self._cache.read(digest, "entries")
        return decode_layer(data, digests.by_offset if digests else None) if data is not None else None

    def _load_digests(self, digest: Digest) -> FileDigests | None:
        from tarlayers.stores.layerfile import decode_digests  # noqa: PLC0415 # as above

        data = self._cache.read(digest, "contents")
        return decode_digests(data) if data is not None else None

    def _save(self, digest: Digest, index: LayerIndex) -> None:
        from tarlayers.stores.layerfile import FileDigests, encode_digests, encode_layer  # noqa: PLC0415 # as above

        try:
            parts = {"entries": encode_layer(index)}
        except ValueError:  # it holds what the cache cannot
            return
        if index.contents:
            found = {entry.offset: entry.sha256 for entry in index.entries if entry.sha256 is not None}
            parts["contents"] = encode_digests(FileDigests(found, complete=True))
        self._cache.write(digest, parts)

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give what is known; read the layer for the others, and keep them if its digest is known."""
        from tarlayers.stores.layerfile import FileDigests, encode_digests  # noqa: PLC0415 # as above

        name = self.resolve(name)
        blob = self._blob(name)
        digest = self._recall(name, blob) if blob.size >= self._cache.least_bytes else None
        if digest is None:
            return super().hash_files(name, offsets)
        kept = self._load_digests(digest) or FileDigests({}, complete=False)
        missing = offsets - kept.by_offset.keys()
        if missing:
            more = {**kept.by_offset, **super().hash_files(name, missing)}
            kept = FileDigests(more, complete=False)
            self._cache.write(digest, {"contents": encode_digests(kept)})
        return {offset: kept.by_offset[offset] for offset in offsets}


def _claimed_digest(name: str) -> Digest | None:
    """Give the digest that a blob is called by: `blobs/sha256/<hex>`, or its hex digits alone."""
    found = _CLAIM.search(name)
    return Digest("sha256" if len(found[1]) == 64 else "sha512", found[1]) if found else None
