"""Is every claim of an archive true? Each blob is read once; digests, sizes, diff IDs, counts and types compared.

Findings have stable codes, each with a paragraph in docs/findings.md. What cannot be checked is a note, what is
wrong but moves no engine is a warning; errors alone make the answer no.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

from tarlayers.analysis.verify_blobs import ReadBlob, read_blob
from tarlayers.analysis.verify_documents import find_document_faults
from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput, TarlayersError, naming
from tarlayers.finding import Checked, CheckedBlob, Finding, VerifyReport, make_finding, sort_findings
from tarlayers.formats.document_fields import MANIFEST
from tarlayers.formats.json_fields import parse_fields
from tarlayers.formats.mediatypes import read_layer_type
from tarlayers.image import Image, Layer
from tarlayers.imagearchive import ImageArchive
from tarlayers.nouns import count_noun
from tarlayers.reference import is_same_platform
from tarlayers.sources.layout import BlobClaim, OtherRecord
from tarlayers.stores.store import WHOLE, OnRead
from tarlayers.threads import count_cores, run_threads
from tarlayers.toc import check_toc

_CLAIMANTS = {
    "name": "its name",
    "layer": "the manifest",
    "config": "the manifest",
    "manifest": "the index",
    "index": "the index",
}
"""Who claims something of a blob, by the claim's role."""

_NOT_WHOLE = "no image of this name has all its blobs here: nothing can load it"
_LINE_BREAKS = {ord("\r"): None, ord("\n"): None}  # which Go reads over in base64
_TOC_CODES = {"digest": "V007", "content": "V008", "unchecked": "V018"}


def verify_archive(archive: ImageArchive, *, workers: int | None = None, on_read: OnRead | None = None) -> VerifyReport:
    """Recompute every claim of an archive's documents and names, several blobs at a time, the largest first.

    `on_read` hears how many stored bytes of a layer were just read, from the thread that did. A layer that is
    malformed is a finding, and the others are still verified; where bytes cannot be had, that is ReadFailed. An archive
    that ends without its end mark is cut short, whatever else it claims: MalformedInput. ValueError for an engine's
    data root, which `verify_root` checks.
    """
    if archive.root is not None:
        raise ValueError("the archive is a data root, which verify_root checks")
    archive.require_whole()
    with naming(archive.name):
        return _Verifying(archive).run(workers or count_cores(), on_read)


class _Verifying:
    """The state of verifying one archive."""

    def __init__(self, archive: ImageArchive) -> None:
        self._archive = archive
        self._store = archive.store
        self._users = _name_users(archive)
        readable = (layer for image in archive.images for layer in image.layers if not layer.unreadable)
        self._layers = dict.fromkeys(self._store.resolve(layer.blob or WHOLE) for layer in readable)
        named = [self._store.resolve(claim.blob) for claim in archive.layout.claims if claim.blob is not None]
        self._blobs = dict.fromkeys([*named, *self._layers])
        self._computed: dict[str, ReadBlob] = {}
        self._findings: list[Finding] = []
        self._wrong: set[str] = set()

    def run(self, workers: int, on_read: OnRead | None) -> VerifyReport:
        sizes = self._store.sizes
        todo = sorted(self._blobs, key=lambda name: (-sizes.get(name, 0), name))

        algorithms = self._list_algorithms()

        def compute(name: str) -> None:
            of = algorithms.get(name, ())
            self._computed[name] = read_blob(self._store, name, of, layer=name in self._layers, on_read=on_read)

        run_threads(compute, todo, workers=workers)
        for fault in find_document_faults(self._archive, self._layers, self._blobs):
            place = fault.place or self._user(fault.blob)
            self._add(fault.code, place, fault.claimed, fault.computed, fault.message, fault.blob)
        self._check_claims()
        for image in self._archive.images:
            if image.flavour is not None:
                self._check_image(image)
        self._check_names(image for image in self._archive.images if image.flavour == "oci")
        self._check_absent()
        for name in self._layers:
            self._check_layer_blob(name)
        findings = sort_findings(self._findings)
        checked = Checked(len(todo), len(self._layers), sum(self._stored_size(name) for name in todo))
        return VerifyReport(checked, findings, tuple(self._list_blobs(todo)))

    def _list_algorithms(self) -> Mapping[str, Collection[str]]:
        """Give the algorithms of all digests that are claimed of each blob."""
        found: dict[str, dict[str, None]] = {}
        for claim in self._archive.layout.claims:
            if claim.blob is not None and claim.digest is not None:
                found.setdefault(self._store.resolve(claim.blob), {})[claim.digest.algorithm] = None
        return found

    def _list_blobs(self, names: Iterable[str]) -> Iterator[CheckedBlob]:
        users = dict(self._users)
        for claim in self._archive.layout.claims:
            if claim.blob is not None and claim.role != "name":
                users.setdefault(self._store.resolve(claim.blob), claim.place)
        order = {blob: i for i, blob in enumerate(users)}
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
            yield CheckedBlob(name, users.get(name, ""), self._stored_size(name), name not in self._wrong)

    def _stored_size(self, name: str) -> int:
        if name != WHOLE:
            return self._store.sizes[name]
        index = self._computed[name].layer
        return index.plain_size if index else 0

    def _add(
        self, code: str, place: str, claimed: object = None, computed: object = None, message: str = "", blob: str = ""
    ) -> None:
        finding = make_finding(code, ": ".join(part for part in (place, blob) if part), claimed, computed, message)
        if blob and finding.severity == "error":
            self._wrong.add(blob)
        self._findings.append(finding)

    def _user(self, blob: str, claim_place: str = "") -> str:
        """Name what uses a blob, as a user knows it; where nothing does, what claims something of it."""
        return self._users.get(blob, claim_place if claim_place != blob else "")

    # -- claims about blobs ------------------------------------------------------------------------

    def _check_claims(self) -> None:
        by_value: dict[tuple[str, object], list[BlobClaim]] = {}
        for claim in self._archive.layout.claims:
            self._check_data(claim)
            if claim.blob is None:
                self._note_absent(claim)
                continue
            blob = self._store.resolve(claim.blob)
            if claim.digest is not None:
                by_value.setdefault((blob, claim.digest), []).append(claim)
            if claim.size is not None:
                by_value.setdefault((blob, claim.size), []).append(claim)
            self._check_media_type(claim, blob)
        for (blob, value), claims in by_value.items():
            if isinstance(value, Digest):
                self._check_digest(blob, value, claims)
            else:
                self._check_size(blob, value, claims)

    def _check_data(self, claim: BlobClaim) -> None:
        if claim.data is None or claim.digest is None:
            return
        place = self._user(self._store.resolve(claim.blob), claim.place) if claim.blob is not None else claim.place
        try:
            embedded = b64decode(claim.data.translate(_LINE_BREAKS), validate=True)
        except ValueError:
            self._add("V026", place, claim.digest, None, "what the descriptor embeds is no base64")
            return
        computed = Digest.of(embedded, claim.digest.algorithm)
        if computed != claim.digest:
            self._add("V026", place, claim.digest, computed, "the descriptor embeds other bytes than it names")

    def _check_digest(self, blob: str, claimed: Digest, claims: list[BlobClaim]) -> None:
        place = self._user(blob, claims[0].place)
        found = self._computed[blob]
        computed = found.digests.get(claimed.algorithm)
        if computed is not None and computed != claimed:
            message = f"the bytes have another digest than {_join_claimants(claims)}"
            self._add("V001", place, claimed, computed, message, blob)
        elif computed is None and found.digests:
            message = f"the {claimed.algorithm} digest was not computed while the bytes were there"
            self._add("V015", place, claimed, None, message, blob)
        elif computed is None and blob not in self._layers:
            self._add("V005", place, claimed, None, f"cannot be read: {_describe(found.error, blob)}", blob)

    def _check_size(self, blob: str, claimed: object, claims: list[BlobClaim]) -> None:
        size = self._store.sizes[blob]
        if claimed != size:
            message = f"{count_noun(size, 'byte')}, {_join_claimants(claims)} {claimed}"
            self._add("V002", self._user(blob, claims[0].place), claimed, size, message, blob)

    def _check_media_type(self, claim: BlobClaim, blob: str) -> None:
        if claim.media_type is None or claim.role == "name":
            return
        if claim.role == "layer":
            wanted, found = self._compressions(claim.media_type, blob)
            what = "not compressed" if found == "none" else f"it is {found}"
        else:
            wanted = claim.media_type
            found = _own_media_type(self._store.documents.get(blob)) or wanted
            what = f"it calls itself {found}"
        if wanted != found:
            message = f"called {claim.media_type}, but {what}"
            self._add("V011", self._user(blob, claim.place), claim.media_type, found, message, blob)

    def _compressions(self, media_type: str, blob: str) -> tuple[str, str]:
        """Give the compression that a layer's type claims, and that of its bytes; where none is claimed, twice."""
        claimed, found = read_layer_type(media_type), self._store.compression(blob)
        if claimed is None or claimed.content == "encrypted":
            return found, found
        return claimed.compression or "none", found

    def _note_absent(self, claim: BlobClaim) -> None:
        if claim.role == "layer" and claim.digest in self._layer_places:
            # Of images that have a layer in common each claims it, and one claim speaks for all of them.
            for place in self._layer_places[claim.digest]:
                self._add("V013", place, claim.digest, None, "not in the archive")
            self._layer_places[claim.digest] = []
            return
        other = self._others.get(claim.digest)
        names = f"{other.names[0]}: " if other is not None and other.names else ""
        platform = f" of {other.platform}" if other is not None and other.platform else ""
        place = f"{names}{claim.role}{platform}" if other is not None else claim.place
        self._add("V013", place, claim.digest, None, "not in the archive")

    @cached_property
    def _layer_places(self) -> dict[Digest | None, list[str]]:
        """The places of layers by claimed digest; of foreign ones, which are not meant to be there, none."""
        places: dict[Digest | None, list[str]] = {}
        for image in self._archive.images:
            for layer in image.layers:
                found = places.setdefault(layer.claimed_digest, [])
                if layer.unreadable != "foreign":
                    found.append(_layer_place(image, layer))
        return places

    @cached_property
    def _others(self) -> Mapping[Digest | None, OtherRecord]:
        """What is no image, by digest; the first of several."""
        return {other.digest: other for other in reversed(self._archive.others)}

    # -- claims about images -----------------------------------------------------------------------

    def _check_image(self, image: Image) -> None:
        self._check_counts(image)
        self._check_platform(image)
        for layer in image.layers:
            place = _layer_place(image, layer)
            if layer.unreadable == "absent":
                if image.flavour == "docker":
                    self._add("V006", place, None, None, "manifest.json lists this layer, but the archive lacks it")
            elif layer.unreadable:
                why = f"foreign, to be had from {' '.join(layer.urls)}" if layer.urls else layer.unreadable
                message = f"content not readable: {why}"
                self._add("V014", place, layer.claimed_diff_id, None, message, self._store.resolve(layer.blob or ""))
            else:
                self._check_layer(place, layer)

    def _check_names(self, images: Iterable[Image]) -> None:
        """Report names none of whose images is whole; one of several platforms may well be missing."""
        of_name: dict[str, list[Image]] = {}
        for image in images:
            for name in image.names or ("",):
                of_name.setdefault(name, []).append(image)
        for name, found in of_name.items():
            if not any(map(_is_whole, found)):
                self._add("V027", name or found[0].name, None, None, _NOT_WHOLE)

    def _check_absent(self) -> None:
        """Report what the archive itself lists and has not: a name that no image bears which is there. Below an index
        that is there manifests may all be absent, as skopeo leaves them when it copies the index alone.
        """
        absent = [other for other in self._archive.others if other.kind == "absent" and other.on_top]
        listed = dict.fromkeys(name for other in absent for name in other.names or ("",))
        for image in self._archive.images:
            for name in image.names or ("",):
                listed.pop(name, None)
        for name in listed:
            self._add("V027", name or "index.json", None, None, _NOT_WHOLE)

    def _check_counts(self, image: Image) -> None:
        count = len(image.layers)
        if image.config is None:
            return
        diff_ids = image.config.diff_ids
        if diff_ids is None and count and image.image_id is not None:  # in version 1.0 there are none
            message = f"{count_noun(count, 'layer')}, but the configuration has no diff IDs"
            self._add("V016", image.name, None, count, message)
        elif diff_ids is not None and len(diff_ids) != count:
            message = f"{count_noun(count, 'layer')}, but the configuration has {count_noun(len(diff_ids), 'diff ID')}"
            self._add("V004", image.name, len(diff_ids), count, message)
        filled = sum(not row.step.empty_layer for row in image.history)
        if image.history and filled != count:
            message = f"the history has {count_noun(filled, 'step')} with a layer, the image has {count}"
            self._add("V009", image.name, filled, count, message)

    def _check_platform(self, image: Image) -> None:
        claimed, own = image.claimed_platform, image.config.platform if image.config else None
        if claimed is not None and own is not None and not is_same_platform(claimed, own):
            message = f"the index says {claimed}, by which engines choose, but the configuration {own}"
            self._add("V025", image.name, claimed, own, message)

    def _check_layer(self, place: str, layer: Layer) -> None:
        blob = self._store.resolve(layer.blob or WHOLE)
        computed = self._computed[blob]
        claimed = layer.claimed_diff_id
        if computed.layer is None:
            self._add("V005", place, claimed, None, f"cannot be read: {_describe(computed.error, blob)}", blob)
            return
        if claimed is not None and claimed.algorithm != "sha256":
            self._add("V015", place, claimed, None, "only sha256 diff IDs are recomputed", blob)
        elif claimed is not None and claimed != computed.layer.diff_id:
            message = "the uncompressed layer has another digest than the configuration says"
            self._add("V003", place, claimed, computed.layer.diff_id, message, blob)
        for fault in check_toc(computed.layer, layer.annotations):
            self._add(_TOC_CODES[fault.kind], place, fault.claimed, fault.computed, fault.message, blob)

    def _check_layer_blob(self, name: str) -> None:
        index = self._computed[name].layer
        if index is not None and index.trailing:
            more = count_noun(index.trailing, "byte")
            message = f"{more} after the end of the layer, which no engine shows and some refuse"
            self._add("V012", self._user(name), None, index.trailing, message, name)


def _own_media_type(document: bytes | None) -> str | None:
    """Give what an index or manifest calls itself. Of a configuration there is no such thing."""
    try:
        value = parse_fields(document or b"null", "", MANIFEST)
    except MalformedInput:
        return None
    found = value.get("mediaType") if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None


def _describe(error: TarlayersError | None, blob: str) -> str:
    """Say what is wrong without the name that the place already gives."""
    return str(error).removeprefix(f"{blob} at ").removeprefix(f"{blob}: ") if blob else str(error)


def _join_claimants(claims: Iterable[BlobClaim]) -> str:
    names = list(dict.fromkeys(_CLAIMANTS.get(claim.role, claim.role) for claim in claims))
    return f"{' and '.join(names)} {'says' if len(names) == 1 else 'say'}"


def _is_whole(image: Image) -> bool:
    return image.config is not None and all(layer.unreadable != "absent" for layer in image.layers)


def _layer_place(image: Image, layer: Layer) -> str:
    return f"{image.name}: layer {layer.index}"


def _name_users(archive: ImageArchive) -> dict[str, str]:
    """Name every blob of an image by the first image that uses it."""
    users: dict[str, str] = {}
    for image in archive.images:
        for blob, name in _parts(image):
            users.setdefault(archive.store.resolve(blob), name)
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
