"""What producers of OCI layouts and `dir:` write; `tests.flavours` has the table of all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.build import (
    COMPRESS,
    FULL_NAME,
    OCI,
    REF_NAME,
    Files,
    Image,
    compact,
    descriptor,
    docker_25,
    oci_manifest,
    sha256,
)

DOCKER = "application/vnd.docker"
INDEX = f"{OCI}.index.v1+json"
LIST = f"{DOCKER}.distribution.manifest.list.v2+json"


def index(manifests: Sequence[Mapping[str, Any]], media_type: str = INDEX, **more: Any) -> bytes:
    return compact({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, **more})


def named(entry: Mapping[str, Any], each: Image) -> list[dict[str, Any]]:
    """One descriptor for each full name, as podman and skopeo write them."""
    return [{**entry, "annotations": {REF_NAME: name}} for name in each.names]


def oci_layout(files: Files, manifests: Sequence[Mapping[str, Any]]) -> Files:
    return files | {"index.json": index(manifests), "oci-layout": compact({"imageLayoutVersion": "1.0.0"})}


def docker_manifest(files: Files, each: Image) -> bytes:
    """A manifest of Docker's media types, as registries and crane have them."""
    kind = f"{DOCKER}.image.rootfs.diff.tar.gzip"
    return compact(
        {
            "schemaVersion": 2,
            "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
            "config": descriptor(files, f"{DOCKER}.container.image.v1+json", each.config_bytes),
            "layers": [descriptor(files, kind, COMPRESS["gzip"](plain)) for plain in each.layers],
        }
    )


def podman_oci(images: Sequence[Image]) -> Files:
    """podman's oci-archive: the full name as ref.name."""
    files: Files = {}
    manifests = []
    for each in images:
        manifests += named(descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, each, "gzip")), each)
    return oci_layout(files, manifests)


def crane_oci(images: Sequence[Image]) -> Files:
    """crane's OCI layout, `crane --annotate-ref`: Docker's media types in an OCI index."""
    files: Files = {}
    manifests = []
    for each in images:
        kind = f"{DOCKER}.distribution.manifest.v2+json"
        manifests += named(descriptor(files, kind, docker_manifest(files, each)), each)
    return oci_layout(files, manifests)


def nested(media_types: Sequence[str]) -> Callable[[Sequence[Image]], Files]:
    """Indexes in one another, outermost first; only the outermost descriptor has the name."""

    def make(images: Sequence[Image]) -> Files:
        files: Files = {}
        manifests = []
        for each in images:
            raw = oci_manifest(files, each, "gzip")
            platform = {"architecture": each.config["architecture"], "os": each.config["os"]}
            entry = descriptor(files, f"{OCI}.manifest.v1+json", raw, platform=platform)
            for media_type in reversed(media_types):
                entry = descriptor(files, media_type, index([entry], media_type))
            manifests += named(entry, each)
        return oci_layout(files, manifests)

    return make


def attested(images: Sequence[Image]) -> Files:
    """buildx with provenance: an index with the image and the attestation of it."""
    files: Files = {}
    manifests = []
    for each in images:
        entry = descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, each, "gzip"))
        statement = descriptor(files, "application/vnd.in-toto+json", b'{"_type":"https://in-toto.io/Statement/v0.1"}')
        config = descriptor(files, f"{OCI}.config.v1+json", compact({"architecture": "unknown", "os": "unknown"}))
        attestation = descriptor(
            files,
            f"{OCI}.manifest.v1+json",
            compact({"schemaVersion": 2, "config": config, "layers": [statement]}),
            platform={"architecture": "unknown", "os": "unknown"},
            annotations={
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": entry["digest"],
            },
        )
        manifests += named(descriptor(files, INDEX, index([entry, attestation])), each)
    return oci_layout(files, manifests)


def absent_platform(images: Sequence[Image]) -> Files:
    """docker save with the containerd store: the index names platforms that were never pulled."""
    files: Files = {}
    manifests = []
    for each in images:
        entry = descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, each, "gzip"))
        away = {
            "mediaType": f"{OCI}.manifest.v1+json",
            "digest": f"sha256:{'a' * 64}",
            "size": 500,
            "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
        }
        manifests += named(descriptor(files, INDEX, index([away, entry])), each)
    return oci_layout(files, manifests)


def untagged_manifest_json(images: Sequence[Image]) -> Files:
    """`ctr export` by digest: RepoTags is null, the index has the name."""
    files = docker_25(images, "gzip")
    manifest = [
        {
            "Config": f"blobs/sha256/{sha256(each.config_bytes)}",
            "RepoTags": None,
            "Layers": [f"blobs/sha256/{sha256(COMPRESS['gzip'](plain))}" for plain in each.layers],
        }
        for each in images
    ]
    return files | {"manifest.json": compact(manifest)}


def tags_alone(images: Sequence[Image]) -> Files:
    """docker 25 without containerd's annotation: the index has tags, manifest.json the full names."""
    files = docker_25(images)
    document = json.loads(bytes(files["index.json"]))  # type: ignore[arg-type] # no link
    for entry in document["manifests"]:
        del entry["annotations"][FULL_NAME]
    return files | {"index.json": compact(document)}


def shared_blobs(images: Sequence[Image]) -> Files:
    """skopeo --dest-shared-blob-dir: layouts side by side, their blobs in a directory of their own."""
    files: Files = {}
    for i, each in enumerate(images):
        for name, content in podman_oci([each]).items():
            files[name.replace("blobs/", "shared/") if name.startswith("blobs/") else f"{i}/{name}"] = content
    return files


def skopeo_dir(images: Sequence[Image]) -> Files:
    """skopeo's `dir:`: one image, blobs under their bare digits, no place for a name."""
    files: Files = {}
    raw = docker_manifest(files, images[0])
    blobs = {name.rpartition("/")[2]: content for name, content in files.items()}
    return blobs | {"manifest.json": raw, "version": b"Directory Transport Version: 1.1\n"}


def skopeo_dir_all(images: Sequence[Image]) -> Files:
    """skopeo copy --all to a `dir:`: the list is manifest.json, each manifest `<hex>.manifest.json`."""
    files: Files = {}
    manifests = []
    for each in images:
        raw = docker_manifest(files, each)
        files[f"{sha256(raw)}.manifest.json"] = raw
        kind = f"{DOCKER}.distribution.manifest.v2+json"
        manifests.append({"mediaType": kind, "digest": f"sha256:{sha256(raw)}", "size": len(raw)})
    blobs = {name.rpartition("/")[2]: content for name, content in files.items()}
    return blobs | {"manifest.json": index(manifests, LIST), "version": b"Directory Transport Version: 1.1\n"}
