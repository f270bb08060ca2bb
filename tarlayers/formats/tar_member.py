"""One entry of a tar, and what stands before an entry and speaks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tarlayers.formats.tar_fields import ParsedPax

HEADER_ONLY = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
"""Types that never have contents, whatever their size field says."""


class Member(NamedTuple):
    """One entry of a tar, its extended headers and long names applied; names are bytes."""

    name: bytes
    typeflag: bytes
    """As Go gives it: NUL has become `0`, or `5` where the name ends in a slash."""
    linkname: bytes
    size: int
    """Of the content a reader gets (holes expanded); meaningless for types 1 to 6."""
    mode: int
    uid: int
    gid: int
    mtime: int
    """Nanoseconds since the epoch."""
    devmajor: int
    devminor: int
    pax: Mapping[bytes, bytes] | None
    """All records of the extended header (of a global header: its own)."""
    offset: int
    """Of this entry's own header block; its extended headers come before it."""
    stored: int
    """Bytes of content in the archive, padding not counted."""
    sparse: tuple[tuple[int, int], ...] | None
    """Offset and length of each region that is stored; None for a file without holes. Empty although bytes
    are stored where the map is lost (see `Walker`)."""


class Pending(NamedTuple):
    """What stands before an entry and speaks of it. Of two extended headers in a row the second counts."""

    pax: ParsedPax | None
    longname: bytes
    longlink: bytes

    def apply(self, header: Member) -> Member:
        """Override the header; a GNU long name beats a PAX path."""
        pax = self.pax
        if pax is not None:
            header = header._replace(
                name=pax.path or header.name,
                linkname=pax.linkpath or header.linkname,
                uid=header.uid if pax.uid is None else pax.uid,
                gid=header.gid if pax.gid is None else pax.gid,
                size=header.size if pax.size is None else pax.size,
                mtime=header.mtime if pax.mtime is None else pax.mtime,
                pax=pax.records,
            )
        return header._replace(name=self.longname or header.name, linkname=self.longlink or header.linkname)


def global_member(header: Member, records: dict[bytes, bytes]) -> Member:
    """A global header as a member of its own: it has a name and records, and nothing else. Go takes no notice of
    numbers in them that are none.
    """
    name = records.get(b"path") or header.name
    return Member(name, b"g", b"", 0, 0, 0, 0, 0, 0, 0, records, header.offset, 0, None)
