"""Images as the documents have them, over the store that holds their blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarlayers.formats.mediatypes import read_layer_type, why_unreadable
from tarlayers.image import HistoryRow, Image, Layer
from tarlayers.sources.layout import ImageRecord, LayerRecord, map_history
from tarlayers.stores.store import WHOLE, SeekStore, Store

if TYPE_CHECKING:
    from tarlayers.sources.dataroot import StoredContainer


def make_bare_image(store: Store, size: int | None) -> Image:
    """Make the image that one layer without any document is."""
    if not isinstance(store, SeekStore):
        size = store.index(WHOLE).plain_size
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
        on_disk=None,
        bare=True,
        _store=store,
    )
    return Image((), None, None, None, None, None, (layer,), (), {})


def make_image(record: ImageRecord, store: Store, container: StoredContainer | None = None) -> Image:
    """Make an image of its record; of a data root, perhaps with what a container wrote as its top layer."""
    # A container's own layers lie on top of those that the image's history speaks of.
    from_image = [layer for layer in record.layers if layer.on_disk is None or layer.on_disk.role == "image"]
    rows = tuple(HistoryRow(step, layer) for step, layer in map_history(record.config, len(from_image)))
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
        container=container,
        claimed_platform=record.claimed_platform,
        flavour=record.flavour,
    )


def _make_layer(index: int, record: LayerRecord, created_by: str | None, store: Store, windows: bool) -> Layer:
    compression = store.compression(record.blob) if record.blob is not None else None
    return Layer(
        index=index,
        claimed_digest=record.claimed_digest,
        claimed_diff_id=record.claimed_diff_id,
        media_type=record.media_type,
        compression=compression,
        size=store.sizes.get(record.blob) if record.blob is not None else _possible_size(record.claimed_size),
        claimed_size=record.claimed_size,
        created_by=created_by,
        annotations=record.annotations,
        urls=record.urls,
        blob=record.blob,
        unreadable=_why_unreadable(record, compression),
        on_disk=record.on_disk,
        bare=False,
        _store=store,
        untyped=record.untyped,
        windows=windows,
    )


def _possible_size(claimed: int | None) -> int | None:
    """Give the size that an absent blob may have: none is smaller than nothing."""
    return claimed if claimed is None or claimed >= 0 else None


def _why_unreadable(record: LayerRecord, compression: str | None) -> str | None:
    if compression is not None:
        return why_unreadable(record.media_type, compression)
    claimed = read_layer_type(record.media_type)
    return "foreign" if record.urls or (claimed and claimed.foreign) else "absent"
