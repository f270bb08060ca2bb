"""An entry as a tar that is made here has it, an export or the commit of a container's own layer."""

from __future__ import annotations

from tarlayers.entry import Entry
from tarlayers.formats.tar_writer import Fields, encode_header

TYPEFLAGS = {"file": "0", "hardlink": "1", "symlink": "2", "char": "3", "block": "4", "dir": "5", "fifo": "6"}
"""Of each type that can be written."""

_FLAGS = {kind: flag.encode() for kind, flag in TYPEFLAGS.items()}


def encode_entry(path: str, entry: Entry, mtime: int | None = None) -> bytes:
    """Give the header blocks of an entry that stands at `path`, perhaps with another time than its own. A hard link's
    target is a path as entries have them.
    """
    kind, link = entry.type, entry.link or ""
    name = _encode(path[1:])
    return encode_header(
        Fields(
            name + b"/" if kind == "dir" else name,
            _FLAGS[kind],
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            entry.mtime or 0 if mtime is None else mtime,
            _encode(link.removeprefix("/") if kind == "hardlink" else link),
            entry.rdev or (0, 0),
            entry.xattrs,
        )
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
