"""The layers of a data root as blobs: tars put together from their headers and the files that lie unpacked.

Entries come from the headers (tar-split) alone, contents from `diff/`; only what needs the tar itself puts it
together. A container's own layer has no tar, and no diff ID: its entries are the files in its upper directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from threading import Lock
from types import MappingProxyType

from tarlayers.content import hash_pieces
from tarlayers.digest import Digest
from tarlayers.entry import Entry, decode_entry
from tarlayers.errors import ContentAbsent, MalformedInput, naming
from tarlayers.formats.assembly import assemble
from tarlayers.formats.compression import open_plain
from tarlayers.formats.crc64 import crc64
from tarlayers.formats.tar_writer import END_OF_ARCHIVE, padding
from tarlayers.formats.tarsplit import Piece, Record, decode_records, walk_records
from tarlayers.layer import ENTRIES, Demand, LayerIndex, LayerScan, index_layer
from tarlayers.limits import Limits
from tarlayers.nouns import count_noun
from tarlayers.sources.blob import Blob
from tarlayers.sources.dataroot import DataRoot, StoredLayer
from tarlayers.sources.filetree import resolve_path
from tarlayers.stores.store import OnRead
from tarlayers.stores.upperdir import place_entries, read_upper


class RootStore:
    """A store over a data root."""

    def __init__(self, root: DataRoot, limits: Limits) -> None:
        self.root = root
        self.limits = limits
        self.called = root.tree.path
        self._indexes: dict[str, LayerIndex] = {}
        self._checksums: dict[str, dict[int, int]] = {}
        self._parents: dict[str, tuple[str, str | None]] = {}
        self._lock = Lock()
        self.documents: Mapping[str, bytes] = root.documents
        self.sizes: Mapping[str, int] = {name: len(data) for name, data in root.documents.items()} | {
            name: layer.claimed_size for name, layer in root.layers.items() if layer.claimed_size is not None
        }

    aliases: Mapping[str, str] = MappingProxyType({})
    duplicates: Mapping[str, int] = MappingProxyType({})
    end_mark = True

    def resolve(self, name: str) -> str:
        """Give the name: no layer of a root is a link."""
        return name

    def as_layer(self) -> RootStore:
        """Give the store itself: a root is never a layer."""
        return self

    def compression(self, _name: str) -> str:
        """No tar is stored, so its size is not that of what is: this is another thing than `none`."""
        return "unpacked"

    def index(self, name: str, demand: Demand = ENTRIES, on_read: OnRead | None = None) -> LayerIndex:
        """Index a layer; its tar is put together only if its digests are asked for. Where the copy lacks a layer's
        files they carry no digest, whatever is asked for: their sizes are all that is known.
        """
        with self._lock:
            known = self._indexes.get(name)
        if name in self.root.uppers:  # there is no tar of it
            demand = demand._replace(hashed=False)
        if known is not None and demand.is_met(known):
            return known
        with naming(name):
            index = self._read(name, hashed=demand.hashed, contents=demand.contents)
        with self._lock:
            self._indexes[name] = index
        if on_read is not None:
            on_read(self.sizes.get(name, 0))
        return index

    def find_outline(self, name: str, on_read: OnRead | None = None) -> None:
        """Give none: nothing is kept elsewhere."""

    def scan(self, name: str, on_read: OnRead | None = None) -> LayerScan:
        """Give what an index tells."""
        return self.index(name, Demand(hashed=True), on_read)

    def hash_files(self, name: str, offsets: AbstractSet[int]) -> Mapping[int, bytes]:
        """Give the sha256 of some of a layer's files, by the offsets of their entries."""
        entries = self.index(name).entries
        hashed = (self._hash(name, entry) for entry in entries if entry.offset in offsets)
        return {entry.offset: entry.sha256 for entry in hashed if entry.sha256 is not None}

    def digest(self, name: str, algorithm: str | None = None) -> Digest:
        """Hash a document; of a layer only the unpacked files are stored, which have no digest."""
        if name in self.documents:
            return Digest.of(self.documents[name], algorithm or "sha256")
        raise ContentAbsent("stored unpacked: there is no blob to hash", place=name)

    def open(self, name: str) -> Iterator[bytes]:
        """Yield a document, or a layer's tar as it is put together; of a container's own layer one like a commit's."""
        if name in self.documents:
            return iter((self.documents[name],))
        return self._commit(name) if name in self.root.uppers else self._assemble(self._layer(name))

    def open_file(self, name: str, entry: Entry) -> Iterator[bytes]:
        """Yield the content of one file from where it lies unpacked.

        MalformedInput when it is not what the layer had, which for the checksum shows at the end.
        """
        if name in self.root.uppers:
            if entry.size:  # a marker is no file on disk
                yield from self.root.tree.blob(f"{name}{entry.path}").chunks()
            return
        layer = self._layer(name)
        self.index(name)
        blob = self.find_file(layer, entry.path)
        if blob.size != entry.size:
            size = count_noun(blob.size, "byte")
            raise MalformedInput(f"has {size}, but the layer's file {entry.size}", place=blob.name)
        checksum = 0
        for chunk in blob.chunks():
            checksum = crc64(chunk, checksum)
            yield chunk
        if checksum != self._find_checksums(name).get(entry.offset, 0):
            raise MalformedInput("is not what the layer had: its checksum differs", place=blob.name)

    def _find_checksums(self, name: str) -> Mapping[int, int]:
        """Give the CRC-64 of each content by the offset of its header; a layer that was hashed may lack them as yet."""
        if name not in self._checksums:
            self._checksums[name] = {
                piece.member.offset: piece.record.crc64
                for piece in self.pieces(name)
                if piece.member is not None and piece.record is not None and piece.record.crc64 is not None
            }
        return self._checksums[name]

    def pieces(self, name: str) -> Iterator[Piece]:
        """Yield the members of a layer from its tar-split alone. ContentAbsent when there is none."""
        layer = self._layer(name)
        with naming(layer.tar_split or name):
            yield from walk_records(self._records(layer), self.limits)

    def _layer(self, name: str) -> StoredLayer:
        try:
            return self.root.layers[name]
        except KeyError:
            raise ContentAbsent("no such layer in the root", place=name) from None

    def find_file(self, layer: StoredLayer, path: str) -> Blob:
        """Find where a file of a layer lies, symlinks on its way followed inside the layer.

        ContentAbsent when it is nowhere.
        """
        if layer.diff is None:
            raise ContentAbsent(f"the copy lacks the layer's files ({layer.cache_id}/diff)", place=layer.name)
        parent, _, base = path.rpartition("/")
        known, directory = self._parents.get(layer.name, (None, None))
        if known != parent:  # files of a tar mostly come directory by directory
            directory = resolve_path(self.root.tree, layer.diff, parent, follow=True)
            self._parents[layer.name] = parent, directory
        if directory is None or base in ("", ".", ".."):
            raise ContentAbsent(
                "the layer has this file, but it is not there", place=f"{layer.diff}/{path.lstrip('/')}"
            )
        return self.root.tree.blob(f"{directory}/{base}")

    def _read(self, name: str, *, hashed: bool, contents: bool) -> LayerIndex:
        if name in self.root.uppers:
            entries = tuple(entry for _, entry in place_entries(read_upper(self.root.tree, name, self.limits)))
            size = sum(entry.size for entry in entries)
            return self._make_index(name, entries, size, contents=contents)
        if hashed:
            return index_layer(self.open(name), hashed=True, contents=contents, limits=self.limits)
        found: list[Entry] = []
        checksums: dict[int, int] = {}
        size = 0
        for piece in self.pieces(name):
            size += len(piece.raw)
            if piece.member is None:
                continue
            found.append(decode_entry(piece.member, self.limits))
            if piece.record is not None and piece.record.crc64 is not None:
                checksums[piece.member.offset] = piece.record.crc64
                size += piece.member.stored
        self._checksums[name] = checksums
        return self._make_index(name, found, size, contents=contents)

    def _make_index(self, name: str, entries: Iterable[Entry], size: int, *, contents: bool) -> LayerIndex:
        layer = self.root.layers.get(name)
        if contents and (layer is None or layer.diff is not None):
            entries = [self._hash(name, entry) if entry.type == "file" else entry for entry in entries]
        return LayerIndex(
            digest=None,
            size=size,
            compression="none",
            diff_id=None,
            plain_size=size,
            entries=tuple(entries),
            contents=contents,
            trailing=0,
        )

    def _hash(self, name: str, entry: Entry) -> Entry:
        # Markers and empty files need no look.
        return entry._replace(sha256=hash_pieces(self.open_file(name, entry) if entry.size else ()))

    def _assemble(self, layer: StoredLayer) -> Iterator[bytes]:
        def open_content(name: bytes) -> Iterator[bytes]:
            return self.find_file(layer, name.decode("utf-8", "surrogateescape")).chunks()

        return assemble(self._records(layer), open_content, self.limits)

    def _commit(self, upper: str) -> Iterator[bytes]:
        for header, entry in place_entries(read_upper(self.root.tree, upper, self.limits)):
            yield header
            if not entry.size:
                continue
            blob = self.root.tree.blob(f"{upper}{entry.path}")
            if blob.size != entry.size:
                raise MalformedInput("has changed while it was read", place=blob.name)
            yield from blob.chunks()
            yield padding(entry.size)
        yield END_OF_ARCHIVE

    def _records(self, layer: StoredLayer) -> Iterator[Record]:
        if layer.tar_split is None:
            raise ContentAbsent("the layer has no tar-split: its headers are not known", place=layer.name)
        chunks = open_plain(self.root.tree.blob(layer.tar_split).chunks(), self.limits)
        return decode_records(chunks, self.limits)
