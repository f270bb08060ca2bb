"""Changes to built archives: documents edited, and the digests of what points at them set right again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.build import FLAVOURS, OCI, Files, blob, compact, image
from tests.lazy import LazyLayer


def edit_manifest(files: Files, change: Callable[[dict[str, Any]], object]) -> Files:
    """Change the manifest of an OCI layout's first image, and the digests that follow."""
    index = json.loads(bytes_of(files, "index.json"))
    entry = index["manifests"][0]
    name = f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"
    manifest = json.loads(bytes_of(files, name))
    change(manifest)
    edited = {key: content for key, content in files.items() if key != name}
    entry |= {"digest": blob(edited, compact(manifest)), "size": len(compact(manifest))}
    return {**edited, "index.json": compact(index)}


def edit_config(files: Files, change: Callable[[dict[str, Any]], object]) -> Files:
    """Change the configuration likewise."""
    edited = dict(files)

    def put(manifest: dict[str, Any]) -> None:
        name = f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"
        config = json.loads(bytes_of(files, name))
        change(config)
        del edited[name]
        manifest["config"] |= {"digest": blob(edited, compact(config)), "size": len(compact(config))}

    # The new configuration lands in `edited` while its manifest is changed.
    changed = edit_manifest(files, put)
    return {**edited, **{name: content for name, content in changed.items() if name not in files or name in edited}}


def bytes_of(files: Files, name: str) -> bytes:
    content = files[name]
    assert isinstance(content, bytes)
    return content


def with_layers(*layers: LazyLayer) -> Files:
    """An OCI layout of layers that are compressed already."""
    files = FLAVOURS["oci-gzip"]([image(*(each.plain for each in layers))])

    def put(manifest: dict[str, Any]) -> None:
        for descriptor, each in zip(manifest["layers"], layers, strict=True):
            suffix = "gzip" if each.blob.startswith(b"\x1f\x8b") else "zstd"
            digest = blob(files, each.blob)
            descriptor |= {"digest": digest, "size": len(each.blob), "annotations": dict(each.annotations)}
            descriptor["mediaType"] = f"{OCI}.layer.v1.tar+{suffix}"

    return edit_manifest(files, put)


def set_layer(index: int, **fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["layers"][index].update(fields)


def drop(files: Files, wanted: Callable[[str, bytes], bool]) -> Files:
    return {name: c for name, c in files.items() if not (isinstance(c, bytes) and wanted(name, c))}
