"""Where a name leads in one unpacked layer, as continuity's `fs.RootPath` has it: containerd asks it for the parents of
every entry, for the targets of hard links and for the directories whose times it sets.

It is no walk of a kernel: it goes over the name again and again, each time as far as it gets by the targets it met, and
joins texts, so that a `..` behind a link may take away what the link's own target says. Facts (continuity fs/path.go,
walkLinks), all of them seen in containerd 1.6:

- A target is joined to the directory that the link stands in, and cleaned so; but an absolute one, and a relative one
  of a link that is the first component of a relative name, stay as they are: their `..` come after their links.
- While it goes over a target it looks at the disk, where the kernel follows links, also out of the root.
"""

from __future__ import annotations

from posixpath import normpath

from tarlayers.entry import Entry
from tarlayers.errors import Refused
from tarlayers.formats.whiteout import clean_path, clean_slashed, is_too_long
from tarlayers.linux import MAX_SYMLINKS
from tarlayers.merging.tree import COMPONENTS, MAX_LINKS, PAGE, Tree, require_short


def name_of(entry: Entry) -> str:
    """Give the path of an entry as the engine comes to it: relative, unless the tar's name is absolute or climbs."""
    name = entry.name
    absolute = name is not None and (name.startswith("/") or _clean(name).startswith("../"))
    return entry.path if absolute else entry.path[1:]


def find_root_path(tree: Tree, name: str) -> str:
    """Give the path that a name leads to, all links followed; what does not exist is kept as it is.

    Refused: more than 255 links, a component that is too long, and one below what is no directory.
    """
    path = clean_slashed(name if name.startswith("/") else f"/{name}")
    if ".." not in name:
        if path in tree.dirs:
            return path
        tree.effort.spend(path.count("/") // COMPONENTS)
        if not _meets_link(tree, path):
            return path
    return _RootPath(tree).follow(name)


def find_link_target(tree: Tree, link: str) -> str:
    """Give the path that the target of a hard link means: the last component is not followed. The root is empty."""
    head, slash, base = link.rpartition("/")
    directory = find_root_path(tree, head + slash)
    if base == "..":
        return directory.rpartition("/")[0]
    return directory if base in ("", ".") else f"{directory}/{base}"


def _meets_link(tree: Tree, path: str) -> bool:
    """Say whether a component of a path that is no directory is a symlink. Refused as above."""
    at, rest = tree.split(path)
    here = f"{at}/{rest[0]}"
    entry = tree.entry(here)
    if entry is None:
        require_short(rest)
        return False
    if entry.type == "symlink":
        return True
    if len(rest) > 1:
        _require_directory(entry, here)
    return False


class _RootPath:
    """One name that is followed in a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._links = 0
        self._absent = False
        """Nothing was where it looked last."""
        self._at = self._real = ""
        """The path that was looked up last, and the one that is without links: where the next component is sought."""

    def follow(self, name: str) -> str:
        before = -1
        while before != self._links:
            before = self._links
            name = self._walk(name)
        return clean_path(name)

    def _walk(self, name: str) -> str:
        """Go over a name once (walkLinks)."""
        parts = [part for part in name.split("/") if part]
        self._tree.effort.spend(len(parts) // COMPONENTS)
        at = ""  # clean, as far as `text` does not say otherwise
        text = None if name.startswith("/") else ""
        for i, part in enumerate(parts):
            path = clean_path(f"{text or at}/{part}") if text is not None or part in (".", "..") else f"{at}/{part}"
            target = self._read_link(path)
            if target is None:
                at, text = path, None
            elif target.startswith("/") or text == "":
                text = target
            else:
                text = _join(text or at or "/", target)
            if target is None and path and self._absent and ".." not in parts[i:]:
                return clean_path("/".join((path, *parts[i + 1 :])))  # nothing is below it
        return text or at or "/"

    def _read_link(self, path: str) -> str | None:
        """Give the target of a symlink; None for what is none, or is not there (walkLink)."""
        if self._links > MAX_LINKS:
            raise Refused("loop", "too many links", "P4")
        self._tree.effort.spend(1 + len(path) // PAGE)
        parent, _, base = path.rpartition("/")
        directory = self._real if parent == self._at else parent
        if path and directory in self._tree.dirs:
            real = f"{directory}/{base}"
            entry = self._tree.entry(real)
        else:
            real, entry = self._look_up(path)
        self._absent = entry is None
        if entry is None:
            if is_too_long(base):
                raise Refused("name-too-long", "a component of more than 255 bytes", "N5")
            return None
        if entry.type != "symlink":
            self._at, self._real = path, real
            return None
        self._links += 1
        return entry.link or ""

    def _look_up(self, path: str) -> tuple[str, Entry | None]:
        """Find what the kernel finds at a path, and its path without links; nothing that lies outside of the root."""
        rest, at, links = path.split("/")[:0:-1], "", 0
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    return "", None
                at = at.rpartition("/")[0]
                continue
            here = f"{at}/{part}"
            self._tree.effort.spend(1 + len(here) // PAGE)
            entry = self._tree.entry(here)
            if entry is None or not rest:
                return here, entry
            if entry.type != "symlink":
                _require_directory(entry, here)
                at = here
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise Refused("loop", "too many links", "P4")
            target = entry.link or ""
            if target.startswith("/"):
                return "", None
            rest.extend(reversed(target.split("/")))
        return at, None


def _require_directory(entry: Entry, path: str) -> None:
    if entry.type != "dir":
        rule = "W5" if entry.type == "whiteout" else "P6"
        raise Refused("not-a-directory", f"{path} is a {entry.type}", rule)


def _join(directory: str, name: str) -> str:
    """Go's `filepath.Join`."""
    return _clean(f"{directory}/{name}" if directory else name)


def _clean(name: str) -> str:
    """Go's `filepath.Clean`: what is relative stays so, and may climb."""
    if name.startswith("/"):
        return clean_path(name) or "/"
    return normpath(name)
