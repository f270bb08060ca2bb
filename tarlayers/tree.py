"""A file tree as layers are unpacked into it: directories by path, each with its children by path.

Paths are absolute and resolved; the root is the empty string, so that the parent of a path is what stands
before its last slash. Removing costs what is removed, nothing is ever copied whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tarlayers.errors import Refused
from tarlayers.formats.whiteout import clean_path
from tarlayers.layer import Entry

MAX_LINKS = 255  # continuity fs/path.go: RootPath gives up beyond them
NAME_MAX = 255  # bytes of one component on every Linux file system


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
    """An inode: what it is, and the layer that wrote it. Names that hold the same Node are hard links."""

    entry: Entry
    layer: int


class Tree:
    """A mutable tree of nodes."""

    def __init__(self) -> None:
        self.dirs: dict[str, dict[str, Node]] = {"": {}}

    def get(self, path: str) -> Node | None:
        """Give the node at a resolved path; None when there is none (or it is the root)."""
        siblings = self.dirs.get(path.rpartition("/")[0])
        return siblings.get(path) if siblings else None

    def put(self, path: str, node: Node) -> None:
        """Set the node at a path whose parent is a directory; a directory starts empty."""
        self.dirs[path.rpartition("/")[0]][path] = node
        if node.entry.type == "dir":
            self.dirs.setdefault(path, {})

    def remove(self, path: str, on_remove: Callable[[str, Node], object] | None = None) -> None:
        """Remove what is at the path, and all below it; `on_remove` hears of every path."""
        node = self.dirs[path.rpartition("/")[0]].pop(path, None)
        if node is None:
            return
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
            for path, node in self.dirs[at].items():
                if on_remove is not None:
                    on_remove(path, node)
                if node.entry.type == "dir":
                    todo.append(path)
            if at is directory:
                self.dirs[at] = {}
            else:
                del self.dirs[at]

    def resolve(self, path: str, *, strict: bool = True) -> str:
        """Follow every symlink of an absolute path inside the tree, as continuity's RootPath does.

        What does not exist is kept as it is; a link's target is cleaned textually before it is followed.
        Refused: more than 255 links, a name too long, and if `strict` a component below what is no directory.
        """
        if path in self.dirs:
            return path
        links = 0
        at, rest = "", path.split("/")[1:] if path else []
        rest.reverse()
        while rest:
            part = rest.pop()
            here = f"{at}/{part}"
            node = self.get(here)
            kind = node.entry.type if node is not None else ""
            if node is not None and kind == "symlink":
                links += 1
                if links > MAX_LINKS:
                    raise Refused("loop", "too many links", "P4")
                target = node.entry.link or ""
                if not target.startswith("/"):
                    target = f"{at}/{target}"
                rest.extend(reversed(clean_path(target).split("/")[1:]))
                at = ""
                continue
            if strict and rest and kind not in ("", "dir"):
                raise Refused("not-a-directory", f"{here} is a {kind}", "W5" if kind == "whiteout" else "P6")
            if is_too_long(part):
                raise Refused("name-too-long", "a component of more than 255 bytes", "N5")
            at = here
        return at


def is_too_long(base: str) -> bool:
    """Say whether a component has more bytes than a file system takes."""
    return len(base) > NAME_MAX // 4 and len(base.encode("utf-8", "surrogateescape")) > NAME_MAX


def implied_directory(path: str) -> Entry:
    """The directory that an engine makes for a child whose parent no entry lists (P1)."""
    return Entry(path, "dir", 0o755, 0, 0, 0, None, None, None, None, "entry", None, -1, "5", None)
