"""One layer unpacked on its own, as containerd's overlayfs snapshotter does it.

While a layer is unpacked the layers below do not exist: symlinks, link targets and directories of theirs are
invisible. Whiteouts become nodes of their own kind and opaque markers a flag, which the overlay then acts on.
The first layer is unpacked in place: there markers delete what the layer itself has created so far.

Rule numbers (W3, P2, ...) are those of docs/semantics.md. Source: containerd pkg/archive/tar.go (applyNaive,
createTarFile, mkparent, hardlinkRootPath), tar_opts_linux.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import INVALID, PREFIX, is_too_long
from tarlayers.linux import SET_GID, SHORT_NAME, SHORT_PATH
from tarlayers.merging.inode import check_target, is_whiteout_device, link_metadata, normalize
from tarlayers.merging.lower import LowerTrees
from tarlayers.merging.rootpath import find_link_target, find_root_path, name_of
from tarlayers.merging.tree import Directory, Effort, Node, Refusal, Tree, implied_directory

_ROLE = attrgetter("role")
_NO_PARENT = "?"  # no path's directory: they are empty or start with a slash
_SIMPLE = frozenset(("file", "symlink", "char", "block", "fifo"))


OnLost = Callable[[str, Node, str, str], object]
"""Hears (path, node, cause, by) of what a layer wrote and displaced or deleted again itself."""


class LayerTree(Tree):
    """What one layer's directory holds after it was unpacked."""

    def __init__(self, index: int, effort: Effort | None = None) -> None:
        super().__init__(effort=effort)
        self.dirs[""] = Directory(index, self.mark)
        self.opaque: set[str] = set()
        self.whiteouts: set[str] = set()
        """Paths of nodes that hide a lower name."""
        self.refused: list[Refusal] = []


def unpack_layer(
    entries: Iterable[Entry],
    index: int,
    lower: LowerTrees | None = None,
    on_lost: OnLost | None = None,
    effort: Effort | None = None,
) -> LayerTree:
    """Unpack one layer. `lower` holds the trees of the layers below: implied directories take their attributes from
    there (P2). Entries that the engine refuses are left out and listed in `refused`.
    """
    return _Unpacking(index, lower or LowerTrees(), on_lost, effort or Effort()).run(entries)


class _Group:
    """The names of one inode of this layer that has several."""

    def __init__(self, entry: Entry, path: str) -> None:
        self.entry = entry
        self.paths = {path: None}


class _Unpacking:
    """The state of unpacking one layer."""

    def __init__(self, index: int, lower: LowerTrees, on_lost: OnLost | None, effort: Effort) -> None:
        self._index = index
        self._lower = lower
        self._on_lost = on_lost
        self._effort = effort
        self._tree = LayerTree(index, effort)
        self._first = index == 0
        self._groups: dict[str, _Group] = {}
        self._unpacked: set[str] | None = None
        self._timed: set[str] = set()  # implied directories that still have an inherited time
        self._disturbed = False  # some entry is not where, or what, its name says
        self._late: list[Entry] = []

    def run(self, entries: Iterable[Entry]) -> LayerTree:
        entries = tuple(entries)
        if self._first and "opaque" in map(_ROLE, entries):
            self._unpacked = set()
        dirs, timed, late = self._tree.dirs, self._timed, self._late
        index, mark, simple = self._index, self._tree.mark, self._unpacked is None
        last, siblings = _NO_PARENT, None
        owner = group = time = None
        for entry in entries:
            path, kind, mode, uid, gid, _, mtime, link, _, xattrs, role, _, _, flag, _ = entry
            parent, _, base = path.rpartition("/")
            if parent != last:  # most have the parent of the one before
                last = parent
                siblings = dirs.get(parent) if simple and parent not in timed else None
            # A new name in a directory that is there: what nearly all entries are.
            if (
                siblings is not None
                # Twice as fast as a look-up. A symlink always has this mode (X3).
                and (flag == "0" or flag == "5" or (flag == "2" and link and mode == 0o777 and len(link) < SHORT_PATH))
                and role == "entry"
                and path not in siblings
                and 0 < len(base) <= SHORT_NAME
            ):
                # Numbers that are those of the entry before have been looked at: layers share them.
                if mtime is not time or uid is not owner or gid is not group or xattrs is not None:
                    # Negative numbers and those that need a closer look have bits above these.
                    if xattrs is not None or mtime is None or mtime >> 63 or (uid | gid) >> 31:
                        try:
                            entry = normalize(entry)  # noqa: PLW2901 # as the inode has it
                        except Refused as error:
                            self._refuse(entry, error, error.rule)
                            continue
                    else:
                        time, owner, group = mtime, uid, gid
                siblings[path] = entry
                if kind == "dir":
                    # What follows is in it, most often.
                    last, siblings = path, Directory(index, mark)
                    dirs[path] = siblings
                    late.append(entry)
                continue
            self._try(entry)
            last, siblings = _NO_PARENT, None  # that may have made or removed it
        self._set_late_times()
        self._finish_groups()
        return self._tree

    def _try(self, entry: Entry) -> None:
        try:
            self._take(entry)
        except Refused as error:
            self._refuse(entry, error, error.rule)

    def _refuse(self, entry: Entry, error: Refused, rule: str) -> None:
        self._tree.refused.append(Refusal(self._index, entry.path or "/", error.code, error.message, rule))

    def _take(self, entry: Entry) -> None:
        if not entry.path:
            return  # N4
        directory, _, base = entry.path.rpartition("/")
        parent = directory
        if directory not in self._tree.dirs:
            parent = find_root_path(self._tree, name_of(entry).rpartition("/")[0])
        if parent not in self._tree.dirs:
            self._make_parents(parent)
        path = f"{parent}/{base}"
        if path != entry.path:
            self._disturbed = True
        if base in INVALID:
            raise Refused("bad-whiteout", f"{base} names no file", "W10")
        if entry.role == "opaque":
            self._take_opaque(parent)
        elif entry.role == "whiteout":
            self._take_whiteout(f"{parent}/{base[len(PREFIX) :]}")
        else:
            if is_too_long(base):
                raise Refused("name-too-long", "a name of more than 255 bytes", "N5")
            self._take_node(path, entry)

    def _take_opaque(self, directory: str) -> None:
        if not self._first:
            if directory:
                self._tree.opaque.add(directory)  # O1; O4: overlayfs ignores the flag of a root
            return
        unpacked = self._unpacked if self._unpacked is not None else set()
        todo = [directory]  # B2
        while todo:
            children = list(self._tree.dirs[todo.pop()].items())
            self._effort.spend(1 + len(children))
            for path, entry in children:
                if path not in unpacked:
                    self._remove(path, "opaque", directory)
                elif entry.type == "dir":
                    todo.append(path)

    def _take_whiteout(self, path: str) -> None:
        if self._first:
            self._remove(path, "whiteout", path)  # B1
            return
        if path in self._tree.dirs or self._tree.entry(path) is not None:
            raise Refused("exists", "a whiteout of what the same layer has", "W3")
        self._put_whiteout(path)

    def _put_whiteout(self, path: str) -> None:
        self._touch(path)
        entry = Entry(path, "whiteout", 0o755, 0, 0, 0, 0, None, None, None, "entry", None, -1, "5", None)
        self._tree.put(path, Node(entry, self._index))
        self._tree.whiteouts.add(path)

    def _take_node(self, path: str, entry: Entry) -> None:
        existing = self._tree.get(path)
        if existing is not None and not (existing.entry.type == "dir" and entry.type == "dir"):
            self._remove(path, "entry", path)
            existing = None
        if entry.type == "global":
            return  # X6
        if entry.type == "hardlink":
            self._take_hard_link(path, entry)
        elif entry.type == "dir":
            self._take_directory(path, entry, existing)
        elif entry.rdev and is_whiteout_device(entry):
            normalize(entry)  # an engine sets attributes of what overlayfs takes for a whiteout, too
            self._put_whiteout(path)
        elif entry.type not in _SIMPLE or entry.typeflag in ("7", "S"):
            raise Refused("unsupported-type", f"type flag {entry.typeflag!r}", "X8" if entry.typeflag == "S" else "X5")
        elif entry.type == "symlink":
            check_target(entry.link or "")
            self._put_new(path, entry)
        else:
            self._put_new(path, entry)
        if self._unpacked is not None:
            self._unpacked.add(path)

    def _put_new(self, path: str, entry: Entry) -> None:
        self._touch(path)
        self._tree.put(path, Node(normalize(entry), self._index))

    def _take_directory(self, path: str, entry: Entry, existing: Node | None) -> None:
        entry = normalize(entry)
        self._late.append(entry)
        if existing is None:
            self._touch(path)
        elif existing.entry.xattrs:
            self._effort.spend(len(existing.entry.xattrs))
            entry = entry._replace(xattrs={**existing.entry.xattrs, **(entry.xattrs or {})})  # T2
        self._timed.discard(path)
        self._tree.put(path, Node(entry, self._index))

    def _take_hard_link(self, path: str, entry: Entry) -> None:
        target = find_link_target(self._tree, entry.link or "")  # H4
        if not target:
            raise Refused("not-permitted", "a hard link to a directory", "H6")
        node = self._tree.get(target)
        if node is None:
            raise Refused("not-found", f"a hard link to {entry.link}, which this layer does not have before it", "H2")
        if node.entry.type == "dir":
            raise Refused("not-permitted", "a hard link to a directory", "H6")
        if node.entry.type == "whiteout":
            self._put_whiteout(path)  # H3
            return
        group = self._groups.get(target)
        if group is None:
            group = self._groups[target] = _Group(node.entry, target)
        self._effort.spend(len(group.entry.xattrs or ()))
        group.entry = link_metadata(group.entry, entry)  # H7
        group.paths[path] = None
        self._groups[path] = group
        self._touch(path)
        self._tree.put(path, node)

    def _remove(self, path: str, cause: str, by: str) -> None:
        node = self._tree.get(path)
        if node is None:
            return
        self._disturbed = True
        self._touch(path)

        def lose(gone: str, lost: Node) -> None:
            self._forget(gone)
            if self._on_lost is not None:
                self._on_lost(gone, lost, cause, by)

        self._tree.remove(path, lose)

    def _forget(self, path: str) -> None:
        self._tree.whiteouts.discard(path)
        self._tree.opaque.discard(path)
        self._timed.discard(path)
        group = self._groups.pop(path, None)
        if group is not None:
            del group.paths[path]

    def _touch(self, path: str) -> None:
        """Something is made or removed here: an inherited time of the directory is gone."""
        parent = path.rpartition("/")[0]
        if parent in self._timed:
            self._timed.discard(parent)
            node = self._tree.get(parent)
            if node is not None:
                self._tree.put(parent, node._replace(entry=node.entry._replace(mtime=None)))

    def _make_parents(self, directory: str) -> None:
        missing: list[str] = []
        at = directory
        while at not in self._tree.dirs:
            node = self._tree.get(at)
            if node is not None:
                kind = node.entry.type
                raise Refused("not-a-directory", f"{at} is a {kind}", "W5" if kind == "whiteout" else "P6")
            missing.append(at)
            self._effort.imply(at)
            at = at.rpartition("/")[0]
        for path in reversed(missing):
            if is_too_long(path.rpartition("/")[2]):
                raise Refused("name-too-long", "a component of more than 255 bytes", "N5")
            self._touch(path)
            entry = self._imply(path)
            self._tree.put(path, Node(entry, self._index))
            inherited = self._inherit(path)
            if inherited is not None:
                self._tree.put(path, Node(inherited, self._index))
                self._timed.add(path)

    def _imply(self, path: str) -> Entry:
        """Make a directory that no entry lists; in one that hands its group down it has that group (P1)."""
        above = self._tree.entry(path.rpartition("/")[0])
        made = implied_directory(path)
        return made._replace(gid=above.gid) if above is not None and above.mode & SET_GID else made

    def _inherit(self, path: str) -> Entry | None:
        """Find the attributes of an implied directory: those of the next lower layer's that has it (P2)."""
        top = path[: path.find("/", 1)] if path.count("/") > 1 else path
        for tree in self._lower.search(top):
            self._effort.spend(1)
            try:
                resolved = find_root_path(tree, path)
            except Refused as error:
                rule = "P5" if error.code == "loop" else "P6"
                raise Refused(error.code, f"in a lower layer {error.message}", rule) from error
            if not resolved:
                return None
            node = tree.get(resolved)
            if node is not None:
                return node.entry._replace(path=path, offset=-1) if node.entry.type == "dir" else None
        return None

    def _set_late_times(self) -> None:
        """Set the times of listed directories once more, on whatever their names now mean (B3)."""
        if not self._disturbed:
            return
        for entry in self._late:
            try:
                path = find_root_path(self._tree, name_of(entry))
            except Refused as error:
                self._refuse(entry, error, "B3")
                continue
            node = self._tree.get(path)
            if node is None:
                if path:
                    message = "a directory that is gone when its time is set"
                    self._tree.refused.append(Refusal(self._index, entry.path, "not-found", message, "B3"))
            elif path in self._groups:
                group = self._groups[path]
                group.entry = group.entry._replace(mtime=entry.mtime)
            elif node.entry.mtime != entry.mtime:
                self._tree.put(path, node._replace(entry=node.entry._replace(mtime=entry.mtime)))

    def _finish_groups(self) -> None:
        """Give all names of an inode the one node that carries its last metadata."""
        for group in {id(group): group for group in self._groups.values()}.values():
            node = Node(group.entry, self._index)
            for path in group.paths:
                self._tree.put(path, node)
