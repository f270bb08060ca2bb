"""What one path or stream holds: opening it, and making images of its documents.

A seekable file or a directory is read in place and layers are indexed when their entries are first asked
for; a stream (standard input, a compressed archive) is read once, at once. This is the only place that
decides which.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tarlayers.digest import Meter
from tarlayers.errors import MalformedInput, UnsupportedInput, naming
from tarlayers.formats.compression import SNIFF_BYTES, Decompressor, sniff
from tarlayers.formats.mediatypes import read_layer_type, why_unreadable
from tarlayers.image import HistoryRow, Image, Layer
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.reference import choose_image
from tarlayers.sources.archive import open_directory, open_tar, read_stream
from tarlayers.sources.layout import ImageRecord, LayerRecord, Layout, OtherRecord, map_history
from tarlayers.sources.locate import locate_images
from tarlayers.store import WHOLE, OnRead, PassedStore, SeekStore, Store, pass_stream, tell_reading

# What members are called that no root file system has: without the documents they are no image, and no layer either.
_IMAGE_MEMBER = re.compile(
    r"blobs/sha(256|512)/[0-9a-f]{64,}$|[0-9a-f]{64}/(layer\.tar|json)$|(sha256:)?[0-9a-f]{64}(\.json|\.tar(\.gz)?)?$"
)

Source = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Everything that was found in one archive."""

    path: str
    kind: str
    """`docker-archive`, `oci-archive`, `oci-dir`, `dir` or `layer` (a bare layer, or an exported file system)."""
    size: int
    """Stored bytes of the archive."""
    compression: str
    """Of the archive itself."""
    images: tuple[Image, ...]
    others: tuple[OtherRecord, ...]
    layout: Layout
    store: Store = field(repr=False, compare=False)


def open_image(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Image:
    """Open an archive that holds exactly one image.

    `source` is a path or a binary stream. NoSuchImage lists the candidates when there are several: then use
    `open_images` and `choose_image`.
    """
    archive = open_images(source, limits=limits)
    return choose_image(archive.images, others=archive.others)


def open_images(
    source: Source,
    *,
    hashed: bool = True,
    contents: bool = False,
    keep: bool = False,
    tell: Callable[[str], object] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_read: OnRead | None = None,
) -> ImageArchive:
    """Open an archive and list all it holds.

    `hashed` and `contents` say what a stream has to compute while it passes (see `Layer.read`); they mean
    nothing for what can be read again. With `keep` a stream is spooled to an unnamed temporary file, so that
    contents can be read afterwards. `tell` hears, in a line, how a stream is read, `on_read` of its progress.
    """
    needs = _Needs(hashed, contents, keep, tell or (lambda _: None), on_read)
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), needs, limits)
    return _open_stream("-", _read_stream(source), needs, limits)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What is needed of a stream."""

    hashed: bool
    contents: bool
    keep: bool
    tell: Callable[[str], object]
    on_read: OnRead | None


def _open_path(path: str, needs: _Needs, limits: Limits) -> ImageArchive:
    if Path(path).is_dir():
        with naming(path):
            archive = open_directory(path)
            return _assemble(path, archive.size, "none", SeekStore(archive, limits), limits, directory=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MalformedInput(error.strerror or str(error), place=path) from error
    with os.fdopen(descriptor, "rb", buffering=0) as stream, naming(path):
        if not stream.seekable() or sniff(os.pread(descriptor, SNIFF_BYTES, 0)) != "none":
            return _open_stream(path, _read_stream(stream), needs, limits)
        if not os.fstat(descriptor).st_size:
            raise MalformedInput("the file is empty")
        archive = open_tar(path, os.dup(descriptor), limits)
        return _assemble(path, archive.size, "none", SeekStore(archive, limits), limits)


def _read_stream(stream: BinaryIO) -> Iterator[bytes]:
    return read_stream(getattr(stream, "read1", stream.read))


def _open_stream(path: str, chunks: Iterator[bytes], needs: _Needs, limits: Limits) -> ImageArchive:
    stored = Meter(hashed=False)
    stream = stored.watch(tell_reading(chunks, needs.on_read))
    head = b""
    while len(head) < SNIFF_BYTES and (chunk := next(stream, b"")):
        head += chunk
    if not head:
        raise MalformedInput("the input is empty", place="" if path != "-" else "standard input")
    compression = sniff(head)
    plain: Iterator[bytes] = _chain(head, stream)
    if compression != "none":
        plain = Decompressor(compression, limits).run(plain)
    name = "standard input" if path == "-" else path
    with naming(name):
        if needs.keep:
            store: Store = _spool(name, plain, needs, limits)
        else:
            needs.tell(f"{name} is read in one pass, nothing is kept on disk")
            store = pass_stream(plain, hashed=needs.hashed, contents=needs.contents, limits=limits)
        return _assemble(path, stored.size, compression, store, limits)


def _chain(head: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _spool(name: str, plain: Iterator[bytes], needs: _Needs, limits: Limits) -> SeekStore:
    """Keep a stream in a temporary file that has no name, so that it is gone however we end."""
    place = "a temporary file"
    try:
        place = tempfile.gettempdir()
        needs.tell(f"{name} is spooled to an unnamed file in {place}, gone when this ends")
        with tempfile.TemporaryFile() as spool:
            for chunk in plain:
                spool.write(chunk)
            spool.flush()
            return SeekStore(open_tar(name, os.dup(spool.fileno()), limits), limits)
    except OSError as error:
        raise UnsupportedInput(f"cannot be spooled to {place} ({error.strerror}): set TMPDIR") from error


# -- assembling ------------------------------------------------------------------------------------


def _assemble(
    path: str, size: int, compression: str, store: Store, limits: Limits, *, directory: bool = False
) -> ImageArchive:
    layout = locate_images(store.documents, store.sizes, limits)
    kind = layout.kind
    if kind == "none" and directory:
        raise UnsupportedInput("no image documents in this directory (no manifest.json, index.json)", place=path)
    if kind == "none" and any(map(_IMAGE_MEMBER.match, store.sizes)):
        cut = "" if store.end_mark else "it is cut short: "
        reason = f"{cut}members of an image, but no index.json or manifest.json that tells of one"
        raise MalformedInput(reason, place="standard input" if path == "-" else path)
    if kind == "none":
        images: tuple[Image, ...] = (_bare_image(store, size if isinstance(store, SeekStore) else None),)
        kind = "layer"
    else:
        images = tuple(_make_image(record, store) for record in layout.images)
    if directory and kind == "oci-archive":
        kind = "oci-dir"
    return ImageArchive(path, kind, size, compression, images, layout.others, layout, store)


def _bare_image(store: Store, size: int | None) -> Image:
    """Make the image that one layer without any document is."""
    if isinstance(store, PassedStore):
        size = store.index(WHOLE, hashed=False, contents=False).plain_size
    layer = Layer(
        index=0,
        claimed_digest=None,
        claimed_diff_id=None,
        media_type=None,
        compression="none",
        size=size,
        claimed_size=None,
        created_by=None,
        annotations={},
        urls=(),
        blob=WHOLE,
        unreadable=None,
        bare=True,
        _store=store,
    )
    return Image((), None, None, None, None, None, (layer,), (), {})


def _make_image(record: ImageRecord, store: Store) -> Image:
    rows = tuple(HistoryRow(step, layer) for step, layer in map_history(record.config, len(record.layers)))
    steps = {row.layer: row.step.created_by for row in rows}
    windows = record.platform is not None and record.platform.os == "windows"
    layers = tuple(_make_layer(i, layer, steps.get(i), store, windows) for i, layer in enumerate(record.layers))
    return Image(
        names=record.names,
        image_id=record.image_id,
        manifest_digest=record.manifest_digest,
        platform=record.platform,
        config=record.config,
        config_blob=record.config_blob,
        layers=layers,
        history=rows,
        annotations=record.annotations,
    )


def _make_layer(index: int, record: LayerRecord, created_by: str | None, store: Store, windows: bool) -> Layer:
    return Layer(
        index=index,
        claimed_digest=record.claimed_digest,
        claimed_diff_id=record.claimed_diff_id,
        media_type=record.media_type,
        compression=store.compression(record.blob) if record.blob is not None else None,
        size=store.sizes[record.blob] if record.blob is not None else record.claimed_size,
        claimed_size=record.claimed_size,
        created_by=created_by,
        annotations=record.annotations,
        urls=record.urls,
        blob=record.blob,
        unreadable=_why_unreadable(record, store),
        bare=False,
        _store=store,
        windows=windows,
    )


def _why_unreadable(record: LayerRecord, store: Store) -> str | None:
    if record.blob is not None:
        return why_unreadable(record.media_type, store.compression(record.blob))
    claimed = read_layer_type(record.media_type)
    return "foreign" if record.urls or (claimed and claimed.foreign) else "absent"
