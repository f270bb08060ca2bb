"""Is every claim of an archive true? Each blob is read once; digests, sizes, diff IDs, counts and types compared.

Findings have stable codes, each with a paragraph in docs/findings.md. What cannot be checked is a note, what is
wrong but moves no engine is a warning; errors alone make the answer no.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import orjson

from tarlayers.digest import Digest
from tarlayers.errors import TarlayersError
from tarlayers.finding import Checked, Finding, VerifyReport
from tarlayers.image import Image, Layer
from tarlayers.imagearchive import ImageArchive
from tarlayers.layer import LayerIndex
from tarlayers.sources.layout import BlobClaim
from tarlayers.store import WHOLE, Store

SEVERITIES = {
    "V001": "error",  # digest of a blob
    "V002": "error",  # size of a blob
    "V003": "error",  # diff ID of a layer
    "V004": "error",  # as many layers as diff IDs
    "V005": "error",  # a layer that cannot be read
    "V006": "error",  # a layer member that manifest.json lists and the archive lacks
    "V007": "error",  # digest of a table of contents
    "V008": "error",  # a table of contents against its layer
    "V009": "warning",  # history steps against layers
    "V010": "warning",  # manifest.json against index.json
    "V011": "warning",  # a media type against the bytes
    "V012": "warning",  # bytes after the end of a layer
    "V013": "note",  # an absent blob
    "V014": "note",  # content that cannot be read: foreign, encrypted, a file system image
    "V015": "note",  # a digest algorithm that is not computed
    "V016": "note",  # layers without a diff ID to check
}
"""Every code and its severity."""

_RANK = {"error": 0, "warning": 1, "note": 2}
_COMPRESSIONS = {
    ".tar": "none", ".tar+gzip": "gzip", ".tar.gzip": "gzip", ".tar+zstd": "zstd", ".tar.zstd": "zstd",
}  # fmt: skip


def verify_archive(
    archive: ImageArchive, *, workers: int | None = None, progress: Callable[[int], object] | None = None
) -> VerifyReport:
    """Recompute every claim of an archive's documents and names, several blobs at a time, the largest first.

    `progress` hears the stored size of each blob that is done, from the thread that read it. A layer that is
    malformed is a finding, and the others are still verified.
    """
    return _Verifying(archive).run(workers or len(os.sched_getaffinity(0)), progress or (lambda _: None))


class _Computed(NamedTuple):
    """What one blob turned out to be."""

    digest: Digest | None
    layer: LayerIndex | None
    error: TarlayersError | None


class _Verifying:
    """The state of verifying one archive."""

    def __init__(self, archive: ImageArchive) -> None:
        self._archive = archive
        self._store = archive.store
        self._users = _name_users(archive)
        self._layers = {layer.blob: layer for image in archive.images for layer in image.layers if not layer.unreadable}
        self._computed: dict[str, _Computed] = {}
        self._findings: list[Finding] = []

    def run(self, workers: int, progress: Callable[[int], object]) -> VerifyReport:
        sizes = self._store.sizes
        names = {claim.blob for claim in self._archive.layout.claims} | self._layers.keys()
        todo = sorted((name for name in names if name is not None), key=lambda name: (-sizes.get(name, 0), name))

        def compute(name: str) -> None:
            self._computed[name] = _compute(self._store, name, layer=name in self._layers)
            progress(sizes.get(name, 0))

        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(compute, name) for name in todo]:
                done.result()
        self._check_claims()
        for image, record in zip(self._archive.images, self._archive.layout.images, strict=False):
            self._check_image(image, docker=record.flavour == "docker")
        for name in self._layers:
            self._check_layer_blob(name or "")
        for place, claimed, computed, message in self._archive.layout.disagreements:
            self._add("V010", place, claimed, computed, message)
        findings = tuple(sorted(dict.fromkeys(self._findings), key=lambda finding: _RANK[finding.severity]))
        checked = Checked(len(todo), len(self._layers), sum(self._stored_size(name) for name in todo))
        return VerifyReport(all(finding.severity != "error" for finding in findings), checked, findings)

    def _stored_size(self, name: str) -> int:
        if name != WHOLE:
            return self._store.sizes[name]
        index = self._computed[name].layer
        return index.plain_size if index else 0

    def _add(self, code: str, place: str, claimed: object = None, computed: object = None, message: str = "") -> None:
        self._findings.append(Finding(code, SEVERITIES[code], place, _plain(claimed), _plain(computed), message))

    def _place(self, blob: str, claim_place: str = "") -> str:
        """Name a blob the way a user knows it: by what uses it, then by its name."""
        return ": ".join(part for part in (self._users.get(blob, claim_place), blob) if part)

    # -- claims about blobs ------------------------------------------------------------------------

    def _check_claims(self) -> None:
        by_value: dict[tuple[str, object], list[BlobClaim]] = {}
        for claim in self._archive.layout.claims:
            if claim.blob is None:
                self._note_absent(claim)
                continue
            if claim.digest is not None:
                by_value.setdefault((claim.blob, claim.digest), []).append(claim)
            if claim.size is not None:
                by_value.setdefault((claim.blob, claim.size), []).append(claim)
            self._check_media_type(claim, claim.blob)
        for (blob, value), claims in by_value.items():
            if isinstance(value, Digest):
                self._check_digest(blob, value, claims)
            else:
                self._check_size(blob, value, claims)

    def _check_digest(self, blob: str, claimed: Digest, claims: list[BlobClaim]) -> None:
        place = self._place(blob, claims[0].place)
        if claimed.algorithm != "sha256":
            message = f"{claimed.algorithm} digests are not recomputed (sha256 alone is)"
            self._add("V015", place, claimed, None, message)
            return
        computed = self._computed[blob]
        if computed.digest is not None and computed.digest != claimed:
            message = f"the bytes have another digest than {_join_claimants(claims)}"
            self._add("V001", place, claimed, computed.digest, message)
        elif computed.digest is None and blob not in self._layers:
            self._add("V005", place, claimed, None, f"cannot be read: {computed.error}")

    def _check_size(self, blob: str, claimed: object, claims: list[BlobClaim]) -> None:
        size = self._store.sizes[blob]
        if claimed != size:
            message = f"{size} bytes, {_join_claimants(claims)} {claimed}"
            self._add("V002", self._place(blob, claims[0].place), claimed, size, message)

    def _check_media_type(self, claim: BlobClaim, blob: str) -> None:
        if claim.media_type is None or claim.role == "name":
            return
        if claim.role == "layer":
            wanted = expected_compression(claim.media_type)
            found = self._store.compression(blob)
            what = "no compression" if found == "none" else f"{found} by its first bytes"
        else:
            wanted = claim.media_type
            found = _own_media_type(self._store.documents.get(blob)) or wanted
            what = f"the document calls itself {found}"
        if wanted is not None and wanted != found:
            place = self._place(blob, claim.place)
            self._add("V011", place, claim.media_type, found, f"{claim.place} says {claim.media_type}, but {what}")

    def _note_absent(self, claim: BlobClaim) -> None:
        foreign = any(
            layer.claimed_digest == claim.digest and layer.unreadable == "foreign"
            for image in self._archive.images
            for layer in image.layers
        )
        if not foreign:
            self._add("V013", claim.place, claim.digest, None, f"a {claim.role} that is not in the archive")

    # -- claims about images -----------------------------------------------------------------------

    def _check_image(self, image: Image, *, docker: bool) -> None:
        self._check_counts(image)
        for layer in image.layers:
            place = _layer_place(image, layer)
            if layer.unreadable == "absent":
                if docker and layer.claimed_digest is None:
                    self._add("V006", place, None, None, "manifest.json lists this layer, but the archive lacks it")
            elif layer.unreadable:
                why = f"foreign, to be had from {' '.join(layer.urls)}" if layer.urls else layer.unreadable
                self._add("V014", place, layer.claimed_diff_id, None, f"content not readable: {why}")
            else:
                self._check_diff_id(place, layer)

    def _check_counts(self, image: Image) -> None:
        count = len(image.layers)
        if image.config is None:
            return
        diff_ids = image.config.diff_ids
        if diff_ids is None and count and image.manifest_digest is not None:
            self._add("V016", image.name, None, count, f"{count} layers, but the configuration has no diff IDs")
        elif diff_ids is not None and len(diff_ids) != count:
            message = f"{count} layers, but the configuration has {len(diff_ids)} diff IDs"
            self._add("V004", image.name, len(diff_ids), count, message)
        filled = sum(not row.step.empty_layer for row in image.history)
        if image.history and filled != count:
            message = f"{filled} steps of the history claim a layer, but there are {count}"
            self._add("V009", image.name, filled, count, message)

    def _check_diff_id(self, place: str, layer: Layer) -> None:
        computed = self._computed[layer.blob or ""]
        where = f"{place}: {layer.blob}" if layer.blob else place
        if computed.layer is None:
            self._add("V005", where, layer.claimed_diff_id, None, f"cannot be read: {_describe(computed.error, layer)}")
        elif layer.claimed_diff_id is not None and layer.claimed_diff_id != computed.layer.diff_id:
            if layer.claimed_diff_id.algorithm != "sha256":
                self._add("V015", where, layer.claimed_diff_id, None, "only sha256 diff IDs are recomputed")
                return
            message = "the uncompressed layer has another digest than the configuration says"
            self._add("V003", where, layer.claimed_diff_id, computed.layer.diff_id, message)

    def _check_layer_blob(self, name: str) -> None:
        index = self._computed[name].layer
        if index is not None and index.trailing:
            message = f"{index.trailing} bytes follow the end of the layer; no engine shows them, some refuse them"
            self._add("V012", self._place(name), None, index.trailing, message)


def _plain(value: object) -> str | int | None:
    return value if isinstance(value, int) or value is None else str(value)


def _compute(store: Store, name: str, *, layer: bool) -> _Computed:
    """Read one blob, once."""
    try:
        if layer:
            index = store.index(name, hashed=name != WHOLE, contents=False)
            return _Computed(index.digest, index, None)
        return _Computed(store.digest(name), None, None)
    except TarlayersError as error:
        return _Computed(_digest_anyway(store, name) if layer else None, None, error)


def _digest_anyway(store: Store, name: str) -> Digest | None:
    """Of a layer that could not be read to its end, the digest still tells whether it is the right blob."""
    try:
        return store.digest(name)
    except TarlayersError:
        return None


def expected_compression(media_type: str) -> str | None:
    """Give the compression that a layer's media type claims; None where it claims nothing that we know."""
    ending = media_type[media_type.rfind(".tar") :] if ".tar" in media_type else ""
    return _COMPRESSIONS.get(ending)


def _own_media_type(document: bytes | None) -> str | None:
    """Give what an index or manifest calls itself. Of a configuration there is no such thing."""
    try:
        value = orjson.loads(document or b"null")
    except orjson.JSONDecodeError:
        return None
    found = value.get("mediaType") if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None


def _describe(error: TarlayersError | None, layer: Layer) -> str:
    """Say what is wrong without the name that the place already gives."""
    return str(error).removeprefix(f"{layer.blob} at ").removeprefix(f"{layer.blob}: ") if layer.blob else str(error)


def _join_claimants(claims: Iterable[BlobClaim]) -> str:
    places = dict.fromkeys("its name" if claim.role == "name" else claim.place for claim in claims)
    names = list(places)
    shown = " and ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return f"{shown} {'says' if len(names) == 1 else 'say'}"


def _layer_place(image: Image, layer: Layer) -> str:
    return f"{image.name}: layer {layer.index}"


def _name_users(archive: ImageArchive) -> dict[str, str]:
    """Name every blob of an image by the first image that uses it."""
    users: dict[str, str] = {}
    for image in archive.images:
        for blob, name in _parts(image):
            users.setdefault(blob, name)
    manifests = {image.manifest_digest: image.name for image in archive.images}
    for claim in archive.layout.claims:
        if claim.blob is not None and claim.role == "manifest" and claim.digest in manifests:
            users.setdefault(claim.blob, f"{manifests[claim.digest]}: manifest")
    return users


def _parts(image: Image) -> Iterator[tuple[str, str]]:
    for layer in image.layers:
        if layer.blob is not None:
            yield layer.blob, _layer_place(image, layer)
    if image.config_blob is not None:
        yield image.config_blob, f"{image.name}: config"
