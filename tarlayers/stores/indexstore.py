"""A store over an index file: everything but the contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from threading import Lock

from tarlayers.digest import Digest, name_algorithm
from tarlayers.entry import Entry
from tarlayers.errors import ContentAbsent, naming
from tarlayers.formats.tlx import IndexedLayer, IndexFile, unpack_entries
from tarlayers.formats.toc import StoredToc
from tarlayers.layer import ENTRIES, Demand, LayerIndex, LayerScan
from tarlayers.limits import Limits
from tarlayers.stores.store import OnRead

NO_CONTENTS = "an index holds no contents; ask the archive that it was made from"


class IndexStore:
    """The blobs of the archive that an index was made from. A layer is expanded when it is first asked for."""

    def __init__(self, index: IndexFile, limits: Limits, called: str) -> None:
        self._index = index
        self.limits = limits
        self.called = called
        self._indexes: dict[str, LayerIndex] = {}
        self._lock = Lock()
        self.sizes = index.sizes
        self.documents = index.documents
        self.aliases = index.aliases
        self.duplicates = index.duplicates
        self.end_mark = index.end_mark
        self._held = {self.resolve(name): raw for name, raw in self.documents.items()}  # by the member, not by a link

    def holds(self, name: str) -> bool:
        """Say whether the blob was looked at: those of images that were left out were not."""
        return self.resolve(name) in self._index.digests or name in self.documents

    def resolve(self, name: str) -> str:
        """Follow a link."""
        return self.aliases.get(name, name)

    def as_layer(self) -> IndexStore:
        """Give the store itself: it holds what answers ask for, and no more."""
        return self

    def compression(self, name: str) -> str:
        """Give what was sniffed when the index was made."""
        return self._index.compressions.get(self.resolve(name), "none")

    def index(self, name: str, demand: Demand = ENTRIES, on_read: OnRead | None = None) -> LayerIndex:  # noqa: ARG002 # nothing is read
        """Expand a layer. ContentAbsent where content digests are asked for and were left out."""
        name = self.resolve(name)
        layer = self._index.layers.get(name)
        if layer is None:
            raise ContentAbsent("this member is no layer of the index", place=name)
        if demand.contents and not self._index.contents:
            raise ContentAbsent("the index was made without content digests (--no-digests)", place=name)
        with self._lock:
            known = self._indexes.get(name)
        if known is None or not demand.is_met(known):
            with naming(f"entries of {name or 'the layer'}"):
                known = self._expand(layer, self._index.digests.get(name), contents=demand.contents)
            with self._lock:
                self._indexes[name] = known
        return known

    def _expand(self, layer: IndexedLayer, digest: Digest | None, *, contents: bool) -> LayerIndex:
        rows = unpack_entries(layer, contents=contents, limits=self.limits)
        return LayerIndex(
            digest=digest,
            size=layer.size,
            compression=layer.compression,
            diff_id=layer.diff_id,
            plain_size=layer.plain_size,
            entries=tuple(map(Entry._make, rows)),
            contents=contents,
            trailing=layer.trailing,
            toc=StoredToc(layer.toc_format, None) if layer.toc_format else None,
            behind_gzip=layer.behind_gzip,
            odd_header=layer.odd_header,
        )

    def find_outline(self, name: str, on_read: OnRead | None = None) -> None:
        """Give none: a layer is expanded whole."""

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:
        """Give what was found when the index was made."""
        return self.index(name, Demand(hashed=True), on_read)

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give the digests computed when the index was made."""
        entries = self.index(name, Demand(contents=True)).entries
        return {entry.offset: entry.sha256 for entry in entries if entry.sha256 and entry.offset in offsets}

    def digest(self, name: str, algorithm: str | None = None) -> Digest:
        """Hash a document, which is here; of other blobs give the digest computed when the index was made."""
        name = self.resolve(name)
        if name in self._held:
            return Digest.of(self._held[name], algorithm or name_algorithm(name))
        digest = self._index.digests.get(name)
        if digest is None or algorithm not in (None, digest.algorithm):
            raise ContentAbsent("not in the index", place=name)
        return digest

    def open(self, name: str) -> Iterator[bytes]:
        """Yield a document; refuse anything else."""
        if name not in self.documents:
            raise ContentAbsent(NO_CONTENTS, place=name)
        yield self.documents[name]

    def open_file(self, name: str, entry: Entry) -> Iterator[bytes]:  # noqa: ARG002 # no file has contents here
        """Refuse: no file has contents here."""
        raise ContentAbsent(NO_CONTENTS, place=name)
