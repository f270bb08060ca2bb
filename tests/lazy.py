"""Layers for lazy pulling, as their converters write them: each content in a compressed member of its own, and
a table of contents that describes every member of the tar.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import zstandard

from tests.build import END, Member, file, member_blocks, pad, sha256

TYPES = {"0": "reg", "1": "hardlink", "2": "symlink", "3": "char", "4": "block", "5": "dir", "6": "fifo"}
Toc = dict[str, Any]


@dataclass(frozen=True)
class LazyLayer:
    """A blob, the annotations of its descriptor, and the tar that it decompresses to."""

    blob: bytes
    annotations: Mapping[str, str]
    plain: bytes


def toc_entry(member: Member) -> Toc:
    entry: Toc = {
        "name": member.name,
        "type": TYPES[member.type],
        "modtime": datetime.fromtimestamp(member.mtime, UTC).isoformat().replace("+00:00", "Z"),
        "mode": member.mode,
        "uid": member.uid,
        "gid": member.gid,
    }
    if member.link:
        entry["linkName"] = member.link
    if member.data:
        entry |= {"size": len(member.data), "digest": f"sha256:{sha256(member.data)}"}
    if member.rdev != (0, 0):
        entry |= {"devMajor": member.rdev[0], "devMinor": member.rdev[1]}
    xattrs = {
        key.removeprefix("SCHILY.xattr."): base64.b64encode(
            value if isinstance(value, bytes) else value.encode()
        ).decode()
        for key, value in member.pax.items()
    }
    return entry | ({"xattrs": xattrs} if xattrs else {})


def table(members: Sequence[Member], change: Callable[[Toc], object] | None) -> bytes:
    document: Toc = {"version": 1, "entries": [toc_entry(member) for member in members]}
    if change is not None:
        change(document)
    return json.dumps(document).encode()


def pieces(members: Sequence[Member]) -> list[bytes]:
    """Headers and contents one by one, as they are compressed."""
    found = []
    for member in members:
        blocks = member_blocks(member)
        content = pad(member.data)
        found += [blocks[: len(blocks) - len(content)], content]
    return [piece for piece in found if piece]


def estargz(
    *members: Member, change: Callable[[Toc], object] | None = None, behind: bool = False, claimed: str | None = None
) -> LazyLayer:
    """eStargz; `behind` keeps the original tar whole, with its end mark before the table."""
    toc = table(members, change)
    index = file("stargz.index.json", toc, mtime=0)
    parts = [*pieces(members), *([END] if behind else []), member_blocks(index) + END]
    annotations = {"containerd.io/snapshot/stargz/toc.digest": claimed or f"sha256:{sha256(toc)}"}
    return LazyLayer(b"".join(gzip.compress(part, mtime=0) for part in parts), annotations, b"".join(parts))


def skippable(data: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def zstd_chunked(
    *members: Member, change: Callable[[Toc], object] | None = None, claimed: str | None = None, shift: int = 0
) -> LazyLayer:
    """zstd:chunked as containers/storage has it, without tar-split; `shift` moves where the footer points."""
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    parts = [*pieces(members), END]
    blob = b"".join(map(compress, parts))
    toc = table(members, change)
    stored = compress(toc)
    position = (len(blob) + 8 + shift, len(stored), len(toc), 1)
    footer = struct.pack("<7Q", *position, 0, 0, 0) + b"GNUlInUx"
    prefix = "io.github.containers.zstd-chunked.manifest"
    annotations = {
        f"{prefix}-checksum": claimed or f"sha256:{sha256(stored)}",
        f"{prefix}-position": ":".join(map(str, position)),
    }
    return LazyLayer(blob + skippable(stored) + skippable(footer), annotations, b"".join(parts))
