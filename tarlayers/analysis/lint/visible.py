"""What the finished image shows that may be risky or hard to carry elsewhere: set-uid files, capabilities, files
that everybody may write, names that are not UTF-8 or differ in case alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarlayers.analysis.lint.codes import LintFinding, found
from tarlayers.entry import Entry
from tarlayers.linux import CAPABILITY, SET_GID, SET_ID, SET_UID, STICKY
from tarlayers.rootfs import RootFS, path_key

_OTHERS_WRITE = 0o002
_NAMES = 3  # of one inode that a message spells out


def find_visible_faults(rootfs: RootFS) -> Iterator[LintFinding]:
    """Look at every path of the merged view; hard-linked names are looked at once."""
    named: set[tuple[int, int]] = set()
    for path, node in rootfs.nodes():
        entry = node.entry
        if not path.isascii() and _is_not_text(path):
            yield found("L080", node.layer, path, "the name is not UTF-8")
        if entry.mode & (SET_ID | _OTHERS_WRITE) or entry.xattrs:
            inode = id(entry), node.layer
            if inode not in named:
                yield from _find_risks(rootfs, path, entry, node.layer)
            named.add(inode)
    yield from _find_collisions(rootfs)


def _find_risks(rootfs: RootFS, path: str, entry: Entry, layer: int) -> Iterator[LintFinding]:
    owner = f"{entry.mode:04o} {entry.uid}:{entry.gid}"
    also = _name_links(rootfs.links_of(path))
    if entry.type == "file":
        if entry.mode & SET_ID:
            bits = " and ".join(name for bit, name in ((SET_UID, "set-uid"), (SET_GID, "set-gid")) if entry.mode & bit)
            yield found("L070", layer, path, f"{bits} file ({owner}){also}")
        if entry.xattrs and CAPABILITY in entry.xattrs:
            yield found("L071", layer, path, f"file with capabilities ({entry.xattrs[CAPABILITY].hex()}){also}")
        if entry.mode & _OTHERS_WRITE and not _parent_mode(rootfs, path) & STICKY:
            yield found("L072", layer, path, f"everybody may write this file ({owner}){also}")
    elif entry.type == "dir" and entry.mode & _OTHERS_WRITE and not entry.mode & STICKY:
        yield found("L073", layer, path, f"everybody may write and replace what is in this directory ({owner})")


def _name_links(links: Sequence[str]) -> str:
    more = f" and {len(links) - _NAMES} more" if len(links) > _NAMES else ""
    return f", also named {' '.join(links[:_NAMES])}{more}" if links else ""


def _parent_mode(rootfs: RootFS, path: str) -> int:
    parent = path.rpartition("/")[0]
    return rootfs[parent].mode if parent else rootfs.root.mode


def _is_not_text(path: str) -> bool:
    """Say so of the last component alone: what is below a bad name is not bad for it."""
    try:
        path.rpartition("/")[2].encode()
    except UnicodeEncodeError:
        return True
    return False


def _find_collisions(rootfs: RootFS) -> Iterator[LintFinding]:
    for children in rootfs.directories.values():
        if len(children) < 2 or len(set(map(str.casefold, children))) == len(children):
            continue
        alike: dict[str, list[str]] = {}
        for path in children:
            alike.setdefault(path.casefold(), []).append(path)
        for paths in alike.values():
            if len(paths) > 1:
                first, *others = sorted(paths, key=path_key)
                names = ", ".join(path.rpartition("/")[2] for path in others)
                message = f"differs in case alone from {names}: file systems that ignore case keep one of them"
                yield found("L081", rootfs.layer_of(first), first, message)
