"""Making the index file of an archive: everything that questions are answered from, but the contents.

What is kept of the documents is what was looked at to find the images, so that reading the index does the same work
on the same bytes, and comes to the same images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from tarlayers.errors import UnsupportedInput, naming
from tarlayers.formats.tlx import IndexedArchive, IndexedLayer, IndexFile, pack_entries, write_tlx
from tarlayers.image import Image, Layer, load_layers
from tarlayers.imagearchive import ImageArchive
from tarlayers.sources.agreement import compare_documents
from tarlayers.sources.layout import LAYOUT_FILE
from tarlayers.sources.locate import locate_images
from tarlayers.stores.store import WHOLE, OnRead


def write_index(
    archive: ImageArchive,
    images: Sequence[Image] | None = None,
    *,
    contents: bool = True,
    on_read: OnRead | None = None,
) -> Iterator[bytes]:
    """Yield the index file of an archive: of some of its images, or of all.

    Every blob of theirs is read and hashed, and with `contents` every file, before the first byte comes. A layer that
    is malformed is an error; one that cannot be read (absent, foreign, encrypted) stays what it is. UnsupportedInput
    for what has no documents to be found by, a data root, and for files of more bytes than an index can tell.
    """
    archive.require_whole()
    numbers = [i for i, image in enumerate(archive.images) if images is None or any(image is one for one in images)]
    bare = archive.layout.kind == "none"
    documents, chosen = ({}, None) if bare else _find_documents(archive, numbers)
    layers = [layer for i in numbers for layer in archive.images[i].layers if not layer.unreadable]
    load_layers(layers, hashed=True, contents=contents, on_read=on_read)
    indexed = _describe(archive, numbers, layers, documents, contents=contents)
    yield from write_tlx(replace(indexed, chosen=chosen))


def _describe(
    archive: ImageArchive,
    numbers: Collection[int],
    layers: Sequence[Layer],
    documents: Mapping[str, bytes],
    *,
    contents: bool,
) -> IndexFile:
    store = archive.store
    bare = archive.layout.kind == "none"
    indexed = {store.resolve(layer.blob or WHOLE): layer for layer in layers}
    others = [] if bare else [name for name in _find_blobs(archive, numbers) if name not in documents]
    blobs = dict.fromkeys([*indexed, *others])
    origin = IndexedArchive(archive.kind, archive.size, archive.compression)
    return IndexFile(
        origin=archive.index_file.origin if archive.index_file else origin,
        contents=contents,
        end_mark=store.end_mark,
        chosen=None,
        sizes={} if bare else store.sizes,
        aliases={} if bare else store.aliases,
        duplicates={} if bare else store.duplicates,
        documents=documents,
        digests={name: store.digest(name) for name in blobs},
        compressions={name: store.compression(name) for name in blobs},
        layers={name: _pack_layer(layer, contents=contents) for name, layer in indexed.items()},
    )


def _pack_layer(layer: Layer, *, contents: bool) -> IndexedLayer:
    index = layer.read(hashed=True, contents=contents)
    if index.diff_id is None:
        raise ValueError("an index that is not hashed")
    with naming(layer.place):
        entries, digests = pack_entries(index.entries, contents=contents)
    return IndexedLayer(
        diff_id=index.diff_id,
        size=index.size,
        plain_size=index.plain_size,
        compression=index.compression,
        trailing=index.trailing,
        behind_gzip=index.behind_gzip,
        odd_header=index.odd_header,
        toc_format=index.toc.format if index.toc else "",
        entries=entries,
        digests=digests,
    )


class _Noting(Mapping[str, bytes]):
    """Documents, and which of them were looked at."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents
        self.noted: dict[str, None] = {}

    def __getitem__(self, name: str) -> bytes:
        document = self._documents[name]
        self.noted[name] = None
        return document

    def __contains__(self, name: object) -> bool:
        found = name in self._documents
        if found and isinstance(name, str):
            self.noted[name] = None
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


def _find_documents(archive: ImageArchive, numbers: Collection[int]) -> tuple[dict[str, bytes], tuple[int, ...] | None]:
    """Give the documents by which the images are found, or found to disagree; and which of all images these are,
    where they are not all: an index may have left some out before.
    """
    store = archive.store
    noting = _Noting(store.documents)
    layout = locate_images(noting, store.sizes, store.limits)
    for _ in compare_documents(noting, store.sizes, store.limits):
        pass
    found = layout.images
    if layout.kind != archive.layout.kind or not all(record in found for record in archive.layout.images):
        raise UnsupportedInput(f"an index is made of archives, not of a {archive.kind}", place=archive.name)
    records = [archive.layout.images[number] for number in numbers]
    kept = (name for name in (LAYOUT_FILE, *store.duplicates) if name in store.documents)
    wanted = {*noting.noted, *kept}
    documents = {name: store.documents[name] for name in store.sizes if name in wanted}
    return documents, None if len(records) == len(found) else tuple(map(found.index, records))


def _find_blobs(archive: ImageArchive, numbers: Collection[int]) -> Iterator[str]:
    """Yield the blobs that something is claimed of, but for those that are parts of images left out alone; and an
    `oci-layout` that is no document, so that the index knows it for one that readers refuse.
    """
    parts: tuple[set[str], set[str]] = (set(), set())
    for i, image in enumerate(archive.images):
        names = [layer.blob for layer in image.layers] + [image.config_blob]
        parts[i in numbers].update(name for name in names if name is not None)
    left_out = parts[False] - parts[True]
    for claim in archive.layout.claims:
        if claim.blob is not None and claim.blob not in left_out:
            yield archive.store.resolve(claim.blob)
    layout = archive.store.resolve(LAYOUT_FILE)
    known = (
        archive.index_file.digests if archive.index_file else archive.store.sizes
    )  # older indexes know nothing of it
    if layout in known and LAYOUT_FILE not in archive.store.documents:
        yield layout
