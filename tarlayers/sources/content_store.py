"""A containerd content store as an archive: its blobs, and an index made of what they and `meta.db` say.

    io.containerd.content.v1.content/blobs/sha256/<hex>
    io.containerd.metadata.v1.bolt/meta.db           v1/<namespace>/images/<name>/target/digest

The store keeps no index of its own: manifests and indexes are known by their content, names stand in the
database. Source: containerd core/metadata/buckets.go, plugins/content/local/store.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tarlayers.errors import MalformedInput, TarlayersError
from tarlayers.formats.bolt import Bucket, open_bolt
from tarlayers.formats.document_fields import MANIFEST
from tarlayers.formats.documents import parse_index, parse_manifest
from tarlayers.formats.json_fields import parse_fields
from tarlayers.formats.json_text import measure_depth
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.sources.archive import Archive, looks_like_json
from tarlayers.sources.blob import Blob
from tarlayers.sources.filetree import FileTree, is_directory
from tarlayers.sources.inventory import digest_of_name
from tarlayers.sources.layout import Fault
from tarlayers.sources.members import list_blobs

_CONTENT = "io.containerd.content.v1.content"
_DATABASE = "io.containerd.metadata.v1.bolt/meta.db"
_FULL_NAME = "io.containerd.image.name"
_TYPES = {
    "manifests": "application/vnd.oci.image.index.v1+json",
    "layers": "application/vnd.oci.image.manifest.v1+json",
}


def read_content_store(tree: FileTree, limits: Limits) -> tuple[Archive, tuple[Fault, ...]] | None:
    """Read a store, given as containerd's root or as the content directory; None when the tree is none.

    The archive's `index.json` is put together here. Faults say why names are not known.
    """
    base = next((at for at in (_CONTENT, "") if is_directory(tree, f"{at}/blobs/sha256".lstrip("/"))), None)
    if base is None or (not base and not {"blobs", "ingest"}.issuperset(tree.names(""))):
        return None  # an OCI layout has more than blobs
    faults: list[Fault] = []
    blobs = dict(_list_blobs(tree, base, faults))
    names: Mapping[str, Sequence[str]] = {}
    try:
        names = _read_names(tree)
    except TarlayersError as error:
        faults.append(Fault(_DATABASE, f"names are not known, images are listed by digest: {error}"))
    index = orjson.dumps({"schemaVersion": 2, "manifests": list(_descriptors(blobs, names, limits))})
    blobs["index.json"] = Blob("index.json", len(index), lambda offset, count: index[offset : offset + count])
    size = sum(blob.size for blob in blobs.values())
    return Archive("containerd-root", tree.path, size, list_blobs(blobs), None), tuple(faults)


def _list_blobs(tree: FileTree, base: str, faults: list[Fault]) -> Iterator[tuple[str, Blob]]:
    top = f"{base}/blobs".lstrip("/")
    for algorithm in tree.names(top):
        for digits in tree.names(f"{top}/{algorithm}"):
            found = tree.status(f"{top}/{algorithm}/{digits}")
            if found is None or found.kind != "file":
                continue
            if digest_of_name(f"blobs/{algorithm}/{digits}") is None:
                faults.append(Fault(f"{top}/{algorithm}/{digits}", "no blob: its name is no digest"))
                continue
            yield f"blobs/{algorithm}/{digits}", tree.blob(f"{top}/{algorithm}/{digits}")


def _read_names(tree: FileTree) -> Mapping[str, Sequence[str]]:
    """Give the names of images by the digest that each means, of all namespaces."""
    if tree.status(_DATABASE) is None:
        raise MalformedInput("there is no database")
    blob = tree.blob(_DATABASE)
    names: dict[str, list[str]] = {}
    version = open_bolt(blob.read_at, blob.size).bucket(b"v1")
    for _, namespace in version or ():
        images = namespace.bucket(b"images") if isinstance(namespace, Bucket) else None
        for name, image in images or ():
            target = image.bucket(b"target") if isinstance(image, Bucket) else None
            digest = target.value(b"digest") if target is not None else None
            if digest is not None:
                known = names.setdefault(digest.decode("utf-8", "replace"), [])
                known.append(name.decode("utf-8", "replace"))
    return {digest: sorted(set(found)) for digest, found in names.items()}


def _descriptors(
    blobs: Mapping[str, Blob], names: Mapping[str, Sequence[str]], limits: Limits
) -> Iterator[Mapping[str, Any]]:
    """Describe what has a name, by name, then every other manifest or index that no index speaks of."""
    documents = dict(_find_documents(blobs, limits))
    below = {digest for document in documents.values() for digest in document.below}
    named = sorted((name, digest) for digest, found in names.items() for name in found)
    rest = sorted(digest for digest in documents if digest not in below and digest not in names)
    for name, digest in [*named, *((None, digest) for digest in rest)]:
        document = documents.get(digest)
        blob = blobs.get(f"blobs/{digest.replace(':', '/')}")
        descriptor: dict[str, Any] = {"digest": digest}
        if document is not None and blob is not None:
            descriptor |= {"mediaType": document.media_type, "size": blob.size}
        if name is not None:
            descriptor["annotations"] = {_FULL_NAME: name}
        yield descriptor


class _Document(NamedTuple):
    """What is needed of a manifest or an index."""

    media_type: str
    below: frozenset[str]
    """Digests that an index lists."""


def _find_documents(blobs: Mapping[str, Blob], limits: Limits) -> Iterator[tuple[str, _Document]]:
    """Find the manifests and indexes among the blobs, by digest."""
    read = 0
    for name, blob in blobs.items():
        if blob.size > limits.document_bytes or not looks_like_json(blob.read_at(0, 64)):
            continue
        read += blob.size
        if read > limits.documents_bytes:
            raise limit_exceeded(limits, "documents_bytes", "more to read than is allowed", place=name)
        raw = b"".join(blob.chunks())
        if measure_depth(raw, limits.document_depth) > limits.document_depth:
            continue
        try:
            document = _parse_document(raw, name)
        except MalformedInput:
            continue  # some other document that has one of these words
        if document is not None:
            _, algorithm, digits = name.split("/")
            yield f"{algorithm}:{digits}", document


def _parse_document(raw: bytes, name: str) -> _Document | None:
    value = parse_fields(raw, name, MANIFEST)
    if not isinstance(value, dict):
        return None
    if "manifests" in value:
        index = parse_index(raw, name)
        below = frozenset(str(descriptor.digest) for descriptor in index.manifests)
        return _Document(index.media_type or _TYPES["manifests"], below)
    if "layers" in value and "config" in value:
        return _Document(parse_manifest(raw, name).media_type or _TYPES["layers"], frozenset())
    return None
