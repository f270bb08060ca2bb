"""One layer unpacked onto the layers below, by the image-spec's rule, as umoci does it.

Symlinks of lower layers are followed, hard links may point into lower layers, whiteouts and opaque markers
delete what is there except what this very layer has written (image-spec layer.md, "Whiteouts": they apply to
lower layers only). Source: umoci oci/layer/tar_extract.go (UnpackEntry).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import INVALID, OPAQUE, PREFIX, clean_path, is_too_long
from tarlayers.formats.xattrs import apply_xattrs
from tarlayers.linux import SET_GID
from tarlayers.merging.inode import check_target, cut_device, cut_owner
from tarlayers.merging.tree import Node, Refusal, Tree, implied_directory

OnChange = Callable[[str, Node | None, str, str], object]
"""Hears (path, node before, cause, by) before a path changes."""

_NAMESPACES = ("user.", "security.", "trusted.", "system.")


def apply_in_place(
    tree: Tree, entries: Iterable[Entry], index: int, on_change: OnChange | None = None
) -> list[Refusal]:
    """Unpack a layer onto `tree`; give the entries that had to be left out."""
    work = _Application(tree, index, on_change)
    refused: list[Refusal] = []
    for entry in entries:
        try:
            work.take(entry)
        except Refused as error:
            refused.append(Refusal(index, entry.path or "/", error.code, error.message, error.rule))
    return refused


class _Application:
    """The state of unpacking one layer in place."""

    def __init__(self, tree: Tree, index: int, on_change: OnChange | None) -> None:
        self._tree = tree
        self._index = index
        self._on_change = on_change
        self._upper: set[str] = set()  # what this layer wrote, and the directories above it

    def take(self, entry: Entry) -> None:
        if not entry.path or entry.type == "global":
            return
        directory, _, base = entry.path.rpartition("/")
        parent = self._tree.resolve(directory, strict=False)
        if base in INVALID:
            raise Refused("bad-whiteout", f"{base} names no file", "W10")
        if base == OPAQUE:
            if parent in self._tree.dirs:
                self._purge_below(parent, "opaque", parent)
            return
        if base.startswith(PREFIX):
            self._take_whiteout(f"{parent}/{base[len(PREFIX) :]}")
            return
        if is_too_long(base):
            raise Refused("name-too-long", "a name of more than 255 bytes", "N5")
        self._make_parents(parent)
        self._take_node(f"{parent}/{base}", entry)

    def _take_whiteout(self, path: str) -> None:
        node = self._tree.get(path)
        if node is None:
            return
        if path not in self._upper:
            self._remove(path, "whiteout", path)
        elif node.entry.type == "dir":
            self._purge_below(path, "whiteout", path)

    def _purge_below(self, directory: str, cause: str, by: str) -> None:
        """Remove what lower layers have below a directory."""
        todo = [directory]
        while todo:
            children = list(self._tree.dirs[todo.pop()].items())
            self._tree.effort.spend(1 + len(children))
            for path, entry in children:
                if path not in self._upper:
                    self._remove(path, cause, by)
                elif entry.type == "dir":
                    todo.append(path)

    def _take_node(self, path: str, entry: Entry) -> None:
        existing = self._tree.get(path)
        entry = _on_disk(entry)
        if entry.type == "hardlink":
            node = self._link_target(entry, path)
            if existing is not None:
                self._remove(path, "replaced", path)
        else:
            if entry.type == "unknown" or entry.typeflag in ("7", "S"):
                raise Refused("unsupported-type", f"type flag {entry.typeflag!r}", "X5")
            if entry.type == "symlink":
                check_target(entry.link or "")
            node = Node(entry, self._index)
            if existing is not None and existing.entry.type == "dir" and entry.type != "dir":
                self._remove(path, "replaced", path)
        self._put(path, node)
        if entry.xattrs and entry.type != "hardlink":
            apply_xattrs(entry.xattrs, entry.type)  # Refused for what no file can have; it is shown as it is said to be

    def _link_target(self, entry: Entry, path: str) -> Node:
        directory, _, base = clean_path(entry.link or "").rpartition("/")
        target = f"{self._tree.resolve(directory)}/{base}"
        node = self._tree.get(target) if base else None
        if not base or (node is not None and node.entry.type == "dir"):
            raise Refused("not-permitted", "a hard link to a directory", "H6")
        if node is None or f"{target}/".startswith(f"{path}/"):  # what is at the path goes first
            raise Refused("not-found", f"a hard link to {entry.link}, which is not there", "H2")
        return node

    def _make_parents(self, directory: str) -> None:
        missing: list[tuple[str, Entry]] = []
        while directory not in self._tree.dirs:
            made = implied_directory(directory)
            node = self._tree.get(directory)
            if node is not None:
                self._remove(directory, "replaced", directory)
            if node is not None and not missing:
                # umoci restores the attributes of the direct parent, also when it was no directory before.
                was = node.entry
                made = made._replace(mode=was.mode, uid=was.uid, gid=was.gid, mtime=was.mtime, xattrs=was.xattrs)
            missing.append((directory, made))
            self._tree.effort.imply(directory)
            directory = directory.rpartition("/")[0]
        for path, entry in reversed(missing):
            above = self._tree.entry(path.rpartition("/")[0])
            if entry.mtime is None and above is not None and above.mode & SET_GID:  # it hands group and bit down
                entry = entry._replace(mode=entry.mode | SET_GID, gid=above.gid)  # noqa: PLW2901 # as mkdir makes it
            self._put(path, Node(entry, self._index))

    def _put(self, path: str, node: Node) -> None:
        if self._on_change is not None:
            self._on_change(path, self._tree.get(path), "entry", path)
        self._tree.put(path, node)
        while path and path not in self._upper:
            self._upper.add(path)
            path = path.rpartition("/")[0]

    def _remove(self, path: str, cause: str, by: str) -> None:
        hear = self._on_change

        def removed(gone: str, node: Node) -> None:
            if hear is not None:
                hear(gone, node, cause, by)
            self._upper.discard(gone)

        self._tree.remove(path, removed)


def _on_disk(entry: Entry) -> Entry:
    """Owners have 32 bits on disk, symlinks no mode of their own, and attributes one of four namespaces."""
    if entry.xattrs:
        kept = {key: value for key, value in entry.xattrs.items() if key.startswith(_NAMESPACES)}
        if len(kept) < len(entry.xattrs):
            entry = entry._replace(xattrs=kept or None)
    if entry.rdev is not None:
        entry = entry._replace(rdev=cut_device(entry.rdev))
    if entry.type == "symlink" and entry.mode != 0o777:
        entry = entry._replace(mode=0o777)
    if (entry.uid | entry.gid) >> 31:  # negative numbers have bits above, too
        entry = entry._replace(uid=cut_owner(entry.uid), gid=cut_owner(entry.gid))
    return entry
