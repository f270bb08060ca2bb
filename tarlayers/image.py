"""Images and their layers: the nouns that every question is asked of.

image = open_image("app.tar")
image.layers[0].diff_id, image.chain_ids, image.history
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tarlayers.content import Wanted, read_heads
from tarlayers.digest import Digest, chain_ids
from tarlayers.entry import Entry
from tarlayers.errors import ContentAbsent, NoSuchLayer, Refused, TarlayersError, join_places, naming
from tarlayers.formats.mediatypes import containerd_refusal
from tarlayers.formats.toc import read_toc_claims
from tarlayers.layer import Demand, LayerIndex
from tarlayers.outline import Outline
from tarlayers.stores.store import OnRead, Store, tell_reading
from tarlayers.threads import count_cores, run_threads
from tarlayers.windows import find_parts, show_files

if TYPE_CHECKING:
    from tarlayers.formats.documents import Config, HistoryStep, Platform
    from tarlayers.limits import Limits
    from tarlayers.sources.dataroot import StoredContainer
    from tarlayers.sources.layout import OnDisk

_COMPRESSED = frozenset(("gzip", "zstd", "xz", "bzip2"))
_NUMBER = re.compile("-?[0-9]+")
_PREFIX = 12  # hex digits that name a layer or an image, as docker prints them


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of one image. What a document says is `claimed_`; `read` computes."""

    index: int
    """0 is the base."""
    claimed_digest: Digest | None
    claimed_diff_id: Digest | None
    media_type: str | None
    compression: str | None
    """By magic; `unpacked` in a data root; None where the blob is absent."""
    size: int | None
    """Stored bytes; the claimed ones where the blob is absent."""
    claimed_size: int | None
    created_by: str | None
    """The build step that made it, where the history can be matched to the layers."""
    annotations: Mapping[str, str] = field(hash=False)
    urls: tuple[str, ...]
    blob: str | None
    """Its name in the archive."""
    unreadable: str | None
    """Why its content cannot be read (`absent`, `foreign`, `encrypted`, ...); None when it can."""
    on_disk: OnDisk | None
    """Where an engine keeps it unpacked; None in archives."""
    bare: bool
    """No document speaks of this layer: all its digests are computed, which reads it whole."""
    _store: Store = field(repr=False, compare=False)
    untyped: bool = False
    """An OCI descriptor without a media type tells of it."""
    windows: bool = False
    """The image is for Windows: what a container sees of the layer lies below `Files/`."""

    @property
    def name(self) -> str:
        """What to call it in messages: `layer 2 (sha256:0123456789ab)`."""
        identity = self.claimed_diff_id or self.claimed_digest
        return f"layer {self.index}" + (f" ({str(identity)[:19]})" if identity else "")

    @property
    def place(self) -> str:
        """Where errors say that it is: the archive, and its name."""
        return join_places(self._store.called, self.name)

    @property
    def is_container(self) -> bool:
        """It is what a container has written, and no layer of an image."""
        return self.on_disk is not None and self.on_disk.role == "container"

    @property
    def limits(self) -> Limits:
        """The bounds under which it is read, which those who open the archive choose."""
        return self._store.limits

    @property
    def source(self) -> tuple[int, str | None]:
        """Which bytes it is read from: the same for layers that are one blob of one open archive, or links to it."""
        return id(self._store), self._store.resolve(self.blob) if self.blob is not None else None

    @property
    def chunked_format(self) -> str | None:
        """`estargz` or `zstd:chunked` where the annotations claim a table of contents for lazy pulling."""
        claims = read_toc_claims(self.annotations)
        return claims.format if claims else None

    @property
    def digest(self) -> Digest | None:
        """Of the blob as stored: as claimed, and for a bare layer as computed. Where nothing claims it (most
        docker-archives) that of an uncompressed blob is its diff ID, and None stands for all others.
        """
        if self.bare:
            return self.read(hashed=True).digest
        return self.diff_id if self.claimed_digest is None and self.compression == "none" else self.claimed_digest

    @property
    def is_unclaimed(self) -> bool:
        """The blob is compressed and nothing claims its digest, so `read(hashed=True)` alone can tell it."""
        return self.claimed_digest is None and self.compression in _COMPRESSED and not self.unreadable

    @property
    def diff_id(self) -> Digest | None:
        """As claimed; computed (which reads the whole layer) where nothing claims it."""
        if self.claimed_diff_id is not None or self.unreadable:
            return self.claimed_diff_id
        return self.read(hashed=True).diff_id

    @property
    def entries(self) -> Sequence[Entry]:
        """What takes part in the merged file system, in tar order: its members, and of a Windows layer those below
        `Files/`. The layer is indexed on first use; `read().entries` are its members as they stand.
        """
        entries = self.read().entries
        return show_files(entries) if self.windows else entries

    @property
    def windows_parts(self) -> tuple[str, ...]:
        """Which of `Files Hives UtilityVM` a Windows layer has; none for all other layers. Reads the layer."""
        return find_parts(self.read().entries) if self.windows and not self.unreadable else ()

    def read(
        self,
        *,
        hashed: bool = False,
        contents: bool = False,
        wanted: Wanted | None = None,
        on_read: OnRead | None = None,
    ) -> LayerIndex:
        """Index the layer, or give the index made before. With `hashed` digest and diff ID are computed,
        with `contents` the digest of every file. If the layer has to be decompressed, files that are `wanted` are
        hashed as they pass, for `hash_files` to give; `on_read` hears of progress.

        ContentAbsent where the blob is absent or encrypted; MalformedInput names the layer and the offset.
        """
        with naming(self.place):
            blob = self._readable_blob()
            return self._store.index(blob, Demand(hashed, contents, wanted), on_read)

    def find_outline(self, on_read: OnRead | None = None) -> Outline | None:
        """Give what the layer's entries are about where that is kept apart from them (in the layer cache), so that they
        can be had one by one. None for a layer that has to be read, and for one that is not orderly.
        """
        with naming(self.place):
            return self._store.find_outline(self._readable_blob(), on_read)

    def hash_files(self, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Give the sha256 of some of the layer's files, by the offsets that their entries have. Files that are
        not asked for are not hashed. ContentAbsent where the bytes have passed and were not hashed then.
        """
        with naming(self.place):
            return self._store.hash_files(self._readable_blob(), frozenset(offsets))

    def open_plain(self, on_read: OnRead | None = None) -> Iterator[bytes]:
        """Yield the uncompressed tar in chunks. ContentAbsent where the bytes are not kept (a stream)."""
        from tarlayers.formats.compression import open_plain  # noqa: PLC0415 # decoders, for who reads contents

        return open_plain(tell_reading(self._store.open(self._readable_blob()), on_read), self.limits)

    def open_content(self, entry: Entry) -> Iterator[bytes]:
        """Yield the bytes of one of this layer's files. ValueError for an entry of another layer, and for what is no
        file: a hard link has its content where its target is, as `merge_layers` shows it.

        A compressed layer is decompressed up to the file, each time: `read_files` gives many files in one pass.
        """
        with naming(self.place):
            blob = self._readable_blob()
            if entry.type != "file":
                raise ValueError(f"{entry.path} is no file: {entry.type}")
            if not self._holds(entry):
                raise ValueError(f"{entry.path} is no entry of {self.place}")
            yield from self._store.open_file(blob, entry)

    def _holds(self, entry: Entry) -> bool:
        """Say whether an entry is one of this layer's: by what no hard link to it changes, and `show_files` only at
        the front.
        """
        entries = self.read().entries
        at = bisect_left(entries, entry.offset, key=attrgetter("offset"))
        own = entries[at] if at < len(entries) else None
        return (
            own is not None and (own.offset, own.size) == (entry.offset, entry.size) and own.path.endswith(entry.path)
        )

    def open_heads(self, size: int, wanted: Wanted, on_read: OnRead | None = None) -> Iterator[tuple[Entry, bytes]]:
        """Yield each wanted file of this layer with its first `size` bytes, in one pass."""
        with naming(self.place):
            yield from read_heads(self.open_plain(on_read), size, wanted, self.limits)

    @property
    def blob_refusal(self) -> Refused | None:
        """Why containerd would not even read this blob as a layer; None when it would."""
        if self.untyped:
            return Refused("bad-media-type", "its descriptor has no media type", "L9")
        return containerd_refusal(self.media_type, self.compression)

    def require_readable(self) -> None:
        """Raise ContentAbsent, with the reason, for a layer whose content cannot be read."""
        self._readable_blob()

    def _readable_blob(self) -> str:
        if self.unreadable or self.blob is None:
            why = f"content not readable: {self.unreadable}"
            if self.on_disk is not None and self.unreadable == "absent":
                why = f"the copy lacks the files of this {self.on_disk.role} layer ({self.on_disk.cache_id}/diff)"
                if self.on_disk.merged:
                    why = f"vfs does not keep the files of this {self.on_disk.role} layer apart from those below"
            raise ContentAbsent(why, place=self.place)
        return self.blob


class HistoryRow(NamedTuple):
    """One build step, and the layer that it made, if it made one and the two can be matched."""

    step: HistoryStep
    layer: int | None


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its names, its documents and its layers, base first."""

    names: tuple[str, ...]
    image_id: Digest | None
    """sha256 of the configuration, which is what engines call the image ID."""
    manifest_digest: Digest | None
    platform: Platform | None
    """What the configuration says; without one what the index does."""
    config: Config | None = field(hash=False)
    config_blob: str | None
    layers: tuple[Layer, ...]
    history: tuple[HistoryRow, ...]
    """Oldest first, as the configuration has it."""
    annotations: Mapping[str, str] = field(hash=False)
    container: StoredContainer | None = None
    """The container that this is, with its own layer on top; None for an image."""
    claimed_platform: Platform | None = None
    """What the index says, where it says anything: engines choose by that rather than by the configuration."""
    flavour: str | None = None
    """Whose documents tell of it, as of an ImageRecord; None for a bare layer, of which none do."""

    @property
    def chain_ids(self) -> tuple[Digest | None, ...]:
        """Of every layer, base first; None from the first layer on whose diff ID nobody knows."""
        known: list[Digest] = []
        for layer in self.layers:
            diff_id = layer.diff_id
            if diff_id is None:
                break
            known.append(diff_id)
        return (*chain_ids(known), *[None] * (len(self.layers) - len(known)))

    @property
    def built_layers(self) -> Sequence[Layer]:
        """The layers that its history speaks of: all but a container's own."""
        return [layer for layer in self.layers if layer.on_disk is None or layer.on_disk.role == "image"]

    @property
    def name(self) -> str:
        """What to call it in messages: its first name, else the start of an ID."""
        if self.container is not None:
            return f"container {self.container.name}"
        if self.names:
            return self.names[0]
        identity = self.image_id or self.manifest_digest
        return str(identity)[:19] if identity else "unnamed image"


def load_layers(
    layers: Sequence[Layer],
    *,
    hashed: bool = False,
    contents: bool = False,
    workers: int | None = None,
    on_read: OnRead | None = None,
) -> None:
    """Index those of the layers that can be read, several at a time, the largest first. They may be of several
    images and archives.

    Afterwards `entries` and `read` of each answer at once. What is wrong with a layer is raised for the
    lowest such layer.
    """
    distinct = {layer.source: layer for layer in reversed(layers) if layer.unreadable is None}
    if not hashed and not contents and workers is None:
        workers = count_hoppers(distinct.values())

    def load(layer: Layer) -> None:
        layer.read(hashed=hashed, contents=contents, on_read=on_read)

    run_each(list(distinct.values())[::-1], load, workers=workers)


def count_hoppers(layers: Iterable[Layer]) -> int:
    """Give how many layers to read at a time where no digest is wanted. Of plain ones headers alone are read, which is
    work of the interpreter: threads would only wait for it.
    """
    return 1 if all(layer.compression == "none" for layer in layers) else count_cores()


def run_each(layers: Sequence[Layer], work: Callable[[Layer], object], *, workers: int | None = None) -> None:
    """Do the same work on several layers at a time, the largest first. What is wrong is raised for the first
    layer that has something wrong.
    """
    failed: dict[int, TarlayersError] = {}

    def attempt(number: int) -> None:
        try:
            work(layers[number])
        except TarlayersError as error:
            failed[number] = error

    todo = sorted(range(len(layers)), key=lambda number: -(layers[number].size or 0))
    workers = workers or count_cores()
    if workers == 1 or len(todo) < 2:
        for number in todo:
            attempt(number)
    else:
        run_threads(attempt, todo, workers=workers)
    if failed:
        raise failed[min(failed)]


def require_layers(layers: Sequence[Layer]) -> None:
    """Index layers as `load_layers` does. ContentAbsent for the lowest that cannot be read."""
    for layer in layers:
        layer.require_readable()
    load_layers(layers)


def find_layer(image: Image, reference: str | int) -> Layer:
    """Find a layer by its index (negative from the top), its diff ID or digest, or 12 or more of their hex digits.
    NoSuchLayer when there is none.
    """
    reference = str(reference)
    if len(reference) < _PREFIX and _NUMBER.fullmatch(reference):
        index = int(reference)
        if -len(image.layers) <= index < len(image.layers):
            return image.layers[index]
        raise NoSuchLayer(f"no layer {reference}: the image has {len(image.layers)}", place=image.name)
    found = [
        layer
        for layer in image.layers
        if any(digest and digest.is_meant(reference, _PREFIX) for digest in (layer.diff_id, layer.digest))
    ]
    if not found:
        raise NoSuchLayer(f"no layer {reference!r}: give an index, a digest or 12 hex digits of one", place=image.name)
    return found[0]
