"""What is odd in an archive's documents themselves: keys and members that stand twice, two sets of documents that tell
of different images, one that engines do not parse, an `oci-layout` that readers refuse.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from typing import NamedTuple

from tarlayers.errors import MalformedInput, join_places
from tarlayers.formats.document_fields import ANYTHING, CONFIG, LAYOUT, MANIFEST, MANIFEST_JSON
from tarlayers.formats.json_fields import Field, find_repeated_keys, parse_fields
from tarlayers.formats.strictness import find_config_faults, find_index_faults, find_manifest_faults
from tarlayers.imagearchive import ImageArchive
from tarlayers.sources.agreement import compare_documents
from tarlayers.sources.layout import LAYOUT_FILE

_INDEXES = {"index.json": MANIFEST, "manifest.json": MANIFEST_JSON, "repositories": ANYTHING}
_SHAPES: dict[str, Field] = {"index": MANIFEST, "manifest": MANIFEST, "config": CONFIG}
"""What the blobs have that documents claim something of, by the claim's role."""
_SHOWN_KEYS = 5
_SHORT = 19  # the algorithm and twelve digits
_VERSION = "1.0.0"


class DocumentFault(NamedTuple):
    """One thing that is odd: a code of `finding`, and where."""

    code: str
    place: str
    claimed: object
    computed: object
    message: str
    blob: str = ""
    """The member it is about, where it is about one."""


def find_document_faults(
    archive: ImageArchive, layers: Collection[str], blobs: Collection[str]
) -> Iterator[DocumentFault]:
    """Yield what is odd. `layers` are the members that are layers, `blobs` those that something is claimed of."""
    if archive.index_file is not None:
        origin = archive.index_file.origin
        message = f"blobs were hashed when this was made ({origin.kind}, {origin.size} bytes), and not again"
        yield DocumentFault("V019", "index", None, None, message)
    store = archive.store
    for place, claimed, computed, message in compare_documents(store.documents, store.sizes, store.limits):
        yield DocumentFault("V006" if computed is None else "V010", place, claimed, computed, message)
    for name, count in store.duplicates.items():
        if name in blobs or name in store.documents:
            message = f"{count} members have this name; the last counts, as for docker, others take the first"
            yield DocumentFault("V017", "", None, count, message, name)
    configs = {store.resolve(image.config_blob) for image in archive.layout.images if image.config_blob is not None}
    for name, shape in _list_documents(archive, layers):
        keys = find_repeated_keys(store.documents[name], shape)
        if keys:
            message = f"a key stands twice, the last counts, as for docker: {' '.join(keys[:_SHOWN_KEYS])}"
            yield DocumentFault("V024", "", None, len(keys), message, name)
        # Of a configuration that is not read here either, what is wrong is said below.
        faults = [] if shape is CONFIG and name not in configs else list(_find_parse_faults(archive, name, shape))
        if faults:
            message = f"engines do not take it: {'; '.join(faults[:_SHOWN_KEYS])}"
            yield DocumentFault("V029", "", None, None, message, name)
    yield from _find_unreadable(archive)
    yield from _check_layout(archive)


def _find_parse_faults(archive: ImageArchive, name: str, shape: Field) -> Iterator[str]:
    """Yield why engines do not parse a document that is parsed here; of one that is not, nothing."""
    raw = archive.store.documents[name]
    if raw.startswith(BOM_UTF8):
        yield "it starts with a byte order mark"
    try:
        value = parse_fields(raw, name, shape, streamed=True)
    except MalformedInput:
        return
    if shape is CONFIG:
        yield from find_config_faults(value)
        return
    yield from find_manifest_faults(value)
    if name == "index.json" and not _is_made(archive):
        yield from find_index_faults(value)


def _is_made(archive: ImageArchive) -> bool:
    """Say whether the index was made here, of a database."""
    kind = archive.kind if archive.index_file is None else archive.index_file.origin.kind
    return kind == "containerd-root"


def _find_unreadable(archive: ImageArchive) -> Iterator[DocumentFault]:
    """Yield the images that are not, because a document of theirs cannot be parsed."""
    for other in archive.others:
        if other.fault is None:
            continue
        blob, _, within = other.fault.place.partition(": ")
        message = f"cannot be parsed: {join_places(within, other.fault.reason)}"
        place = other.names[0] if other.names else str(other.digest or "")[:_SHORT]
        yield DocumentFault("V029", place, None, None, message, archive.store.resolve(blob))


def _list_documents(archive: ImageArchive, layers: Collection[str]) -> Iterator[tuple[str, Field]]:
    """Yield the documents that tell of images, and which fields they have."""
    layout, resolve = archive.layout, archive.store.resolve
    told = {
        resolve(claim.blob): _SHAPES.get(claim.role, ANYTHING)
        for claim in sorted(layout.claims, key=lambda claim: claim.role != "name")  # which tells of no fields
        if claim.blob is not None
    }
    told |= {resolve(image.config_blob): CONFIG for image in layout.images if image.config_blob is not None}
    told = {name: shape for name, shape in told.items() if name not in layers} | _INDEXES
    for name in sorted(told):
        if name in archive.store.documents:
            yield name, told[name]


def _check_layout(archive: ImageArchive) -> Iterator[DocumentFault]:
    """Hold the layout against what containerd takes (images/archive/importer.go)."""
    documents = archive.store.documents
    if "index.json" not in documents or _is_made(archive):
        return
    try:
        version = _read_version(archive)
    except MalformedInput as error:
        yield DocumentFault("V028", LAYOUT_FILE, _VERSION, None, error.reason)
        return
    if version not in ("", _VERSION):
        yield DocumentFault("V028", LAYOUT_FILE, _VERSION, version, "a version of the layout that containerd refuses")
    elif not version and "manifest.json" not in documents:
        message = "says no version of the layout, without which containerd looks for a manifest.json"
        yield DocumentFault("V028", LAYOUT_FILE, _VERSION, None, message)


def _read_version(archive: ImageArchive) -> str:
    """Give the version that `oci-layout` says, or nothing; MalformedInput where it is no JSON."""
    store, index = archive.store, archive.index_file
    if LAYOUT_FILE in store.documents:
        value = parse_fields(store.documents[LAYOUT_FILE], LAYOUT_FILE, LAYOUT, streamed=True)
        version = value.get("imageLayoutVersion") if isinstance(value, dict) else value
        return "" if version is None else str(version)
    if LAYOUT_FILE not in store.sizes:
        return ""
    if index is not None and store.aliases.get(LAYOUT_FILE, LAYOUT_FILE) not in index.digests:
        return _VERSION  # the first indexes did not keep it
    raise MalformedInput("it is no JSON document")
