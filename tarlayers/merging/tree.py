"""A file tree as layers are unpacked into it: directories by path, each with its children by path.

Paths are absolute and resolved; the root is the empty string, so that the parent of a path is what stands
before its last slash. Removing costs what is removed, nothing is ever copied whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import is_too_long
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded
from tarlayers.linux import SHORT_NAME

MAX_LINKS = 255  # continuity fs/path.go: RootPath gives up beyond them
PAGE = 4096  # bytes that are copied in about the time of one step
COMPONENTS = 4  # of a path that are split, looked at and joined again in the time of one step


class Refusal(NamedTuple):
    """Why an engine would not unpack a layer."""

    layer: int
    path: str
    code: str
    """`exists`, `not-a-directory`, `not-found`, `not-permitted`, `bad-whiteout`, `loop`, `name-too-long`,
    `unsupported-type`; of a whole blob `bad-compression`, `bad-media-type`."""
    message: str
    rule: str
    """Of docs/semantics.md."""


class Node(NamedTuple):
    """An inode: what it is, and the layer that wrote it. Made when asked for: a tree keeps none (64 bytes a path)."""

    entry: Entry
    layer: int

    def is_same(self, other: Node | None) -> bool:
        """Say whether both are one inode. Names of one hold the same Entry object; two layers that are one blob
        have their entries in common.
        """
        return other is not None and self.entry is other.entry and self.layer == other.layer


class Directory(dict[str, Entry]):
    """What one directory holds, by path. Nearly all of it was written by one layer, so only others are noted."""

    __slots__ = ("layer", "others", "owner")

    def __init__(self, layer: int, owner: object = None) -> None:
        # dict's own would only be told that there is nothing to hold: three times as slow, and there are many.
        self.layer = layer
        """That wrote what is not in `others`."""
        self.others: dict[str, int] | None = None
        """Who wrote the rest, if it was not all of it: an empty dict for each directory would cost time and memory."""
        self.owner = owner
        """The mark of the tree that may change it: others hold it as well, and copy it when they are to change it."""

    def layer_of(self, path: str) -> int:
        """Give the layer that wrote a path."""
        return self.others.get(path, self.layer) if self.others else self.layer

    def node(self, path: str) -> Node | None:
        """Give the inode at a path."""
        entry, others = self.get(path), self.others
        if entry is None:
            return None
        return tuple.__new__(Node, (entry, others.get(path, self.layer) if others else self.layer))

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Yield each path with its inode."""
        others, layer = self.others, self.layer
        for path, entry in self.items():
            yield path, Node(entry, others.get(path, layer) if others else layer)

    def put(self, path: str, node: Node) -> None:
        """Set what a path is."""
        self[path] = node.entry
        self._note(node.layer, (path,))

    def lay(self, upper: Directory) -> None:
        """Let what one layer wrote take the place of what was here."""
        self.update(upper)
        self._note(upper.layer, upper)

    def _note(self, layer: int, paths: Iterable[str]) -> None:
        """Note who wrote these."""
        if layer != self.layer:
            noted = dict.fromkeys(paths, layer)
            if self.others:
                self.others.update(noted)
            else:
                self.others = noted
        elif self.others:
            for path in paths:
                self.others.pop(path, None)

    def take(self, path: str) -> Node:
        """Remove a path that is there, and give what it was."""
        entry = self.pop(path)
        return Node(entry, self.others.pop(path, self.layer) if self.others else self.layer)

    def twin(self, owner: object) -> Directory:
        """Give a copy, to be changed by another tree."""
        copied = Directory(self.layer, owner)
        copied.update(self)
        copied.others = self.others and self.others.copy()
        return copied


class Effort:
    """What one merge has cost so far beyond one look at each entry. Small layers can ask for a great deal: links that
    lead through links, names of thousands of directories, markers that look through a large directory again and again.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        """Of the layer that is being merged."""
        self._steps = 0
        self._implied = 0
        self._entries = 0

    def spend(self, steps: int) -> None:
        """Take note of steps; LimitExceeded when they are too many."""
        self._steps += steps
        if self._steps > self.limits.merge_steps:
            raise limit_exceeded(self.limits, "merge_steps", "more work to merge than is allowed")

    def imply(self, path: str) -> None:
        """Take note of a directory that only its children imply; LimitExceeded when their names are too long."""
        self._implied += len(path)
        if self._implied > self.limits.implied_bytes:
            raise limit_exceeded(self.limits, "implied_bytes", "longer names of unlisted directories than are allowed")

    def take_entries(self, count: int) -> None:
        """Take note of a layer's entries; LimitExceeded when an image has too many."""
        self._entries += count
        if self._entries > self.limits.image_entries:
            raise limit_exceeded(self.limits, "image_entries", "more entries in all layers than are allowed")


class Tree:
    """A mutable tree of nodes."""

    def __init__(self, origin: Tree | None = None, effort: Effort | None = None) -> None:
        """Start empty, or as `origin` is now, which must not change afterwards. Directories of it are copied when
        they are first written to: those that two trees of one origin leave alone are one object in both.
        """
        self.effort = effort or Effort()
        self.mark: object = object()  # not the tree itself, which would hold itself then, collected or not
        self.dirs: dict[str, Directory] = dict(origin.dirs) if origin is not None else {"": Directory(0, self.mark)}
        self._strays: dict[str, None] = {}
        self.strays: list[dict[str, None]] = [*(origin.strays if origin is not None else ()), self._strays]
        """Paths at which something was put that another path's entry told of, by the tree that it was put into: few
        are, and to look for them among all takes as long as a tenth of the merge.
        """

    def own(self, directory: str) -> Directory:
        """Give the children of a directory to be changed."""
        children = self.dirs[directory]
        if children.owner is not self.mark:
            children = self.dirs[directory] = children.twin(self.mark)
        return children

    def get(self, path: str) -> Node | None:
        """Give the node at a resolved path; None when there is none (or it is the root)."""
        siblings = self.dirs.get(path.rpartition("/")[0])
        return siblings.node(path) if siblings else None

    def entry(self, path: str) -> Entry | None:
        """Give what is at a resolved path, whoever wrote it."""
        siblings = self.dirs.get(path.rpartition("/")[0])
        return siblings.get(path) if siblings else None

    def split(self, path: str) -> tuple[str, list[str]]:
        """Give the longest beginning of a path that is a directory, and the components behind it.

        Each look takes as long as the path is, so that there are few: a directory's parents are directories.
        """
        parts = path.split("/")
        known = bisect_left(range(len(parts)), True, key=lambda last: "/".join(parts[: last + 1]) not in self.dirs)
        return "/".join(parts[:known]), parts[known:]

    def renamed(self) -> Iterator[tuple[str, Node]]:
        """Yield what is not where its entry says: all names of an inode but one, and what stands below symlinks. In no
        order that means anything.
        """
        for path in {path: None for strays in self.strays for path in strays}:
            node = self.get(path)
            if node is not None and node.entry.path != path:
                yield path, node

    def put(self, path: str, node: Node) -> None:
        """Set the node at a path whose parent is a directory; a directory starts empty."""
        self.own(path.rpartition("/")[0]).put(path, node)
        if node.entry.path != path:
            self._strays[path] = None
        if node.entry.type == "dir" and path not in self.dirs:
            self.dirs[path] = Directory(node.layer, self.mark)

    def remove(self, path: str, on_remove: Callable[[str, Node], object] | None = None) -> None:
        """Remove what is at the path, and all below it; `on_remove` hears of every path."""
        parent = path.rpartition("/")[0]
        if path not in self.dirs[parent]:
            return
        node = self.own(parent).take(path)
        if on_remove is not None:
            on_remove(path, node)
        if node.entry.type == "dir":
            self.clear(path, on_remove)
            del self.dirs[path]

    def clear(self, directory: str, on_remove: Callable[[str, Node], object] | None = None) -> None:
        """Remove all that is below a directory."""
        todo = [directory]
        while todo:
            at = todo.pop()
            children = self.dirs[at]
            for path, entry in children.items():
                if on_remove is not None:
                    on_remove(path, Node(entry, children.layer_of(path)))
                if entry.type == "dir":
                    todo.append(path)
            if at is directory:
                self.dirs[at] = Directory(children.layer, self.mark)
            else:
                del self.dirs[at]

    def resolve(self, path: str, *, strict: bool = True, exact: bool = False) -> str:
        """Follow every symlink of an absolute path inside the tree, as umoci does; if `exact` as the kernel does in a
        container, to which nothing is behind what does not exist: no `..` takes it away.

        What does not exist is kept as it is.
        Refused: more than 255 links, a name too long, and if `strict` a component below what is no directory.
        """
        if path in self.dirs:
            return path
        links = 0
        at, rest = self.split(path)
        rest.reverse()
        while rest:
            part = rest.pop()
            if part == "..":
                at = at.rpartition("/")[0]
                continue
            if part == ".":
                continue
            here = f"{at}/{part}"
            entry = self.entry(here)
            kind = entry.type if entry is not None else ""
            if entry is not None and kind == "symlink":
                links += 1
                if links > MAX_LINKS:
                    raise Refused("loop", "too many links", "P4")
                target = entry.link or ""
                more = [word for word in target.split("/") if word not in ("", ".")]
                if target.endswith(("/", "/.")):
                    more.append(".")  # only a directory has it
                # A target is looked through, and each component makes a path as long as all before it.
                self.effort.spend(1 + target.count("/") + len(more) * (len(at) + len(target)) // PAGE)
                rest.extend(reversed(more))
                if target.startswith("/"):
                    at = ""
                continue
            if strict and rest and kind not in ("", "dir"):
                raise Refused("not-a-directory", f"{here} is a {kind}", "W5" if kind == "whiteout" else "P6")
            if is_too_long(part):
                raise Refused("name-too-long", "a component of more than 255 bytes", "N5")
            if not kind and (exact or ".." not in rest):
                self.effort.spend(len(rest) // COMPONENTS)
                if not exact:
                    require_short(rest)
                return "/".join((here, *(part for part in reversed(rest) if exact or part != ".")))
            at = here
        return at


def require_short(parts: Sequence[str]) -> None:
    """Refused for a component of more than 255 bytes."""
    if max(map(len, parts), default=0) > SHORT_NAME and any(map(is_too_long, parts)):
        raise Refused("name-too-long", "a component of more than 255 bytes", "N5")


def implied_directory(path: str) -> Entry:
    """The directory that an engine makes for a child whose parent no entry lists (P1)."""
    return Entry(path, "dir", 0o755, 0, 0, 0, None, None, None, None, "entry", None, -1, "5", None)
