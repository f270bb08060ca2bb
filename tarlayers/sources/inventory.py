"""What is known of an archive while its documents are put together: members go in, images and claims come out.

Blobs that a document names and the archive lacks are normal (a saved platform of several).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput
from tarlayers.formats.documents import Config, Descriptor, parse_config
from tarlayers.formats.json_text import check_depth
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.nouns import count_noun
from tarlayers.sources.layout import BlobClaim, Fault, ImageRecord, Layout, OtherRecord
from tarlayers.sources.names import merge_names

_BLOB_NAME = re.compile(r"blobs/(?:(sha256)/([0-9a-f]{64})|(sha512)/([0-9a-f]{128}))")
_SHARED_NAME = re.compile(r"(?:.*/)?(sha256|sha512)/([0-9a-f]{64,128})")
_ANNOTATION_BYTES = 100  # that each takes in a dictionary, whose texts are those of others
_HEX_NAME = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\.json)?")


class _BoundedDocuments(Mapping[str, bytes]):
    """Documents, none of them nested too deep, and not read over and over: each reading counts."""

    def __init__(self, documents: Mapping[str, bytes], limits: Limits) -> None:
        self._documents = documents
        self._limits = limits
        self._read = 0
        self._measured: set[str] = set()

    def __getitem__(self, name: str) -> bytes:
        raw = self._documents[name]
        self.take(len(raw), name)
        if name not in self._measured:
            check_depth(raw, self._limits, name)
            self._measured.add(name)
        return raw

    def take(self, size: int, name: str) -> None:
        """Count bytes that are taken from a document once more."""
        self._read += size
        if self._read > self._limits.documents_bytes:
            raise limit_exceeded(self._limits, "documents_bytes", "more to read than is allowed", place=name)

    def __contains__(self, name: object) -> bool:
        return name in self._documents

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


class Inventory:
    """One archive: the documents and members it has, and what has been made of them so far."""

    def __init__(self, documents: Mapping[str, bytes], sizes: Mapping[str, int], limits: Limits) -> None:
        self._bounded = _BoundedDocuments(documents, limits)
        self.documents: Mapping[str, bytes] = self._bounded
        self.sizes = sizes
        self.limits = limits
        self.images: dict[object, ImageRecord] = {}
        """By manifest digest, or by what else tells two images apart where there is none."""
        self._others: dict[object, OtherRecord] = {}
        """By digest, or by what is wrong where there is none."""
        self._claims: dict[BlobClaim, None] = {}
        self._shared: Mapping[Digest, str] = {}
        self._manifests = 0

    def close(self, kind: str) -> Layout:
        """Give what was found; MalformedInput where there would be an image, were it readable, and is none."""
        self._claim_names(directory=kind == "dir")
        images, others = tuple(self.images.values()), tuple(self._others.values())
        fault = next((other.fault for other in others if other.fault), None)
        if fault is not None and not images:
            raise MalformedInput(fault.reason, place=fault.place)
        return Layout(kind, images, others, tuple(self._claims))

    # -- blobs -------------------------------------------------------------------------------------

    def find_blob(self, digest: Digest) -> str | None:
        """Give the member that holds a blob; None when it is absent."""
        for name in (f"blobs/{digest.algorithm}/{digest.hex}", digest.hex, str(digest)):
            if name in self.sizes:
                return name
        return self._shared.get(digest)

    def share_blobs(self) -> None:
        """From here on find blobs in other directories too (`skopeo --dest-shared-blob-dir`)."""
        matches = [(name, _SHARED_NAME.fullmatch(name)) for name in self.sizes]
        self._shared = {Digest(match[1], match[2]): name for name, match in matches if match}

    def read_config(self, blob: str | None) -> tuple[Config | None, Digest | None]:
        """Give a configuration and the image ID that its bytes make; neither when it is absent."""
        if blob is None or blob not in self.sizes:
            return None, None
        if blob not in self.documents:
            raise MalformedInput("the configuration is no JSON document", place=blob)
        raw = self.documents[blob]
        return parse_config(raw, blob), Digest.of(raw)

    # -- bounds ------------------------------------------------------------------------------------

    def count_manifest(self, place: str) -> None:
        """Take note of one more manifest that an index lists."""
        self._manifests += 1
        if self._manifests > self.limits.manifests:
            raise limit_exceeded(self.limits, "manifests", "one manifest more than is allowed", place=place)

    def take_annotations(self, annotations: Mapping[str, str], place: str) -> None:
        """Take note of what an image has from the indexes above it: a thousand manifests may each have all of it."""
        text = sum(map(len, annotations)) + sum(map(len, annotations.values()))
        self._bounded.take(text + _ANNOTATION_BYTES * len(annotations), place)

    def check_layer_count(self, count: int, place: str) -> None:
        """Refuse an image of more layers than anybody makes."""
        if count > self.limits.layers:
            raise limit_exceeded(self.limits, "layers", count_noun(count, "layer"), place=place)

    # -- what is found -----------------------------------------------------------------------------

    def add_names(self, key: object, names: tuple[str, ...]) -> None:
        """Give a known image more names."""
        image = self.images[key]
        self.images[key] = image._replace(names=self.merge_names(image.names, names))

    def merge_names(self, known: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
        """Put names together, and refuse more than anybody gives one image."""
        names = merge_names(known, more)
        if len(names) > self.limits.names:
            raise limit_exceeded(self.limits, "names", f"{count_noun(len(names), 'name')} of one image", place=names[0])
        return names

    def add_other(
        self,
        descriptor: Descriptor,
        kind: str,
        names: tuple[str, ...],
        *,
        on_top: bool = False,
        error: MalformedInput | None = None,
    ) -> None:
        """Take in what is no image; of an unreadable one, with the error."""
        known = self._others.get(descriptor.digest)
        if known is not None:
            names = self.merge_names(known.names, names)
            on_top = on_top or known.on_top
        fault = Fault(error.place, error.reason) if error is not None else None
        self._others[descriptor.digest] = OtherRecord(
            descriptor.digest, descriptor.media_type, kind, descriptor.platform, descriptor.annotations, names, on_top,
            fault,
        )  # fmt: skip

    def add_unreadable(self, names: Sequence[str], error: MalformedInput) -> None:
        """Take in an image that documents without descriptors tell of. The OCI documents may have told of it too: then
        the same document is at fault.
        """
        fault = Fault(error.place, error.reason)
        for key, other in self._others.items():
            if other.fault == fault:
                self._others[key] = other._replace(names=self.merge_names(other.names, names))
                return
        self._others[fault] = OtherRecord(None, None, "unreadable", None, {}, self.merge_names((), names), True, fault)

    def claim(self, place: str, descriptor: Descriptor, role: str, blob: str | None = None) -> str | None:
        """Take note of what a descriptor says of a blob; give the member that holds it."""
        found = blob or self.find_blob(descriptor.digest)
        claim = BlobClaim(
            place, found, descriptor.digest, descriptor.size, descriptor.media_type, role, descriptor.data
        )
        self._claims[claim] = None
        return found

    def _claim_names(self, *, directory: bool) -> None:
        """Blobs, and docker's configurations, are called by the digest of their bytes."""
        configs = {image.config_blob for image in self.images.values()}
        for name in self.sizes:
            digest = digest_of_name(name)
            if digest is None and (name in configs or (directory and len(name) == 64)):
                match = _HEX_NAME.fullmatch(name)
                digest = Digest("sha256", match[1]) if match else None
            if digest is not None:
                self._claims[BlobClaim(name, name, digest, None, None, "name")] = None


def digest_of_name(name: str) -> Digest | None:
    """Give the digest that the name of a blob in `blobs/` claims; None for all other names."""
    match = _BLOB_NAME.fullmatch(name)
    if match is None:
        return None
    return Digest(match[1], match[2]) if match[1] else Digest(match[3], match[4])
