"""The merged file system: what each path is, which layer wrote it, and which names one inode has."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import overload

from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath, Refused
from tarlayers.formats.whiteout import clean_path
from tarlayers.merging.tree import Directory, Node, Refusal, Tree, implied_directory

_MANY_NAMES = 32  # of one inode: to make a tuple of the others for each would cost the square of their number

__all__ = ["Node", "Refusal", "RootFS", "differing_paths"]


class RootFS(Mapping[str, Entry]):
    """A merged file system by absolute path, the root left out. Do not change what it gives."""

    def __init__(self, tree: Tree, refused: Sequence[Refusal]) -> None:
        self._tree = tree
        self._dirs = tree.dirs
        self.refused = tuple(refused)
        """What the engine would not unpack, in layer order."""
        self._links: dict[tuple[int, int], list[str]] | None = None
        self._renamed: dict[tuple[int, int], list[str]] | None = None

    def __getitem__(self, path: str) -> Entry:
        try:
            return self._dirs[path.rpartition("/")[0]][path]
        except KeyError:
            raise KeyError(path) from None  # not the directory that is missing

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and path in self._dirs.get(path.rpartition("/")[0], ())

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._dirs.values())

    def __len__(self) -> int:
        return sum(map(len, self._dirs.values()))

    @property
    def root(self) -> Entry:
        """The root directory: 0755, owned by root, whatever the layers say of it (N4)."""
        return implied_directory("")

    @property
    def directories(self) -> Mapping[str, Directory]:
        """What each directory holds, by path; the root is the empty string."""
        return self._dirs

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Yield every path with its node, in no order that means anything."""
        for children in self._dirs.values():
            yield from children.nodes()

    def sorted_paths(self, below: str = "") -> list[str]:
        """Every path below a directory, in the order of their bytes."""
        inside = below + "/"
        return sort_paths(path for path in self if path.startswith(inside)) if below else sort_paths(self)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield every path with its node as a walk of the tree comes to it: a directory right before what is in it,
        siblings in the order of their names' bytes.
        """
        todo = [iter(self.children(""))]
        while todo:
            for path in todo[-1]:
                node = self.node(path)
                yield path, node
                if node.entry.type == "dir":
                    todo.append(iter(self.children(path)))
                    break
            else:
                todo.pop()

    def sorted_nodes(self) -> Iterator[tuple[str, Node]]:
        """Every path with its node, in the order of the paths' bytes."""
        paths = self.sorted_paths()
        return zip(paths, self.find_nodes(paths), strict=True)

    def find_nodes(self, paths: Iterable[str]) -> Iterator[Node]:
        """Yield the inodes at paths that are all there, in their order."""
        dirs, new = self._dirs, tuple.__new__
        for path in paths:
            siblings = dirs[path[: path.rfind("/")]]
            others, layer = siblings.others, siblings.layer
            yield new(Node, (siblings[path], others.get(path, layer) if others else layer))

    def children(self, path: str) -> list[str]:
        """Paths of what a directory holds, in the order of their bytes; nothing for what is no directory."""
        if path not in self._dirs:  # as walks ask, it is clean already
            path = clean_path(path)
        return sort_paths(self._dirs.get(path, ()))

    def node(self, path: str) -> Node:
        """The inode at a path; KeyError when there is none."""
        node = self.find_node(path)
        if node is None:
            raise KeyError(path)
        return node

    def find_node(self, path: str) -> Node | None:
        """The inode at a path, if there is one."""
        siblings = self._dirs.get(path[: path.rfind("/")])
        return siblings.node(path) if siblings is not None else None

    def layer_of(self, path: str) -> int:
        """The index of the layer that last wrote the path."""
        return self.node(path).layer

    def links_of(self, path: str) -> tuple[str, ...]:
        """The other visible names of the same inode, sorted."""
        return tuple(self.other_names(path, self.node(path)))

    def other_names(self, path: str, node: Node) -> Sequence[str]:
        """The other visible names of a node that is known to stand at `path`, sorted."""
        names = self.linked_names.get((id(node.entry), node.layer))
        return leave_out(names, path) if names else ()

    @property
    def linked_names(self) -> Mapping[tuple[int, int], Sequence[str]]:
        """The sorted names of every inode that has several, by the identity of its entry and its layer."""
        if self._links is None:
            self._links = find_links(self._tree)
        return self._links

    def names_of(self, layer: int, entry: Entry) -> tuple[str, ...]:
        """The visible names, sorted, of what an entry of a layer made; none where it is not visible, or a directory."""
        if self._renamed is None:
            self._renamed = {}
            for path, node in self._tree.renamed():
                self._renamed.setdefault((node.layer, node.entry.offset), []).append(path)
        names = self._renamed.get((layer, entry.offset), ())
        beside = self._dirs.get(entry.path.rpartition("/")[0])
        own = beside.get(entry.path) if beside is not None else None
        if beside is None or own is None or own.offset != entry.offset or beside.layer_of(entry.path) != layer:
            return tuple(sort_paths(names))
        return tuple(sort_paths((entry.path, *names))) if names else (entry.path,)

    @property
    def layers(self) -> frozenset[int]:
        """The layers, by index, of which something may be visible."""
        found = {children.layer for children in self._dirs.values()}
        others = (children.others.values() for children in self._dirs.values() if children.others)
        return frozenset(found.union(*others))

    def resolve(self, path: str, *, follow: bool = True) -> str:
        """Follow symlinks inside the image; with `follow` off not that of the last component.

        NoSuchPath when the path is not there, as a kernel has it (a link to `file/` leads nowhere), or there are too
        many links.
        """
        tree = Tree()
        tree.dirs = self._dirs
        try:
            if follow:
                found = tree.resolve(path, exact=True)
            else:
                parent, _, base = path.rpartition("/")
                found = f"{tree.resolve(parent, exact=True)}/{base}" if base else ""
        except Refused as error:
            missed = ", not a directory" if error.code == "not-a-directory" else ""
            raise NoSuchPath(f"{error.message}{missed}", place=path) from error
        if found and found not in self:
            raise NoSuchPath(
                "not in the image" if found == path else f"leads to {found}, which is not there", place=path
            )
        return found

    def resolve_parents(self, path: str) -> str:
        """Follow the symlinks among the parents of a path, of which the lowest, and it itself, need not be there."""
        head, rest = path, ""
        while head:
            head, _, base = head.rpartition("/")
            rest = f"/{base}{rest}"
            try:
                return self.resolve(head) + rest
            except NoSuchPath:
                continue
        return path


class OtherNames(Sequence[str]):
    """The sorted names of an inode but for one of them, told apart when they are looked at."""

    def __init__(self, names: Sequence[str], path: str) -> None:
        self._names = names
        self._at = bisect_left(names, path_key(path), key=path_key)

    def __len__(self) -> int:
        return len(self._names) - 1

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        at = range(len(self))[at]
        return self._names[at + (at >= self._at)]


def leave_out(names: Sequence[str], path: str) -> Sequence[str]:
    """Give the sorted names of an inode without `path`, which is one of them."""
    if len(names) > _MANY_NAMES:
        return OtherNames(names, path)
    return tuple(name for name in names if name != path)


def path_key(path: str) -> bytes:
    """Sort key: the bytes of a path."""
    return path.encode("utf-8", "surrogateescape")


def sort_paths(paths: Iterable[str]) -> list[str]:
    """Sort by bytes. Strings sort like the bytes of their UTF-8, at a fifth of the cost of making those, as long as
    none has bytes that are not UTF-8.
    """
    found = list(paths)
    found.sort(key=None if all(map(_is_unicode, found)) else path_key)
    return found


def sort_as_walk(paths: Iterable[str]) -> list[str]:
    """Sort as a walk comes to them: a directory right before what is in it, siblings by bytes. By the bytes of whole
    paths `/a.b` stands between `/a` and `/a/x`.
    """
    found = list(paths)
    key = _walk_text if all(map(_is_unicode, found)) else _walk_bytes
    found.sort(key=key)
    return found


def _walk_text(path: str) -> str:
    return path.replace("/", "\0")


def _walk_bytes(path: str) -> bytes:
    return path_key(path).replace(b"/", b"\0")


def _is_unicode(path: str) -> bool:
    """Say whether no byte of a path had to be escaped as a surrogate."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_links(tree: Tree) -> dict[tuple[int, int], list[str]]:
    """Give the sorted names of every inode that has several, by the identity of its entry and its layer."""
    names: dict[tuple[int, int], list[str]] = {}
    for path, node in tree.renamed():
        inode = id(node.entry), node.layer
        if inode not in names:
            own = tree.get(node.entry.path)
            names[inode] = [node.entry.path] if node.is_same(own) else []
        names[inode].append(path)
    return {inode: sorted(found, key=path_key) for inode, found in names.items() if len(found) > 1}


def differing_paths(old: RootFS, new: RootFS) -> Iterator[str]:
    """Yield the paths whose nodes are not the same object in both, in no order that means anything."""
    a, b = old.directories, new.directories
    for directory, left in a.items():
        right = b.get(directory)
        if right is None:
            yield from left
        elif left is not right:
            for path, entry in left.items():
                if right.get(path) is not entry or right.layer_of(path) != left.layer_of(path):
                    yield path
            yield from (path for path in right if path not in left)
    for directory, right in b.items():
        if directory not in a:
            yield from right
