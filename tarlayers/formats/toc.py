"""Tables of contents that lazy pullers read instead of a layer's tar: those of eStargz and of zstd:chunked.

Facts: eStargz (stargz-snapshotter docs/estargz.md) keeps its table in the tar, as a last member called
`stargz.index.json`; where the original tar had to survive byte for byte, that member stands behind the end mark,
where no tar reader sees it. zstd:chunked (containers/storage docs/containers-storage-zstd-chunked.md) keeps it,
compressed, in a skippable zstd frame behind the data, and a last such frame of 40 bytes (stargz-snapshotter) or
64 (containers/storage) says where. Both tables are JSON and describe each member of the tar.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput, TarlayersError
from tarlayers.formats import tar
from tarlayers.limits import Limits

STARGZ_MEMBER = "stargz.index.json"
_STARGZ_NAME = STARGZ_MEMBER.encode()

FOOTER_SIZES = (40, 64)
_FOOTER_MAGICS = (b"GnUlInUx", b"GNUlInUx")
TOC_END_BYTES = 64
"""As much of a blob's end as tells whether a table of contents may be in it."""
# The header of the table behind the end mark, with room for extended headers before it.
_LEAST_KEPT = 16 << 10

_STARGZ_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
_PLAIN_SIZE = "io.containers.estargz.uncompressed-size"
_CHUNKED_KEYS = ("io.github.containers.zstd-chunked.", "io.containers.zstd-chunked.")
_CHECKSUM, _POSITION = "manifest-checksum", "manifest-position"

_TYPES = {"reg": "file"}
_MTIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class StoredToc(NamedTuple):
    """A table of contents as it was found in a layer."""

    format: str
    """`estargz` or `zstd:chunked`."""
    data: bytes | None
    """The JSON; None where it was not asked for, and where `problem` or `limit` says why."""
    problem: str | None = None
    limit: int | None = None
    """The bound that it passes."""
    stored_digest: Digest | None = None
    """sha256 of the compressed table, which is what zstd:chunked's `manifest-checksum` claims."""
    position: str | None = None
    """Offset, stored size, plain size and type, as the footer has them and annotations spell them."""
    tar_split_digest: Digest | None = None
    """sha256 of the compressed tar-split frame, where the footer names one."""


class TocClaims(NamedTuple):
    """What a layer's annotations say of its table of contents."""

    format: str
    """`estargz` or `zstd:chunked`."""
    digest: str | None
    """Of the JSON."""
    stored_digest: str | None
    """Of the compressed table (zstd:chunked)."""
    position: str | None
    plain_size: str | None
    """Of the layer's tar."""


class TocEntry(NamedTuple):
    """One member, as a table of contents tells it. What it leaves out is None, or 0 for numbers."""

    name: str
    type: str
    """`file dir symlink hardlink char block fifo`."""
    size: int
    mode: int
    """The low twelve bits."""
    uid: int
    gid: int
    mtime: int | None
    """Nanoseconds since the epoch; eStargz rounds to seconds."""
    link: str
    rdev: tuple[int, int]
    xattrs: Mapping[str, bytes]
    digest: str | None
    """Of a file's content."""


class Toc(NamedTuple):
    """A parsed table of contents."""

    entries: tuple[TocEntry, ...]
    tar_split_digest: str | None


def read_toc_claims(annotations: Mapping[str, str]) -> TocClaims | None:
    """Give what a layer's annotations claim; None where they claim no table of contents.

    stargz-snapshotter's converter writes the keys of both formats on a zstd:chunked layer.
    """
    chunked: dict[str, str] = {}
    for key, value in annotations.items():
        if key.startswith(_CHUNKED_KEYS):
            chunked[key.rpartition(".")[2]] = value
    digest = annotations.get(_STARGZ_DIGEST)
    if not chunked and digest is None:
        return None
    return TocClaims(
        "zstd:chunked" if chunked else "estargz",
        digest,
        chunked.get(_CHECKSUM),
        chunked.get(_POSITION),
        annotations.get(_PLAIN_SIZE),
    )


def may_have_toc(end: bytes) -> bool:
    """Say, by a blob's last TOC_END_BYTES, whether it looks as if it had a table of contents.

    eStargz ends in an empty gzip member whose extra field names the table's offset, then STARGZ.
    """
    return end.endswith(_FOOTER_MAGICS) or b"STARGZ" in end


def find_chunked(frames: Mapping[int, bytes], limits: Limits) -> StoredToc | None:
    """Find the table of zstd:chunked in the skippable frames that end a blob; None where no footer ends it."""
    footer = frames[max(frames)] if frames else b""
    if len(footer) not in FOOTER_SIZES or not footer.endswith(_FOOTER_MAGICS):
        return None
    numbers = [int.from_bytes(footer[i : i + 8], "little") for i in range(0, len(footer) - 8, 8)]
    offset, size, plain_size = numbers[:3]
    position = ":".join(map(str, numbers[:4]))
    tar_split_offset, tar_split_size = numbers[4:6] or (0, 0)
    tar_split = frames.get(tar_split_offset)
    tar_split_digest = Digest.of(tar_split) if tar_split is not None else None
    where = partial(StoredToc, "zstd:chunked", position=position, tar_split_digest=tar_split_digest)
    if max(size + tar_split_size, plain_size) > limits.toc_bytes:
        return where(None, limit=limits.toc_bytes)
    stored = frames.get(offset)
    if stored is None or len(stored) != size:
        return where(None, f"the footer points at offset {offset}, where no frame of {size} bytes is")
    data, problem = _decompress(stored, plain_size, limits)
    return where(data, problem, stored_digest=Digest.of(stored))


def _decompress(stored: bytes, plain_size: int, limits: Limits) -> tuple[bytes | None, str | None]:
    from tarlayers.formats.compression import Decompressor  # noqa: PLC0415 # decoders, which a plain layer needs not

    bounded = Limits(plain_bytes=limits.toc_bytes)
    try:
        data = b"".join(Decompressor("zstd", bounded).run((stored,)))
    except TarlayersError as error:
        return None, str(error)
    if len(data) != plain_size:
        return None, f"{len(data)} bytes, the footer says {plain_size}"
    return data, None


def read_behind(chunks: Iterable[bytes], keep: int) -> tuple[int, StoredToc | None]:
    """Read what follows a tar's end mark: how many bytes that is, and the table of eStargz if there is one.

    The number is 0 where all are zero, or belong to the table. At most `keep` bytes of a table are kept.
    """
    total, kept, whole = 0, bytearray(), True
    for chunk in chunks:
        total += len(chunk)
        if not kept:
            if chunk.count(0) == len(chunk):
                continue
            chunk = chunk.lstrip(b"\0")  # noqa: PLW2901 # the rest of the same chunk
            start = total - len(chunk)
        room = max(keep, _LEAST_KEPT) - len(kept)
        whole = whole and len(chunk) <= room
        kept += chunk[:room]
    if not kept:
        return 0, None
    found = _read_stargz_member(bytes(kept), whole, keep) if start % tar.BLOCK == 0 else None
    return (0, found) if found is not None else (total, None)


def _read_stargz_member(data: bytes, whole: bool, keep: int) -> StoredToc | None:
    walker = tar.Walker(tar.ChunkFeed((data,)))
    try:
        member = next(iter(walker), None)
        if member is None or member.name != _STARGZ_NAME:
            return None
        if not whole or member.size > keep:
            return StoredToc("estargz", None, limit=keep or None)
        content = b"".join(walker.content())
        return StoredToc("estargz", content) if not any(1 for _ in walker) and not walker.drain() else None
    except TarlayersError:
        return None


def parse_toc(data: bytes) -> Toc:
    """Parse a table of either format; MalformedInput says which entry is wrong. Chunks of files are left out."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(f"not JSON: {error}") from error
    entries = document.get("entries") if isinstance(document, dict) else None
    if entries is None and isinstance(document, dict) and "entries" in document:
        entries = []  # Go's list of nothing: skopeo writes it for an empty layer
    if not isinstance(entries, list):
        raise MalformedInput("no list of entries")
    digest = document.get("tarSplitDigest")
    return Toc(tuple(_parse_entries(entries)), digest if isinstance(digest, str) and digest else None)


def _parse_entries(entries: list[Any]) -> Iterator[TocEntry]:
    for i, value in enumerate(entries):
        if not isinstance(value, dict):
            raise MalformedInput(f"entries[{i}]: expected an object")
        kind = _text(value, "type", i)
        if kind == "chunk":
            continue
        yield TocEntry(
            name=_text(value, "name", i),
            type=_TYPES.get(kind, kind),
            size=_number(value, "size", i),
            mode=_number(value, "mode", i) & 0o7777,
            uid=_number(value, "uid", i),
            gid=_number(value, "gid", i),
            mtime=_parse_time(_text(value, "modtime", i), i),
            link=_text(value, "linkName", i),
            rdev=(_number(value, "devMajor", i), _number(value, "devMinor", i)),
            xattrs=_xattrs(value.get("xattrs"), i),
            digest=_text(value, "digest", i) or None,
        )


def _text(value: Mapping[str, Any], key: str, i: int) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise MalformedInput(f"entries[{i}].{key}: expected a string")
    return found


def _number(value: Mapping[str, Any], key: str, i: int) -> int:
    found = value.get(key)
    if found is None:
        return 0
    if not isinstance(found, int):
        raise MalformedInput(f"entries[{i}].{key}: expected a whole number")
    return found


def _xattrs(value: object, i: int) -> Mapping[str, bytes]:
    """Values are in base64."""
    if not value:
        return {}
    try:
        if isinstance(value, dict):
            return {name: a2b_base64(text, strict_mode=True) for name, text in value.items()}
    except (ValueError, TypeError) as error:
        raise MalformedInput(f"entries[{i}].xattrs: expected base64") from error
    raise MalformedInput(f"entries[{i}].xattrs: expected an object")


def _parse_time(text: str, i: int) -> int | None:
    """RFC 3339 to nanoseconds."""
    if not text:
        return None
    match = _MTIME.fullmatch(text)
    try:
        moment = datetime.fromisoformat(match[1] + match[3]) if match else None
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise MalformedInput(f"entries[{i}].modtime: expected a time")
    epoch = datetime.fromisoformat("1970-01-01T00:00:00Z")
    since = moment - epoch
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + int((match[2] or ".")[1:].ljust(9, "0"))
