"""A layer's table of contents against the layer: whether lazy pullers see what readers of the tar see.

Lazy pullers mount a layer by its table alone, so a table that tells another story is another image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.errors import MalformedInput
from tarlayers.formats.toc import STARGZ_MEMBER, StoredToc, Toc, TocClaims, TocEntry, parse_toc, read_toc_claims
from tarlayers.formats.whiteout import clean_path
from tarlayers.layer import LayerIndex, LayerScan

_SECOND = 1_000_000_000
_SHOWN = 5  # differing paths of one layer that are told one by one
_NOT_TEXT = re.compile("[\udc80-\udcff]")


class TocFault(NamedTuple):
    """Something about a table of contents that is wrong, or could not be checked."""

    kind: str
    """`digest`, `content`, or `unchecked`."""
    claimed: str | int | None
    computed: str | int | None
    message: str


def check_toc(scan: LayerScan, annotations: Mapping[str, str]) -> Iterator[TocFault]:
    """Compare a layer's table of contents with what its annotations claim, and with its tar.

    Nothing comes for a layer that neither has nor claims one. One that has one has to be a LayerIndex, hashed.
    """
    claims, toc = read_toc_claims(annotations), scan.toc
    if toc is None:
        if claims is not None and scan.compression == "none":
            yield TocFault("unchecked", claims.format, None, "the table of contents went when it was decompressed")
        elif claims is not None:
            yield TocFault("content", claims.format, None, "annotations claim a table of contents, but it has none")
        return
    if claims is not None:
        yield from _check_claims(claims, toc, scan)
    if toc.limit is not None:
        message = f"its table of contents is larger than {toc.limit} bytes (limit toc_bytes)"
        yield TocFault("unchecked", toc.limit, None, message)
    if toc.problem is not None:
        yield TocFault("content", None, None, f"its table of contents: {toc.problem}")
    if toc.data is None:
        if toc.limit is None and toc.problem is None:
            yield TocFault("unchecked", toc.format, None, "its table of contents was not kept, so nothing compares it")
        return
    try:
        parsed = parse_toc(toc.data)
    except MalformedInput as error:
        yield TocFault("content", None, None, f"its table of contents: {error}")
        return
    yield from _check_tar_split(parsed, toc)
    if isinstance(scan, LayerIndex):
        yield from _shorten(list(_compare(parsed, toc, scan)))


def _check_claims(claims: TocClaims, toc: StoredToc, scan: LayerScan) -> Iterator[TocFault]:
    if claims.format != toc.format:
        message = f"annotations claim {claims.format}, but the table of contents is that of {toc.format}"
        yield TocFault("content", claims.format, toc.format, message)
        return
    computed = Digest.of(toc.data) if toc.data is not None else None
    for claimed, found in ((claims.digest, computed), (claims.stored_digest, toc.stored_digest)):
        if claimed is not None and found is not None and claimed != str(found):
            message = "its table of contents has another digest than its annotations say"
            yield TocFault("digest", claimed, str(found), message)
    if claims.position is not None and toc.position is not None and claims.position != toc.position:
        message = f"annotations place the table of contents at {claims.position}, the footer at {toc.position}"
        yield TocFault("content", claims.position, toc.position, message)
    if claims.plain_size is not None and claims.plain_size != str(scan.plain_size):
        message = f"{scan.plain_size} bytes uncompressed, annotations say {claims.plain_size}"
        yield TocFault("content", claims.plain_size, scan.plain_size, message)


def _check_tar_split(parsed: Toc, toc: StoredToc) -> Iterator[TocFault]:
    claimed, computed = parsed.tar_split_digest, toc.tar_split_digest
    if claimed is not None and computed is not None and claimed != str(computed):
        message = "its tar-split frame has another digest than its table of contents says"
        yield TocFault("digest", claimed, str(computed), message)


def _compare(parsed: Toc, toc: StoredToc, index: LayerIndex) -> Iterator[TocFault]:
    """Yield what differs, by path. Of several members with one name the last counts on both sides."""
    told = {_spell(clean_path(entry.name)): entry for entry in parsed.entries}
    has = {_spell(entry.path): entry for entry in index.entries if entry.type != "global"}
    if toc.format == "estargz":
        has.pop(f"/{STARGZ_MEMBER}", None)
    for path, entry in has.items():
        if path not in told:
            yield TocFault("content", None, None, f"{path or '/'}: not in the table of contents")
        else:
            yield from _compare_entry(path, told[path], entry, index)
    for path in told.keys() - has.keys() if told.keys() != has.keys() else ():
        yield TocFault("content", None, None, f"{path or '/'}: in the table of contents, but not in the layer")


def _compare_entry(path: str, told: TocEntry, entry: Entry, index: LayerIndex) -> Iterator[TocFault]:
    if entry.type == "unknown":
        return
    for what, claimed, computed in _differences(told, entry, index):
        message = f"{path or '/'}: {what} {claimed} in the table of contents, {computed} in the layer"
        yield TocFault("content", str(claimed), str(computed), message)


def _differences(told: TocEntry, entry: Entry, index: LayerIndex) -> Iterator[tuple[str, object, object]]:
    if told.type != entry.type:
        yield "type", told.type, entry.type
        return
    yield from (
        (what, claimed, computed)
        for what, claimed, computed in (
            ("size", told.size if entry.type == "file" else 0, entry.size),
            ("mode", f"{told.mode:04o}", f"{entry.mode:04o}"),
            ("owner", f"{told.uid}:{told.gid}", f"{entry.uid}:{entry.gid}"),
            ("device", told.rdev if entry.rdev else None, entry.rdev),
        )
        if claimed != computed
    )
    if told.mtime is not None and abs(told.mtime - (entry.mtime or 0)) >= _SECOND:
        yield "time", told.mtime, entry.mtime
    link, target = (_spell(clean_path(text) if entry.type == "hardlink" else text) for text in _links(told, entry))
    if link != target:
        yield "link", link, target
    if told.xattrs != (entry.xattrs or {}):
        yield "attributes", sorted(told.xattrs), sorted(entry.xattrs or {})
    content = entry.sha256 or index.member_digests.get(entry.offset)
    if entry.type == "file" and told.digest and content is not None and told.digest != f"sha256:{content.hex()}":
        yield "content", told.digest, f"sha256:{content.hex()}"


def _links(told: TocEntry, entry: Entry) -> tuple[str, str]:
    return (told.link, entry.link or "") if entry.type in ("symlink", "hardlink") else ("", "")


def _spell(path: str) -> str:
    """Spell a name as JSON written by Go has it: each byte that is not UTF-8 is U+FFFD."""
    return _NOT_TEXT.sub("\ufffd", path)


def _shorten(faults: list[TocFault]) -> Iterator[TocFault]:
    yield from faults[:_SHOWN]
    if len(faults) > _SHOWN:
        message = f"{len(faults) - _SHOWN} more differences between the table of contents and the layer"
        yield TocFault("content", None, None, message)
