"""The upper directory of an overlay as a layer's entries: what a container has written so far.

On disk a whiteout is a character device 0:0 (or, since Linux 6.7, an empty file with the attribute
`overlay.whiteout`; fuse-overlayfs without privileges writes `.wh.NAME`), and an opaque directory has the attribute
`trusted.overlay.opaque`, `user.overlay.opaque` in a user namespace. Source: Linux fs/overlayfs (Documentation/
filesystems/overlayfs.rst), moby daemon/graphdriver/overlay2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tarlayers.entry import Entry
from tarlayers.errors import UnsupportedInput
from tarlayers.formats.tar import BLOCK
from tarlayers.formats.whiteout import OPAQUE, PREFIX
from tarlayers.header import TYPEFLAGS, encode_entry
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.linux import OVERLAY_NAMESPACES
from tarlayers.sources.filetree import FileStatus, FileTree, join_path, walk_files


def read_upper(tree: FileTree, base: str, limits: Limits) -> tuple[Entry, ...]:
    """Give what lies below a directory as entries, on-disk whiteouts and opaque flags as markers.

    Offsets only number the entries (`place_entries` gives real ones). UnsupportedInput for what refers to other
    places than its own name (`overlay.redirect`, `overlay.metacopy`), which engines turn off.
    """
    entries: list[Entry] = []
    inodes: dict[object, str] = {}
    for path, status in walk_files(tree, base):
        if len(entries) >= limits.entries:
            raise limit_exceeded(limits, "entries", "more entries than are allowed", place=base)
        if status.kind == "socket":
            continue  # no layer can hold one
        entries += _entries(tree, join_path(base, path), f"/{path}", status, inodes, len(entries))
    return tuple(entries)


def place_entries(entries: Iterable[Entry]) -> Iterator[tuple[bytes, Entry]]:
    """Yield the header blocks that each entry has in a tar of them all, as a commit would write it, and the entry
    with its offset there.
    """
    position = 0
    for entry in entries:
        blocks = encode_entry(entry.path, entry)
        position += len(blocks)
        yield blocks, entry._replace(offset=position - BLOCK)
        position += entry.size + -entry.size % BLOCK


def _entries(
    tree: FileTree, place: str, path: str, status: FileStatus, inodes: dict[object, str], number: int
) -> Iterator[Entry]:
    """One file, and the marker that stands for its opaque flag."""
    parent, _, base = path.rpartition("/")
    if status.kind == "char" and status.rdev == (0, 0):
        yield _marker(f"{parent}/{PREFIX}{base}", "whiteout", status, number)
        return
    xattrs = tree.xattrs(place) if status.kind in ("file", "dir") else {}
    own, overlay = _split_xattrs(xattrs)
    if overlay.keys() & {"redirect", "metacopy"}:
        raise UnsupportedInput("refers to a lower file by another name (overlay redirect or metacopy)", place=place)
    if status.kind == "file" and not status.size and ("whiteout" in overlay or base.startswith(PREFIX)):
        marker = path if base.startswith(PREFIX) else f"{parent}/{PREFIX}{base}"
        yield _marker(marker, "opaque" if base == OPAQUE else "whiteout", status, number)
        return
    first = inodes.setdefault(status.inode, path) if status.inode is not None else path
    linked = first != path
    kind = "hardlink" if linked else status.kind
    yield Entry(
        path=path,
        type=kind,
        mode=status.mode,
        uid=status.uid,
        gid=status.gid,
        size=0 if linked else status.size,
        mtime=status.mtime,
        link=first if linked else tree.target(place) if status.kind == "symlink" else None,
        rdev=status.rdev,
        xattrs=own or None,
        role="entry",
        name=None,
        offset=number,
        typeflag=TYPEFLAGS[kind],
        sha256=None,
    )
    if status.kind == "dir" and overlay.get("opaque") == b"y":
        yield _marker(f"{path}/{OPAQUE}", "opaque", status, number + 1)


def _marker(path: str, role: str, status: FileStatus, number: int) -> Entry:
    return Entry(
        path, "file", 0, status.uid, status.gid, 0, status.mtime, None, None, None, role, None, number, "0", None
    )


def _split_xattrs(xattrs: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Tell a file's own attributes from those that overlayfs keeps its state in."""
    own: dict[str, bytes] = {}
    overlay: dict[str, bytes] = {}
    for name, value in xattrs.items():
        state = next((name.removeprefix(prefix) for prefix in OVERLAY_NAMESPACES if name.startswith(prefix)), None)
        if state is None:
            own[name] = value
        else:
            overlay[state] = value
    return own, overlay
