"""Images, layers and history: as JSON documents and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tarlayers.entry import unpacked_size
from tarlayers.nouns import count_noun
from tarlayers.reference import CONTAINER
from tarlayers.render.escape import escape_path, escape_text
from tarlayers.render.steps import brief_step
from tarlayers.render.values import brief_time, human_size, path_fields

if TYPE_CHECKING:
    from tarlayers.digest import Digest
    from tarlayers.formats.tlx import IndexFile
    from tarlayers.image import HistoryRow, Image, Layer
    from tarlayers.imagearchive import ImageArchive
    from tarlayers.rootfs import Refusal
    from tarlayers.sources.layout import OtherRecord

LAYER_HEADER = ("LAYER", "DIGEST", "DIFF ID", "SIZE", "PLAIN", "CONTENT", "ENTRIES", "COMPRESSION", "CREATED BY")
LAYER_ALIGN = "><<>>>><<"
LAYER_SPARE = ("DIGEST", "ENTRIES", "PLAIN")
HISTORY_HEADER = ("LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT")
HISTORY_ALIGN = "><<><"
HISTORY_SPARE = ("COMMENT",)
_SHORT = len("sha256:") + 12


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def inspect_document(archive: ImageArchive, images: Mapping[int, Image]) -> dict[str, Any]:
    """What an archive holds, with these of its images. No layer is read for it."""
    return {
        "archive": {
            "path": escape_text(archive.path),
            "kind": archive.kind,
            "size": archive.size,
            "compression": archive.compression,
        }
        | _origin_fields(archive),
        "images": [image_document(image) for image in images.values()],
        "others": [other_document(other) for other in archive.others],
    }


def _origin_fields(archive: ImageArchive) -> dict[str, Any]:
    """Of an index, the archive that it was made from, and the digests that were computed of its blobs then."""
    index = archive.index_file
    if index is None:
        return {}
    blobs = [
        {"blob": escape_path(blob), "digest": str(digest)}
        | ({"diff_id": str(index.layers[blob].diff_id)} if blob in index.layers else {})
        for blob, digest in index.digests.items()
    ]
    origin = {"kind": index.origin.kind, "size": index.origin.size, "compression": index.origin.compression}
    return {"made_from": origin | {"content_digests": index.contents, "blobs": blobs}}


def image_document(image: Image) -> dict[str, Any]:
    """One image as `inspect` gives it; the history is newest first."""
    chain_ids = image.chain_ids
    config = image.config
    claimed = {"claimed_platform": str(image.claimed_platform)} if _is_told_otherwise(image) else {}
    return {
        "names": list(image.names),
        "image_id": _text(image.image_id),
        "manifest_digest": _text(image.manifest_digest),
        "platform": _text(image.platform),
        **claimed,
        "created": config.created if config else None,
        "config": dict(config.config) if config else None,
        "layers": [layer_identity(layer) | {"chain_id": _text(chain_ids[layer.index])} for layer in image.layers],
        "history": [history_row(row) for row in reversed(image.history)],
        "annotations": dict(sorted(image.annotations.items())),
    }


def _is_told_otherwise(image: Image) -> bool:
    """Say whether the index gives another platform than the configuration."""
    own, claimed = image.platform, image.claimed_platform
    return own is not None and claimed is not None and str(claimed) != str(own)


def layer_identity(layer: Layer) -> dict[str, Any]:
    """What is known of a layer without reading it; fields that do not apply are absent."""
    document: dict[str, Any] = {
        "index": layer.index,
        "digest": _text(layer.digest),
        "diff_id": _text(layer.diff_id),
        "chain_id": None,
        "media_type": layer.media_type,
        "compression": layer.compression,
        "size": layer.size,
        "created_by": layer.created_by,
    }
    extras = {
        "format": layer.chunked_format,
        "unreadable": layer.unreadable,
        "urls": list(layer.urls),
        "annotations": dict(layer.annotations),
    }
    if layer.on_disk is not None:
        extras |= {"cache_id": layer.on_disk.cache_id, "parent": layer.on_disk.parent, "role": layer.on_disk.role}
    return document | {key: value for key, value in extras.items() if value}


def layer_document(layer: Layer, chain_id: object) -> dict[str, Any]:
    """One layer as `layers` gives it: its identity and, where it can be read, its cost."""
    document = layer_identity(layer) | {"digest": _text(stored_digest(layer)), "chain_id": _text(chain_id)}
    if layer.unreadable:
        return document
    if found := _found_format(layer):
        document["format"] = found
    census = layer.read().census
    if layer.windows_parts:
        document["windows"] = list(layer.windows_parts)
    return document | {
        "plain_size": layer.read().plain_size,
        "content_size": census.content_size,
        "entries": census.entries,
        "files": census.files,
        "dirs": census.dirs,
        "links": census.links,
        "whiteouts": census.whiteouts,
        "opaques": census.opaques,
    }


def stored_digest(layer: Layer) -> Digest | None:
    """The digest of a layer's blob; computed, which reads it, where nothing claims it."""
    return layer.read(hashed=True).digest if layer.is_unclaimed else layer.digest


def _found_format(layer: Layer) -> str | None:
    """The format for lazy pulling of a layer that is read: by content, else as annotations claim."""
    toc = layer.read().toc
    return toc.format if toc else layer.chunked_format


def other_document(other: OtherRecord) -> dict[str, Any]:
    """Something in the archive that is no image."""
    document: dict[str, Any] = {
        "digest": _text(other.digest),
        "media_type": other.media_type,
        "kind": other.kind,
        "platform": _text(other.platform),
        "annotations": dict(other.annotations),
    }
    if other.names:
        document["names"] = list(other.names)
    if other.fault is not None:
        document["fault"] = escape_text(str(other.fault))
    return document


def history_row(row: HistoryRow, layer: Layer | None = None) -> dict[str, Any]:
    """One build step; with `layer` also the bytes of content that it added, unless that cannot be read."""
    document: dict[str, Any] = {
        "created": row.step.created,
        "created_by": row.step.created_by,
        "comment": row.step.comment,
        "author": row.step.author,
        "empty_layer": row.step.empty_layer,
        "layer": row.layer,
    }
    if layer is not None and not layer.unreadable:
        document["size"] = unpacked_size(layer.read().entries)
    elif row.layer is None:
        document["size"] = 0
    return document


def refusals_document(refused: Sequence[Refusal]) -> dict[str, Any]:
    """The `refused` field, which is there only when an engine would not unpack some layer."""
    if not refused:
        return {}
    rows = [
        {"layer": r.layer} | path_fields("path", r.path) | {"code": r.code, "message": escape_text(r.message)}
        for r in refused
    ]
    return {"refused": rows}


# -- text ------------------------------------------------------------------------------------------


def shorten(digest: object) -> str:
    """The algorithm and the first twelve digits, as docker prints IDs."""
    return str(digest)[:_SHORT] if digest is not None else "-"


def inspect_lines(archive: ImageArchive, images: Mapping[int, Image]) -> Iterator[str]:
    """The text that `inspect` prints; what is no image only beside all images."""
    packed = "" if archive.compression == "none" else f", {archive.compression}"
    count = len(archive.images)
    absent = sum(other.kind == "absent" for other in archive.others)
    yield (
        f"{escape_text(archive.path)}: {archive.kind}{packed}, {human_size(archive.size)}, "
        f"{count_noun(count, 'image')}{f', {absent} not in the archive' if absent else ''}"
        f"{_count_unlisted(archive)}"
    )
    if archive.index_file is not None:
        yield _origin_line(archive.index_file)
    for number, image in images.items():
        yield ""
        names = " ".join(escape_text(name) for name in image.names) or "(no name)"
        yield f"#{_reference_words(archive, number, image)}{names}"
        yield from _fact_lines(image)
    if archive.others and len(images) == count:
        yield ""
        yield "not images:"
        for other in archive.others:
            platform = f" {escape_text(str(other.platform))}" if other.platform else ""
            names = " ".join(escape_text(name) for name in other.names)
            media_type = escape_text(other.media_type or "-")
            yield f"  {other.kind:12} {shorten(other.digest)} {media_type}{platform} {names}".rstrip()


def _count_unlisted(archive: ImageArchive) -> str:
    """How much of a data root a reference alone picks."""
    containers = sum(image.container is not None for image in archive.unlisted)
    parents = len(archive.unlisted) - containers
    text = f", {parents} more that those are built on" if parents else ""
    return f"{text}, {count_noun(containers, 'container')}" if containers else text


def _origin_line(index: IndexFile) -> str:
    """Say what an index was made from."""
    origin = index.origin
    packed = "" if origin.compression == "none" else f", {origin.compression}"
    digests = "with" if index.contents else "without"
    return f"made from: {origin.kind}{packed}, {human_size(origin.size)}, {digests} content digests"


def _platform_words(image: Image) -> str | None:
    if _is_told_otherwise(image):
        return f"{image.platform}, and by the index {image.claimed_platform}"
    return _text(image.platform)


def _reference_words(archive: ImageArchive, number: int, image: Image) -> str:
    """What is to be written before an image's names, so that it chooses the image: only those that are listed have
    numbers.
    """
    if image.container is not None:
        return CONTAINER
    return f"@{number} " if image in archive.images[number : number + 1] else f"{shorten(image.image_id)} "


def _fact_lines(image: Image) -> Iterator[str]:
    config = image.config.config if image.config else {}
    facts = {
        "image ID": image.image_id,
        "manifest": image.manifest_digest,
        "platform": _platform_words(image),
        "created": image.config.created if image.config else None,
        "entrypoint": _words(config.get("Entrypoint")),
        "cmd": _words(config.get("Cmd")),
        "user": config.get("User"),
        "workdir": config.get("WorkingDir"),
        "ports": _words(config.get("ExposedPorts")),
        "volumes": _words(config.get("Volumes")),
    }
    for key, value in facts.items():
        if value:
            yield f"  {key:11} {escape_text(str(value))}"
    for key, values in (("env", config.get("Env")), ("label", _pairs(config.get("Labels")))):
        for value in values if isinstance(values, list) else []:
            yield f"  {key:11} {escape_text(str(value))}"
    for key, value in sorted(image.annotations.items()):
        yield f"  {'annotation':11} {escape_text(f'{key}={value}')}"
    for layer in image.layers:
        yield "  " + _layer_line(layer)


def _words(value: object) -> str:
    if isinstance(value, dict | list):
        return " ".join(str(word) for word in value)
    return str(value) if value else ""


def _pairs(value: object) -> list[str]:
    return [f"{key}={value[key]}" for key in sorted(value)] if isinstance(value, dict) else []


def _layer_line(layer: Layer) -> str:
    size = human_size(layer.size) if layer.size is not None else "-"
    state = _unreadable(layer) or layer.chunked_format or layer.compression
    identity = shorten(layer.diff_id or layer.digest)
    return f"layer {layer.index:<5} {identity} {size:>8} {state or '':5} {brief_step(layer.created_by)}".rstrip()


def _origin(layer: Layer) -> str:
    """What made a layer: a build step, or a container."""
    if layer.created_by is None and layer.on_disk is not None and layer.on_disk.role != "image":
        return f"({layer.on_disk.role} layer)"
    return brief_step(layer.created_by)


def _unreadable(layer: Layer) -> str:
    """Why a layer's content cannot be read, and where it can be had; empty when it can."""
    if not layer.unreadable:
        return ""
    urls = f" ({' '.join(escape_text(url) for url in layer.urls)})" if layer.urls else ""
    return f"content not readable: {layer.unreadable}{urls}"


def layer_cells(layer: Layer) -> tuple[str, ...]:
    """One row of the `layers` table."""
    stored = human_size(layer.size) if layer.size is not None else "-"
    identity = (str(layer.index), shorten(stored_digest(layer)), shorten(layer.diff_id), stored)
    if layer.unreadable:
        return (*identity, "-", "-", "-", _unreadable(layer), _origin(layer))
    census = layer.read().census
    return (
        *identity,
        human_size(layer.read().plain_size),
        human_size(census.content_size),
        str(census.entries),
        _form(layer),
        _origin(layer),
    )


def _form(layer: Layer) -> str:
    """How a layer is stored: its compression, and what is special about it."""
    parts = ", ".join(layer.windows_parts)
    return (_found_format(layer) or layer.compression or "-") + (f" windows ({parts})" if parts else "")


def history_cells(row: HistoryRow, layers: Sequence[Layer], *, sizes: bool, full: bool) -> tuple[str, ...]:
    """One row of the `history` table."""
    index = "" if row.layer is None else str(row.layer)
    size = "0B"
    if row.layer is not None:
        layer = layers[row.layer]
        known = sizes and not layer.unreadable
        size = human_size(unpacked_size(layer.read().entries)) if known else "-"
    created_by = escape_text(row.step.created_by or "") if full else brief_step(row.step.created_by)
    created = row.step.created or "N/A"
    created = escape_text(created if full else brief_time(created))
    return (index, created, created_by, size, escape_text(row.step.comment or ""))
