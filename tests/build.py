"""Builds images: members make layers, layers make images, images make archives in every flavour.

    app = image(layer(file("etc/x", b"1"), directory("srv")), layer(whiteout("etc/x")))
    FLAVOURS["docker-20"]([app])        # {member name: bytes or Link}, in the order in which the producer writes
    archive("docker-20", app)           # the tar of it

Nothing here imports tarlayers: what is built must not share its mistakes. Equal calls give equal bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard

BLOCK = 512
MTIME = 1_700_000_000
END = bytes(2 * BLOCK)

# -- members ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """One entry of a tar, as its header will have it."""

    name: str
    type: str = "0"
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = MTIME
    link: str = ""
    rdev: tuple[int, int] = (0, 0)
    pax: Mapping[str, str | bytes] = field(default_factory=dict)


def file(name: str, data: bytes = b"", **header: Any) -> Member:
    return Member(name, "0", data, **header)


def directory(name: str, **header: Any) -> Member:
    return Member(name.rstrip("/") + "/", "5", **{"mode": 0o755, **header})


def symlink(name: str, target: str, **header: Any) -> Member:
    return Member(name, "2", link=target, **{"mode": 0o777, **header})


def hardlink(name: str, target: str, **header: Any) -> Member:
    return Member(name, "1", link=target, **header)


def device(name: str, major: int, minor: int, kind: str = "char", **header: Any) -> Member:
    return Member(name, {"char": "3", "block": "4"}[kind], rdev=(major, minor), **header)


def fifo(name: str, **header: Any) -> Member:
    return Member(name, "6", **header)


def whiteout(name: str, **header: Any) -> Member:
    parent, _, base = name.rpartition("/")
    return file(f"{parent}/.wh.{base}".lstrip("/"), **{"mode": 0o600, **header})


def opaque(name: str = "", **header: Any) -> Member:
    return file(f"{name}/.wh..wh..opq".lstrip("/"), **{"mode": 0o755, **header})


def xattrs(member: Member, **attributes: bytes) -> Member:
    """`user_x=b"1"` is the attribute `user.x`."""
    records = {f"SCHILY.xattr.{key.replace('_', '.', 1)}": value for key, value in attributes.items()}
    return replace(member, pax={**member.pax, **records})


# -- tar -------------------------------------------------------------------------------------------


def header(member: Member, name: bytes, link: bytes, size: int, magic: bytes = b"ustar\x0000") -> bytes:
    """One ustar header block with its checksum; names must fit."""
    fields = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x",
        name, b"%07o\0" % member.mode, b"%07o\0" % member.uid, b"%07o\0" % member.gid, b"%011o\0" % size,
        b"%011o\0" % int(member.mtime), b" " * 8, member.type.encode("latin-1"), link, magic, b"", b"",
        b"%07o\0" % member.rdev[0], b"%07o\0" % member.rdev[1], b"",
    )  # fmt: skip
    return with_checksum(fields)


def with_checksum(block: bytes) -> bytes:
    """A header block with its checksum set right."""
    summed = block[:148] + b" " * 8 + block[156:512]
    return block[:148] + b"%06o\0 " % sum(summed) + block[156:]


def pax_record(key: str, value: str | bytes) -> bytes:
    body = b" %s=%s\n" % (key.encode(), value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member_blocks(member: Member) -> bytes:
    """A member as GNU tar's or Go's PAX writer has it: an extended header only where the plain one cannot tell."""
    name, link = (text.encode("utf-8", "surrogateescape") for text in (member.name, member.link))
    pax: dict[str, str | bytes] = {}
    if len(name) > 100:
        pax["path"] = name
    if len(link) > 100:
        pax["linkpath"] = link
    if member.mtime != int(member.mtime) or member.mtime < 0:
        pax["mtime"] = repr(member.mtime)
    for key in ("uid", "gid"):
        if not 0 <= getattr(member, key) < 0o7777777:
            pax[key] = str(getattr(member, key))
    pax |= member.pax
    fitted = replace(member, **{key: 0 for key in ("uid", "gid", "mtime") if key in pax})
    extension = b""
    if pax:
        records = b"".join(pax_record(key, value) for key, value in pax.items())
        extension = header(Member("pax", "x", mode=0), b"PaxHeaders.0/x", b"", len(records)) + pad(records)
    return extension + header(fitted, name[:100], link[:100], len(member.data)) + pad(member.data)


def tar(members: Iterable[Member], end: bytes = END) -> bytes:
    return b"".join(map(member_blocks, members)) + end


def layer(*members: Member) -> bytes:
    """The plain tar of one layer."""
    return tar(members)


# -- images ----------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Image:
    """Plain layers, base first, and the configuration that claims them."""

    layers: tuple[bytes, ...]
    names: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def config_bytes(self) -> bytes:
        return compact(self.config)

    @property
    def diff_ids(self) -> list[str]:
        return [f"sha256:{sha256(plain)}" for plain in self.layers]


def image(
    *layers: bytes,
    names: Sequence[str] = ("example.org/app:v1",),
    platform: str = "linux/amd64",
    run: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Image:
    """An image of plain layers. `run` is the run-time configuration; `overrides` replace keys of the document."""
    os, _, architecture = platform.partition("/")
    config: dict[str, Any] = {
        "created": "2024-05-01T10:00:00.123456789Z",
        "architecture": architecture,
        "os": os,
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/app"], **(run or {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(plain)}" for plain in layers]},
        "history": [{"created": "2024-05-01T10:00:00Z", "created_by": f"step {i}"} for i in range(len(layers))],
    }
    return Image(tuple(layers), tuple(names), {**config, **overrides})


# -- compression -----------------------------------------------------------------------------------

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda plain: plain,
    "gzip": lambda plain: gzip.compress(plain, mtime=0),
    "zstd": lambda plain: zstandard.ZstdCompressor().compress(plain),
}
SUFFIX = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}

# -- flavours --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A member that is a link to another one."""

    target: str
    hard: bool = False


Files = dict[str, bytes | Link]
"""An archive's members by name, in order; a name that ends in `/` is a directory."""


def docker_20(images: Sequence[Image]) -> Files:
    """docker save up to 24: `<v1 id>/layer.tar`; a layer that comes again is a symlink to the first."""
    files: Files = {}
    stored: dict[str, str] = {}
    manifest = []
    for number, each in enumerate(images):
        names = []
        for i, plain in enumerate(each.layers):
            v1_id = sha256(b"%d/%d %s" % (number, i, each.config_bytes))
            files |= {f"{v1_id}/": b"", f"{v1_id}/VERSION": b"1.0", f"{v1_id}/json": compact({"id": v1_id})}
            name = f"{v1_id}/layer.tar"
            digest = sha256(plain)
            files[name] = Link(f"../{stored[digest]}") if digest in stored else plain
            stored.setdefault(digest, name)
            names.append(name)
        config = f"{sha256(each.config_bytes)}.json"
        files[config] = each.config_bytes
        manifest.append({"Config": config, "RepoTags": list(each.names), "Layers": names})
    files["manifest.json"] = compact(manifest)
    return files


OCI = "application/vnd.oci.image"
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


def blob(files: Files, data: bytes) -> str:
    """Add a blob; give its digest."""
    files[f"blobs/sha256/{sha256(data)}"] = data
    return f"sha256:{sha256(data)}"


def descriptor(files: Files, media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    """Add a blob; give a descriptor of it."""
    return {"mediaType": media_type, "digest": blob(files, data), "size": len(data), **more}


def oci_manifest(files: Files, each: Image, compression: str) -> bytes:
    """Add an image's config and layers as blobs; give its manifest."""
    kind = f"{OCI}.layer.v1.tar{SUFFIX[compression]}"
    return compact(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(files, f"{OCI}.config.v1+json", each.config_bytes),
            "layers": [descriptor(files, kind, COMPRESS[compression](plain)) for plain in each.layers],
        }
    )


def oci(images: Sequence[Image], compression: str = "gzip") -> Files:
    """An OCI layout; each name is a descriptor of its own, as buildx and umoci have it."""
    files: Files = {"blobs/": b"", "blobs/sha256/": b""}
    manifests = []
    for each in images:
        entry = descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, each, compression))
        tags = [{"annotations": {FULL_NAME: name, REF_NAME: name.rpartition(":")[2]}} for name in each.names]
        manifests += [{**entry, **tag} for tag in tags or [{}]]
    files["index.json"] = compact({"schemaVersion": 2, "manifests": manifests})
    files["oci-layout"] = compact({"imageLayoutVersion": "1.0.0"})
    return files


def docker_25(images: Sequence[Image], compression: str = "none") -> Files:
    """docker save since 25: an OCI layout and a manifest.json whose layers are blobs."""
    files = oci(images, compression)
    layers = [[f"blobs/sha256/{sha256(COMPRESS[compression](plain))}" for plain in each.layers] for each in images]
    files["manifest.json"] = compact(
        [
            {"Config": f"blobs/sha256/{sha256(each.config_bytes)}", "RepoTags": list(each.names), "Layers": names}
            for each, names in zip(images, layers, strict=True)
        ]
    )
    return files


FLAVOURS: dict[str, Callable[[Sequence[Image]], Files]] = {
    "docker-20": docker_20,
    "docker-25": docker_25,
    "docker-25-gzip": lambda images: docker_25(images, "gzip"),
    "oci-none": lambda images: oci(images, "none"),
    "oci-gzip": oci,
    "oci-zstd": lambda images: oci(images, "zstd"),
}


def pack(files: Files) -> bytes:
    """The archive as a tar."""
    members = []
    for name, content in files.items():
        if isinstance(content, Link):
            members.append(hardlink(name, content.target) if content.hard else symlink(name, content.target))
        else:
            members.append(directory(name) if name.endswith("/") else file(name, content))
    return tar(members)


def archive(flavour: str, *images: Image) -> bytes:
    """The tar of images in one flavour."""
    return pack(FLAVOURS[flavour](images))


def extract_tar(packed: tarfile.TarFile, root: Path, members: Iterable[tarfile.TarInfo] | None = None) -> Path:
    """What a tar that is ours holds, as files. `extractall` takes a filter from CPython 3.11.4 on, and warns without
    one from 3.12 on; this attribute says the same, and is nothing to those that know none.
    """
    packed.extraction_filter = lambda member, _: member
    packed.extractall(root, members)
    return root


def unpack(files: Files, root: Path) -> Path:
    """The archive as a directory."""
    for name, content in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.hard:
            path.hardlink_to(root / content.target)
        else:
            path.symlink_to(content.target)
    return root
