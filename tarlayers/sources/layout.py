"""Which blobs make which image: every flavour's documents put together. Pure; no blob is read but documents.

Facts: OCI documents win over `manifest.json` in a hybrid archive, which then only adds names; what the two
disagree on is recorded for `verify`. Blobs that a document names and the archive lacks are normal (a saved
platform of several). `rootfs.diff_ids` is the truth about layers, history is matched where the counts agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from tarlayers.digest import Digest
from tarlayers.errors import LimitExceeded, MalformedInput
from tarlayers.formats.documents import (
    Config,
    Descriptor,
    DockerManifestItem,
    HistoryStep,
    Manifest,
    Platform,
    V1Image,
    chain_v1_config,
    parse_config,
    parse_docker_manifest,
    parse_index,
    parse_json,
    parse_manifest,
    parse_repositories,
    parse_v1_image,
)
from tarlayers.formats.whiteout import clean_path
from tarlayers.limits import DEFAULT_LIMITS, Limits

_T = TypeVar("_T")
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_ATTESTATION = "vnd.docker.reference.type"
_BLOB_NAME = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]{64,128})")
_SHARED_NAME = re.compile(r"(?:.*/)?(sha256|sha512)/([0-9a-f]{64,128})")
_CONFIG_NAME = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\.json)?")
_IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_NOT_LAYERS = ("application/vnd.in-toto", "application/vnd.oci.empty", "application/vnd.dev.cosign")


class OnDisk(NamedTuple):
    """Where a layer lies in a data root."""

    cache_id: str
    """The name of its directory below the driver's."""
    parent: str | None
    """What the root records as the layer below: a chain ID, or an ID of containers-storage."""
    role: str
    """`image`; `init` and `container` for the two layers that a container has of its own."""
    files: bool
    """The copy has its unpacked files; without them its headers alone are known."""


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One layer as the documents have it."""

    blob: str | None
    """Its name in the archive; None when it is not there."""
    claimed_digest: Digest | None
    claimed_size: int | None
    media_type: str | None
    claimed_diff_id: Digest | None
    annotations: Mapping[str, str]
    urls: tuple[str, ...]
    on_disk: OnDisk | None = None
    """Where an engine keeps it unpacked; None in archives."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image as the documents have it."""

    names: tuple[str, ...]
    image_id: Digest | None
    """sha256 of the configuration's bytes."""
    manifest_digest: Digest | None
    platform: Platform | None
    config: Config | None
    config_blob: str | None
    layers: tuple[LayerRecord, ...]
    annotations: Mapping[str, str]
    flavour: str
    """`oci`, `docker` or `dir`."""


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """Something that is no image: `attestation`, `artifact`, `index`, or a manifest that is `absent`."""

    digest: Digest | None
    media_type: str | None
    kind: str
    platform: Platform | None
    annotations: Mapping[str, str]
    names: tuple[str, ...]


class BlobClaim(NamedTuple):
    """What a document, or a member's name, says of a blob."""

    place: str
    blob: str | None
    digest: Digest | None
    size: int | None
    media_type: str | None
    role: str
    """`index manifest config layer`, or `name` for what the member's own name claims."""


class Disagreement(NamedTuple):
    """Something that `manifest.json` and the OCI index tell differently."""

    place: str
    claimed: str
    computed: str
    message: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What an archive holds. `kind` is `none` when no document speaks of an image."""

    kind: str
    """`docker-archive`, `oci-archive`, `dir` or `none`."""
    images: tuple[ImageRecord, ...] = ()
    others: tuple[OtherRecord, ...] = ()
    claims: tuple[BlobClaim, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()


def locate_images(documents: Mapping[str, bytes], sizes: Mapping[str, int], limits: Limits = DEFAULT_LIMITS) -> Layout:
    """Put an archive's documents together.

    `documents` gives the bytes of JSON members by name, `sizes` the stored size of every regular member;
    both use cleaned names, links resolved. Images come in the order of the OCI index, nested indexes
    depth first, then those that only `manifest.json` has. MalformedInput says which document is wrong.
    """
    return _Reader(documents, sizes, limits).read()


@dataclass
class _Reader:
    """The state of putting one archive together."""

    documents: Mapping[str, bytes]
    sizes: Mapping[str, int]
    limits: Limits
    images: dict[object, ImageRecord] = field(default_factory=dict)
    others: dict[Digest | None, OtherRecord] = field(default_factory=dict)
    claims: dict[BlobClaim, None] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    manifests: int = 0
    sub_layouts: bool = False
    shared: dict[Digest, str] | None = None

    def read(self) -> Layout:
        kind = "none"
        if self._has_index():
            kind = "oci-archive"
            self._read_index("index.json", self.documents["index.json"], (), 0, frozenset())
        elif "manifest.json" not in self.sizes and (subs := self._find_sub_layouts()):
            kind = "oci-archive"
            self.sub_layouts = True
            for place in subs:
                self._read_index(place, self.documents[place], (), 0, frozenset())
        listed = self._manifest_json()
        if listed is not None and isinstance(listed, dict):
            if kind == "none":
                kind = "dir"
                self._read_dir()
        elif listed is not None:
            kind = "docker-archive"
            self._read_docker(parse_docker_manifest(self.documents["manifest.json"], "manifest.json"))
        elif kind == "none" and self._has_repositories():
            kind = "docker-archive"
            self._read_repositories()
        if kind == "none":
            return Layout("none")
        self._claim_names(directory=kind == "dir")
        images = tuple(self.images.values())
        return Layout(kind, images, tuple(self.others.values()), tuple(self.claims), tuple(self.disagreements))

    def _find_sub_layouts(self) -> list[str]:
        """Find the indexes of layouts that lie side by side, each in a directory of its own."""
        names = sorted(name for name in self.sizes if name.count("/") == 1 and name.endswith("/index.json"))
        return [name for name in names if f"{name.removesuffix('index.json')}oci-layout" in self.sizes]

    def _has_index(self) -> bool:
        """An `index.json` counts when it looks like an image index: a root file system may hold any other."""
        if "index.json" not in self.documents:
            return False
        try:
            value = parse_json(self.documents["index.json"], "index.json")
        except MalformedInput:
            if "oci-layout" in self.documents:
                raise
            return False
        return isinstance(value, dict) and ("manifests" in value or "oci-layout" in self.documents)

    def _manifest_json(self) -> object:
        """Give `manifest.json` as a list (docker-archive) or an object (`dir:`); None when it is neither."""
        if "manifest.json" not in self.documents:
            return None
        try:
            value = parse_json(self.documents["manifest.json"], "manifest.json")
        except MalformedInput:
            if self._looks_like_archive():
                raise
            return None
        if value is None and self._looks_like_archive():
            return []
        if isinstance(value, list):
            fits = all(isinstance(item, dict) and "Layers" in item and "Config" in item for item in value)
            return value if fits and (value or self._looks_like_archive()) else None
        if isinstance(value, dict) and value.get("schemaVersion") in (1, 2):
            return value if {"layers", "manifests", "fsLayers", "config"} & value.keys() else None
        return None

    def _looks_like_archive(self) -> bool:
        return "oci-layout" in self.documents or "repositories" in self.documents or len(self.sizes) < 8

    def _has_repositories(self) -> bool:
        if "repositories" not in self.documents:
            return False
        try:
            names = parse_repositories(self.documents["repositories"], "repositories")
        except MalformedInput:
            return False
        return any(f"{top}/json" in self.documents for top in names.values())

    # -- OCI ---------------------------------------------------------------------------------------

    def _blob(self, digest: Digest) -> str | None:
        for name in (f"blobs/{digest.algorithm}/{digest.hex}", digest.hex, str(digest)):
            if name in self.sizes:
                return name
        return self._shared_blobs().get(digest)

    def _shared_blobs(self) -> Mapping[Digest, str]:
        """Blobs that lie elsewhere in a directory of several layouts (`skopeo --dest-shared-blob-dir`)."""
        if self.shared is None:
            matches = [(name, _SHARED_NAME.fullmatch(name)) for name in self.sizes] if self.sub_layouts else []
            self.shared = {Digest(match[1], match[2]): name for name, match in matches if match}
        return self.shared

    def _claim(self, place: str, descriptor: Descriptor, role: str) -> str | None:
        blob = self._blob(descriptor.digest)
        self.claims[BlobClaim(place, blob, descriptor.digest, descriptor.size, descriptor.media_type, role)] = None
        return blob

    def _read_index(self, place: str, raw: bytes, names: tuple[str, ...], depth: int, above: frozenset[Digest]) -> None:
        if depth > self.limits.index_depth:
            raise LimitExceeded(
                f"indexes nested deeper than {self.limits.index_depth} (limit index_depth)", place=place
            )
        for i, descriptor in enumerate(parse_index(raw, place).manifests):
            self.manifests += 1
            if self.manifests > self.limits.manifests:
                raise LimitExceeded(f"more than {self.limits.manifests} manifests (limit manifests)", place=place)
            own = names_of(descriptor.annotations) or names
            self._read_descriptor(f"{place} manifests[{i}]", descriptor, own, depth, above)

    def _read_descriptor(
        self, place: str, descriptor: Descriptor, names: tuple[str, ...], depth: int, above: frozenset[Digest]
    ) -> None:
        blob = self._blob(descriptor.digest)
        if blob is None or blob not in self.documents:
            self._claim(place, descriptor, "manifest")
            attested = _ATTESTATION in descriptor.annotations or is_unknown(descriptor.platform)
            kind = "attestation" if attested else "absent" if blob is None else "artifact"
            self._add_other(descriptor, kind, names)
            return
        raw = self.documents[blob]
        value = parse_json(raw, blob)
        nested = isinstance(value, dict) and "manifests" in value
        self._claim(place, descriptor, "index" if nested else "manifest")
        if not nested:
            self._read_manifest(descriptor, raw, blob, names)
        elif descriptor.digest in above:
            raise MalformedInput("an index that names itself", place=blob)
        else:
            before = len(self.images)
            self._read_index(blob, raw, names, depth + 1, above | {descriptor.digest})
            if len(self.images) == before:
                self._add_other(descriptor, "index", names)

    def _add_other(self, descriptor: Descriptor, kind: str, names: tuple[str, ...]) -> None:
        known = self.others.get(descriptor.digest)
        if known is not None:
            names = merge_names(known.names, names)
        self.others[descriptor.digest] = OtherRecord(
            descriptor.digest, descriptor.media_type, kind, descriptor.platform, descriptor.annotations, names
        )

    def _read_manifest(self, descriptor: Descriptor, raw: bytes, blob: str, names: tuple[str, ...]) -> None:
        known = self.images.get(descriptor.digest)
        if known is not None:
            self.images[descriptor.digest] = replace(known, names=merge_names(known.names, names))
            return
        value = parse_json(raw, blob)
        if isinstance(value, dict) and "fsLayers" in value:
            self._add_other(descriptor, "artifact", names)
            return
        manifest = parse_manifest(raw, blob)
        kind = self._other_kind(manifest, descriptor)
        if kind is not None:
            self._claim_manifest(manifest, blob)
            self._add_other(descriptor, kind, names)
            return
        self.images[descriptor.digest] = self._make_image(manifest, descriptor, blob, names, "oci")

    def _other_kind(self, manifest: Manifest, descriptor: Descriptor) -> str | None:
        """Say what a manifest that is no image is; None for an image."""
        if _ATTESTATION in descriptor.annotations or is_unknown(descriptor.platform):
            return "attestation"
        if manifest.artifact_type or manifest.config is None:
            return "artifact"
        media_type = manifest.config.media_type
        if media_type is not None and media_type not in _IMAGE_CONFIGS:
            return "artifact"
        if manifest.layers and all((layer.media_type or "").startswith(_NOT_LAYERS) for layer in manifest.layers):
            return "artifact"
        return None

    def _claim_manifest(self, manifest: Manifest, place: str) -> None:
        if manifest.config is not None:
            self._claim(f"{place} config", manifest.config, "config")
        for i, layer in enumerate(manifest.layers):
            self._claim(f"{place} layers[{i}]", layer, "layer")

    def _make_image(
        self, manifest: Manifest, descriptor: Descriptor | None, place: str, names: tuple[str, ...], flavour: str
    ) -> ImageRecord:
        self._claim_manifest(manifest, place)
        self._check_layer_count(len(manifest.layers), place)
        config_blob = self._blob(manifest.config.digest) if manifest.config else None
        config, image_id = self._config(config_blob)
        annotations = dict(manifest.annotations)
        platform = descriptor.platform if descriptor else None
        if descriptor is not None:
            annotations = {**manifest.annotations, **descriptor.annotations}
        diff_ids = config.diff_ids if config and config.diff_ids is not None else ()
        return ImageRecord(
            names=names,
            image_id=image_id,
            manifest_digest=descriptor.digest if descriptor else Digest.of(manifest.raw),
            platform=(config.platform if config else None) or platform,
            config=config,
            config_blob=config_blob,
            layers=tuple(
                LayerRecord(
                    self._blob(layer.digest), layer.digest, layer.size, layer.media_type, diff_id,
                    layer.annotations, layer.urls,
                )
                for layer, diff_id in pair_layers(manifest.layers, diff_ids)
            ),
            annotations=annotations,
            flavour=flavour,
        )  # fmt: skip

    def _check_layer_count(self, count: int, place: str) -> None:
        if count > self.limits.layers:
            raise LimitExceeded(f"{count} layers (limit layers = {self.limits.layers})", place=place)

    def _config(self, blob: str | None) -> tuple[Config | None, Digest | None]:
        if blob is None or blob not in self.sizes:
            return None, None
        if blob not in self.documents:
            raise MalformedInput("the configuration is no JSON document", place=blob)
        raw = self.documents[blob]
        return parse_config(raw, blob), Digest.of(raw)

    # -- dir: --------------------------------------------------------------------------------------

    def _read_dir(self) -> None:
        """A `dir:` keeps each blob under its bare digits and the manifest as `manifest.json`."""
        raw = self.documents["manifest.json"]
        value = parse_json(raw, "manifest.json")
        digest = Digest.of(raw)
        descriptor = Descriptor(value.get("mediaType"), digest, len(raw), {}, None, (), None)
        if "manifests" in value:
            for i, inner in enumerate(parse_index(raw, "manifest.json").manifests):
                name = f"{inner.digest.hex}.manifest.json"
                if name in self.documents:
                    claim = BlobClaim(
                        f"manifest.json manifests[{i}]", name, inner.digest, inner.size, inner.media_type, "manifest"
                    )
                    self.claims[claim] = None
                    self._read_manifest(inner, self.documents[name], name, ())
                else:
                    self._read_descriptor(f"manifest.json manifests[{i}]", inner, (), 1, frozenset())
            return
        if "fsLayers" in value:
            self._add_other(descriptor, "artifact", ())
            return
        manifest = parse_manifest(raw, "manifest.json")
        kind = self._other_kind(manifest, descriptor)
        if kind is not None:
            self._claim_manifest(manifest, "manifest.json")
            self._add_other(descriptor, kind, ())
            return
        self.images[digest] = self._make_image(manifest, descriptor, "manifest.json", (), "dir")

    # -- docker-archive ----------------------------------------------------------------------------

    def _read_docker(self, items: Sequence[DockerManifestItem]) -> None:
        by_id: dict[Digest | None, object] = {
            image.image_id: key for key, image in self.images.items() if image.image_id is not None
        }
        for i, item in enumerate(items):
            place = f"manifest.json[{i}]"
            self._check_layer_count(len(item.layers), place)
            config_blob = member_name(item.config)
            config, image_id = self._config(config_blob)
            if config is None:
                raise MalformedInput(f"its Config {item.config!r} is not in the archive", place=place)
            key = by_id.get(image_id)
            if key is not None:
                self._add_docker_names(key, item, place)
                continue
            record = self._docker_image(item, config, image_id, config_blob)
            key = by_id[image_id] = ("docker", image_id)
            self.images[key] = record

    def _add_docker_names(self, key: object, item: DockerManifestItem, place: str) -> None:
        image = self.images[key]
        layers = tuple(member_name(layer) for layer in item.layers)
        known = tuple(layer.blob for layer in image.layers)
        present = all(blob is not None for blob in known)
        if image.flavour == "oci" and present and layers != known and len(layers) != len(known):
            self.disagreements.append(
                Disagreement(
                    place,
                    f"{len(layers)} layers",
                    f"{len(known)} layers",
                    "manifest.json lists other layers than the OCI manifest",
                )
            )
        self.images[key] = replace(image, names=merge_names(image.names, item.repo_tags))

    def _docker_image(
        self, item: DockerManifestItem, config: Config, image_id: Digest | None, config_blob: str
    ) -> ImageRecord:
        layers = []
        for name, diff_id in pair_layers(item.layers, config.diff_ids or ()):
            source = item.layer_sources.get(str(diff_id)) if diff_id else None
            blob = member_name(name)
            match = _BLOB_NAME.fullmatch(blob)
            layers.append(
                LayerRecord(
                    blob=blob if blob in self.sizes else None,
                    claimed_digest=Digest(match[1], match[2]) if match else None,
                    claimed_size=None,
                    media_type=source.media_type if source else None,
                    claimed_diff_id=diff_id,
                    annotations=source.annotations if source else {},
                    urls=source.urls if source else (),
                )
            )
        return ImageRecord(
            names=merge_names((), item.repo_tags),
            image_id=image_id,
            manifest_digest=None,
            platform=config.platform,
            config=config,
            config_blob=config_blob,
            layers=tuple(layers),
            annotations={},
            flavour="docker",
        )

    def _read_repositories(self) -> None:
        """Version 1.0: names point at the top layer, and each layer at its parent."""
        tops: dict[str, list[str]] = {}
        for name, top in parse_repositories(self.documents["repositories"], "repositories").items():
            tops.setdefault(top, []).append(name)
        for top, names in tops.items():
            chain = list(self._v1_chain(top))[::-1]
            config = chain_v1_config(chain[-1].config, [image.step for image in chain])
            layers = []
            for image in chain:
                blob = f"{image.id}/layer.tar"
                layers.append(LayerRecord(blob if blob in self.sizes else None, None, None, None, None, {}, ()))
            self.images[top] = ImageRecord(
                names=tuple(names),
                image_id=None,
                manifest_digest=None,
                platform=config.platform,
                config=config,
                config_blob=f"{top}/json",
                layers=tuple(layers),
                annotations={},
                flavour="docker",
            )

    def _v1_chain(self, top: str) -> Iterator[V1Image]:
        seen: set[str] = set()
        at: str | None = top
        while at:
            place = f"{at}/json"
            if at in seen:
                raise MalformedInput("a layer that is its own ancestor", place=place)
            if place not in self.documents:
                raise MalformedInput("not in the archive, but a layer above names it as its parent", place=place)
            seen.add(at)
            self._check_layer_count(len(seen), place)
            image = parse_v1_image(self.documents[place], place)
            yield replace(image, id=at)
            at = image.parent

    # -- names -------------------------------------------------------------------------------------

    def _claim_names(self, *, directory: bool) -> None:
        """Blobs, and docker's configurations, are called by the digest of their bytes."""
        configs = {image.config_blob for image in self.images.values()}
        for name in self.sizes:
            match = _BLOB_NAME.fullmatch(name)
            if match is not None and len(match[2]) == (64 if match[1] == "sha256" else 128):
                self.claims[BlobClaim(name, name, Digest(match[1], match[2]), None, None, "name")] = None
            elif name in configs or (directory and len(name) == 64):
                hexes = _CONFIG_NAME.fullmatch(name)
                if hexes is not None:
                    self.claims[BlobClaim(name, name, Digest("sha256", hexes[1]), None, None, "name")] = None


def member_name(name: str) -> str:
    """Spell a name from a document as the member table does."""
    return clean_path(name)[1:]


def is_unknown(platform: Platform | None) -> bool:
    """BuildKit gives attestations the platform unknown/unknown."""
    return platform is not None and platform.os == "unknown" and platform.architecture == "unknown"


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Give the name a descriptor carries: the full one where there are two (PATH of containerd), else the tag."""
    name = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME)
    return (name,) if name else ()


def merge_names(known: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
    """Add names that are new; a bare tag gives way to the full name that ends in it."""
    kept = [name for name in known if not any(full.endswith(f":{name}") for full in more if ":" not in name)]
    return (*kept, *(name for name in dict.fromkeys(more) if name and name not in kept))


def pair_layers(layers: Sequence[_T], diff_ids: Sequence[Digest]) -> list[tuple[_T, Digest | None]]:
    """Pair layers with diff IDs by position; the surplus of either goes without."""
    return [(layer, diff_id) for layer, diff_id in zip_longest(layers, diff_ids[: len(layers)]) if layer is not None]


def map_history(config: Config | None, layer_count: int) -> list[tuple[HistoryStep, int | None]]:
    """Pair each build step with the index of the layer it made.

    Steps that are `empty_layer` have none; where the others are not as many as the layers, nobody has one.
    """
    if config is None:
        return []
    matched = sum(not step.empty_layer for step in config.history) == layer_count
    rows: list[tuple[HistoryStep, int | None]] = []
    index = 0
    for step in config.history:
        rows.append((step, index if matched and not step.empty_layer else None))
        index += not step.empty_layer
    return rows
