"""Builds data roots: an engine's directory with layers unpacked, their headers beside them, and containers.

    files = docker_root([app], [container("web", app, file("etc/new", b"1"))])
    pack_root(files, "docker")                  # a tar of it, with devices and attributes, without privileges
    write_root(files, tmp_path)                 # a directory; whiteouts are devices 0:0, which any user may make

A root is its members by path, as `tests.build` has them. Nothing here imports tarlayers.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.build import Image, Member, compact, device, directory, file, hardlink, sha256, symlink, tar, xattrs

Root = dict[str, Member]
CREATED = "2024-06-01T12:00:00.5Z"
NEVER = "0001-01-01T00:00:00Z"

# -- tar-split -------------------------------------------------------------------------------------


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xD800000000000000 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc64(data: bytes) -> int:
    """CRC-64/ISO, a byte at a time."""
    value = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFFFFFFFFFF


def tar_split(plain: bytes) -> bytes:
    """The lines that Docker keeps of a layer's tar, gzipped."""
    lines = []
    done = 0

    def add(**record: object) -> None:
        lines.append(compact({**record, "position": len(lines)}))

    with tarfile.open(fileobj=io.BytesIO(plain)) as read:
        for member in read:
            add(type=2, payload=base64.b64encode(plain[done : member.offset_data]).decode())
            size = member.size if member.isreg() else 0
            content = plain[member.offset_data : member.offset_data + size]
            done = member.offset_data + size
            crc = base64.b64encode(crc64(content).to_bytes(8, "big")).decode() if size else None
            name = member.name + "/" * member.isdir()
            add(type=1, name=name, payload=crc, **({"size": size} if size else {}))
    add(type=2, payload=base64.b64encode(plain[done:]).decode())
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


# -- directories -----------------------------------------------------------------------------------


def unpacked(plain: bytes, where: str) -> Iterator[Member]:
    """What a driver makes of a layer in its directory: whiteouts are devices, opaque directories have an attribute."""
    made: Root = {where: directory(where)}
    with tarfile.open(fileobj=io.BytesIO(plain)) as read:
        for member in read:
            parent, _, base = f"{where}/{member.name}".rpartition("/")
            path = f"{parent}/{base}"
            if base == ".wh..wh..opq":
                made[parent] = xattrs(made.get(parent, directory(parent)), **{"trusted_overlay.opaque": b"y"})
            elif base.startswith(".wh."):
                made[f"{parent}/{base[4:]}"] = device(f"{parent}/{base[4:]}", 0, 0, mode=0)
            else:
                stream = read.extractfile(member) if member.isreg() else None
                made[path] = Member(
                    name=path + "/" * member.isdir(),
                    type=member.type.decode(),
                    data=stream.read() if stream is not None else b"",
                    mode=member.mode,
                    uid=member.uid,
                    gid=member.gid,
                    mtime=member.mtime,
                    link=f"{where}/{member.linkname}" if member.islnk() else member.linkname,
                    rdev=(member.devmajor, member.devminor),
                )
    yield from made.values()


@dataclass(frozen=True)
class Container:
    """A container: its own directory holds `upper`, as it lies on disk."""

    name: str
    image: Image
    upper: tuple[Member, ...]
    id: str
    state: dict[str, object]


def container(name: str, image: Image, *upper: Member, **state: object) -> Container:
    return Container(name, image, upper, sha256(name.encode()), {"StartedAt": NEVER, **state})


INIT = (file(".dockerenv", mode=0o755), directory("etc"), file("etc/hostname", mode=0o755))


def chain_ids(image: Image) -> list[str]:
    chain: list[str] = []
    for diff_id in image.diff_ids:
        chain.append(f"sha256:{sha256(f'{chain[-1]} {diff_id}'.encode())}" if chain else diff_id)
    return chain


def disk_size(plain: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(plain)) as read:
        return sum(len(m.linkname) if m.issym() else m.size if m.isreg() else 0 for m in read)


def _overlay(root: Root, base: str, cache_id: str, members: Sequence[Member], lower: Sequence[str]) -> None:
    """One directory of the driver, with its short link."""
    short = sha256(cache_id.encode())[:26].upper()
    for member in members:
        root[member.name.rstrip("/")] = member
    root[f"{base}/l/{short}"] = symlink(f"{base}/l/{short}", f"../{cache_id}/diff")
    root[f"{base}/{cache_id}/link"] = file(f"{base}/{cache_id}/link", short.encode())
    if lower:
        text = ":".join(f"l/{sha256(each.encode())[:26].upper()}" for each in lower)
        root[f"{base}/{cache_id}/lower"] = file(f"{base}/{cache_id}/lower", text.encode())


def below(where: str, members: Sequence[Member]) -> list[Member]:
    """Members moved below a directory, links to other members too."""
    moved = [
        replace(m, name=f"{where}/{m.name}", link=f"{where}/{m.link}" if m.type == "1" else m.link) for m in members
    ]
    return [directory(where), *moved]


# -- Docker ----------------------------------------------------------------------------------------


def cache_id_of(chain_id: str) -> str:
    return sha256(f"cache of {chain_id}".encode())


def docker_root(
    images: Sequence[Image],
    containers: Sequence[Container] = (),
    *,
    driver: str = "overlay2",
    parents: dict[str, str] | None = None,
    home: str = "/var/lib/docker",
) -> Root:
    """`parents` maps an image's ID to that of the image it was built on."""
    root: Root = {}

    def put(path: str, text: str | bytes) -> None:
        root[path] = file(path, text.encode() if isinstance(text, str) else text)

    repositories: dict[str, dict[str, str]] = {}
    for image in images:
        image_id = sha256(image.config_bytes)
        put(f"image/{driver}/imagedb/content/sha256/{image_id}", image.config_bytes)
        if parents and image_id in parents:
            put(f"image/{driver}/imagedb/metadata/sha256/{image_id}/parent", f"sha256:{parents[image_id]}")
        for name in image.names:
            repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
            repositories.setdefault(repository, {})[name] = f"sha256:{image_id}"
        _docker_layers(root, image, driver)
    put(f"image/{driver}/repositories.json", json.dumps({"Repositories": repositories}))
    for each in containers:
        top = chain_ids(each.image)
        mount = f"image/{driver}/layerdb/mounts/{each.id}"
        lower = [cache_id_of(chain_id) for chain_id in reversed(top)]
        put(f"{mount}/mount-id", each.id)
        put(f"{mount}/init-id", f"{each.id}-init")
        put(f"{mount}/parent", top[-1])
        _overlay(root, driver, f"{each.id}-init", below(f"{driver}/{each.id}-init/diff", INIT), lower)
        own = below(f"{driver}/{each.id}/diff", each.upper)
        _overlay(root, driver, each.id, own, [f"{each.id}-init", *lower])
        document = {
            "ID": each.id,
            "Name": f"/{each.name}",
            "Created": CREATED,
            "Image": f"sha256:{sha256(each.image.config_bytes)}",
            "Driver": driver,
            "State": each.state,
            "HostnamePath": f"{home}/containers/{each.id}/hostname",
        }
        put(f"containers/{each.id}/config.v2.json", compact(document))
    return root


def _docker_layers(root: Root, image: Image, driver: str) -> None:
    chain = chain_ids(image)
    for i, (plain, chain_id, diff_id) in enumerate(zip(image.layers, chain, image.diff_ids, strict=True)):
        place = f"image/{driver}/layerdb/{chain_id.replace(':', '/')}"
        cache_id = cache_id_of(chain_id)
        texts = {"cache-id": cache_id, "diff": diff_id, "size": str(disk_size(plain))}
        if i:
            texts["parent"] = chain[i - 1]
        for name, text in texts.items():
            root[f"{place}/{name}"] = file(f"{place}/{name}", text.encode())
        root[f"{place}/tar-split.json.gz"] = file(f"{place}/tar-split.json.gz", tar_split(plain))
        diff = list(unpacked(plain, f"{driver}/{cache_id}/diff"))
        _overlay(root, driver, cache_id, diff, [cache_id_of(each) for each in reversed(chain[:i])])


# -- containers-storage ----------------------------------------------------------------------------


def podman_root(images: Sequence[Image], containers: Sequence[Container] = ()) -> Root:
    root: Root = {}
    layers: dict[str, dict[str, object]] = {}
    lowers: dict[str, list[str]] = {}
    listed, listed_containers = [], []

    def put(path: str, data: bytes) -> None:
        root[path] = file(path, data)

    def add_layer(layer_id: str, parent: str | None, members: Sequence[Member], **more: object) -> None:
        fields = {"id": layer_id, "parent": parent, "created": CREATED, **more}
        layers[layer_id] = {key: value for key, value in fields.items() if value}
        lower = [] if parent is None else [parent, *lowers[parent]]
        lowers[layer_id] = lower
        _overlay(root, "overlay", layer_id, members, lower)

    def ids(image: Image) -> list[str]:
        return [sha256(f"layer {chain_id}".encode()) for chain_id in chain_ids(image)]

    for image in images:
        parent = None
        for layer_id, plain, diff_id in zip(ids(image), image.layers, image.diff_ids, strict=True):
            diff = list(unpacked(plain, f"overlay/{layer_id}/diff"))
            add_layer(layer_id, parent, diff, **{"diff-digest": diff_id, "diff-size": len(plain)})
            put(f"overlay-layers/{layer_id}.tar-split.gz", tar_split(plain))
            parent = layer_id
        listed.append(_podman_image(root, image, parent))
    for each in containers:
        own = f"{each.id[:32]}{each.id[:32]}"
        add_layer(own, ids(each.image)[-1], below(f"overlay/{own}/diff", each.upper))
        image_id = sha256(each.image.config_bytes)
        listed_containers.append(
            {"id": each.id, "names": [each.name], "image": image_id, "layer": own, "created": CREATED}
        )
    put("overlay-layers/layers.json", compact(list(layers.values())))
    put("overlay-images/images.json", compact(listed))
    put("overlay-containers/containers.json", compact(listed_containers))
    return root


def _podman_image(root: Root, image: Image, top: str | None) -> dict[str, object]:
    """An image's documents; what `images.json` says of it."""
    image_id = sha256(image.config_bytes)
    kind = "application/vnd.oci.image"
    manifest = compact(
        {
            "schemaVersion": 2,
            "config": {
                "mediaType": f"{kind}.config.v1+json",
                "digest": f"sha256:{image_id}",
                "size": len(image.config_bytes),
            },
            "layers": [
                {"mediaType": f"{kind}.layer.v1.tar", "digest": diff_id, "size": len(plain)}
                for diff_id, plain in zip(image.diff_ids, image.layers, strict=True)
            ],
        }
    )
    documents = {"manifest": manifest, f"sha256:{image_id}": image.config_bytes}
    for key, data in documents.items():
        name = key if key == "manifest" else f"={base64.b64encode(key.encode()).decode()}"
        root[f"overlay-images/{image_id}/{name}"] = file(f"overlay-images/{image_id}/{name}", data)
    return {
        "id": image_id,
        "digest": f"sha256:{sha256(manifest)}",
        "names": list(image.names),
        "layer": top,
        "big-data-digests": {key: f"sha256:{sha256(data)}" for key, data in documents.items()},
        "big-data-sizes": {key: len(data) for key, data in documents.items()},
    }


# -- out -------------------------------------------------------------------------------------------


def pack_root(root: Root, prefix: str = "") -> bytes:
    """A tar of the root, as `tar --xattrs` by the super-user has it."""
    lead = f"{prefix}/" if prefix else ""
    return tar(
        replace(m, name=f"{lead}{m.name}", link=f"{lead}{m.link}" if m.type == "1" else m.link) for m in root.values()
    )


def write_root(root: Root, where: Path) -> Path:
    """The root as a directory. Attributes that need privileges are written in their user's namespace."""
    for path, member in root.items():
        target = where / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, member, where)
    for path, member in reversed(root.items()):
        if member.type in "05":
            (where / path).chmod(member.mode)
            os.utime(where / path, (member.mtime, member.mtime))
    return where


def _write(target: Path, member: Member, where: Path) -> None:
    if member.type == "5":
        target.mkdir(exist_ok=True)
    elif member.type == "2":
        target.symlink_to(member.link)
    elif member.type == "1":
        target.hardlink_to(where / member.link)
    elif member.type == "3":
        os.mknod(target, 0o020000, os.makedev(*member.rdev))
    elif member.type == "6":
        os.mkfifo(target)
    else:
        target.write_bytes(member.data)
    for key, value in member.pax.items():
        name = key.removeprefix("SCHILY.xattr.").replace("trusted.", "user.")
        os.setxattr(target, name, value if isinstance(value, bytes) else value.encode())


__all__ = ["Container", "Root", "container", "docker_root", "hardlink", "pack_root", "podman_root", "write_root"]
