"""An OCI archive of some layers of other archives: what is left of an image when the rest is shared."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PLAIN = "application/vnd.oci.image.layer.v1.tar"


class StoredLayer(NamedTuple):
    """One layer's blob and what it claims to be."""

    member: str
    diff_id: str
    digest: str
    media_type: str


def stored_layers(archive: tarfile.TarFile) -> list[StoredLayer]:
    """The layers of an archive's only image; layers of docker archives are taken to be plain."""

    def read(name: str) -> Any:
        source = archive.extractfile(name)
        assert source is not None
        return json.load(source)

    def blob(descriptor: dict[str, Any]) -> str:
        return f"blobs/{descriptor['digest'].replace(':', '/')}"

    if "index.json" not in archive.getnames():
        (image,) = read("manifest.json")
        diff_ids = read(image["Config"])["rootfs"]["diff_ids"]
        return [StoredLayer(name, one, one, PLAIN) for name, one in zip(image["Layers"], diff_ids, strict=True)]
    manifest = read(blob(read("index.json")["manifests"][0]))
    diff_ids = read(blob(manifest["config"]))["rootfs"]["diff_ids"]
    return [
        StoredLayer(blob(layer), diff_id, layer["digest"], layer["mediaType"])
        for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True)
    ]


def write_layers(target: Path, chosen: Sequence[tuple[Path, int]]) -> Path:
    """Make an archive of the layers with these numbers; layers that occur twice are stored once."""
    layers: list[dict[str, Any]] = []
    diff_ids = []
    with tarfile.open(target, "w") as made:
        written: set[str] = set()
        for path, number in chosen:
            with tarfile.open(path) as archive:
                layer = stored_layers(archive)[number]
                content = archive.extractfile(layer.member)
                assert content is not None
                size = content.seek(0, io.SEEK_END)
                content.seek(0)
                if layer.digest not in written:
                    add(made, f"blobs/{layer.digest.replace(':', '/')}", content, size)
                written.add(layer.digest)
            layers.append({"mediaType": layer.media_type, "digest": layer.digest, "size": size})
            diff_ids.append(layer.diff_id)
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        config = add_document(made, {"architecture": "amd64", "os": "linux", "rootfs": rootfs})
        kind = "application/vnd.oci.image.manifest.v1+json"
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
        index = {"schemaVersion": 2, "manifests": [{**add_document(made, manifest), "mediaType": kind}]}
        for name, document in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
            text = json.dumps(document).encode()
            add(made, name, io.BytesIO(text), len(text))
    return target


def add(made: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    made.addfile(member, content)


def add_document(made: tarfile.TarFile, document: dict[str, Any]) -> dict[str, Any]:
    """Store a document as a blob and give its descriptor."""
    text = json.dumps(document).encode()
    digest = hashlib.sha256(text).hexdigest()
    add(made, f"blobs/sha256/{digest}", io.BytesIO(text), len(text))
    return {"digest": f"sha256:{digest}", "size": len(text)}
