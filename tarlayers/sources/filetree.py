"""A tree of files as a copied data root comes: a directory, or a tar of one. Nothing is ever written to it.

Both answer the same questions, so that what reads a data root asks them of either. Paths are relative, with
`/` between components and no `.` or `..`; a symlink is never followed unless `resolve_path` is asked to, and then
it stays inside the tree. A tar that was made with `--xattrs` by root keeps devices and `trusted.` attributes;
of a directory `trusted.` attributes are shown to root alone, and a copy made by somebody else has lost both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from tarlayers.errors import ContentAbsent
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.sources.blob import Blob

_HOPS = 40  # ELOOP of Linux
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


class FileStatus(NamedTuple):
    """What `lstat` says of a file."""

    kind: str
    """`file dir symlink char block fifo`, or `socket`."""
    mode: int
    uid: int
    gid: int
    size: int
    """Of a regular file; 0 for all else."""
    mtime: int
    """Nanoseconds since the epoch."""
    rdev: tuple[int, int] | None
    inode: object
    """Equal for all names of one inode; None when there is but one name."""


class FileTree(Protocol):
    """Files by path."""

    @property
    def path(self) -> str:
        """Where the tree lies, as a user knows it."""

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a directory, sorted; none for what is no directory. ContentAbsent when it may not be read."""

    def status(self, path: str) -> FileStatus | None:
        """Give what is there, symlinks not followed; None when nothing is."""

    def target(self, path: str) -> str:
        """Give where a symlink points, as it stands."""

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Extended attributes, as far as they can be read."""

    def blob(self, path: str) -> Blob:
        """Give a regular file's bytes; ContentAbsent when there is none."""

    def below(self, path: str) -> FileTree:
        """Give the tree whose root is one of this tree's directories."""


def join_path(base: str, name: str) -> str:
    """Put a name below a directory."""
    return f"{base}/{name}" if base else name


def read_small(tree: FileTree, path: str, limits: Limits, bound: str = "document_bytes") -> bytes | None:
    """Read a whole file; None when there is none, LimitExceeded when it is larger than `bound` lets it be."""
    found = tree.status(path)
    if found is None or found.kind != "file":
        return None
    if found.size > getattr(limits, bound):
        raise limit_exceeded(limits, bound, f"a document of {found.size} bytes", place=path)
    return b"".join(tree.blob(path).chunks())


def is_directory(tree: FileTree, path: str) -> bool:
    """Say whether there is a directory at a path, and no symlink on the way to it."""
    parts = path.split("/")
    found = (tree.status("/".join(parts[:count])) for count in range(1, len(parts) + 1))
    return all(each is not None and each.kind == "dir" for each in found)


def resolve_path(tree: FileTree, base: str, path: str, *, follow: bool = False) -> str | None:
    """Follow the symlinks of `path` below the directory `base`, which stands for the root; None when it leads nowhere.

    That of the last component is followed only with `follow`.
    """
    at: list[str] = []
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    hops = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del at[-1:]
            continue
        here = "/".join((base, *at, part)) if base else "/".join((*at, part))
        found = tree.status(here)
        if found is None:
            return None
        if found.kind == "symlink" and (todo or follow):
            hops += 1
            target = tree.target(here)
            if hops > _HOPS:
                return None
            if target.startswith("/"):
                at.clear()
            todo.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            continue
        at.append(part)
    return "/".join((base, *at)) if base else "/".join(at)


def walk_files(tree: FileTree, base: str) -> Iterator[tuple[str, FileStatus]]:
    """Yield all that is below a directory with paths relative to it, each directory before what it holds."""
    todo = [""]
    while todo:
        at = todo.pop()
        below: list[str] = []
        for name in tree.names(join_path(base, at) if at else base):
            path = join_path(at, name)
            found = tree.status(join_path(base, path))
            if found is None:
                continue
            yield path, found
            if found.kind == "dir":
                below.append(path)
        todo.extend(reversed(below))


# -- a directory -----------------------------------------------------------------------------------


class DirectoryTree:
    """A directory of this machine, wherever this process goes meanwhile."""

    def __init__(self, path: str, absolute: str | None = None) -> None:
        self.path = path
        self._absolute = absolute or str(Path(path).absolute())  # as it is written: `..` may lead out of a symlink
        self._entered = ""

    def _at(self, path: str) -> str:
        """Give where a path is read; ContentAbsent when a directory on the way is a symlink: it may lead out."""
        above = path.rpartition("/")[0]
        if not f"{self._entered}/".startswith(f"{above}/") and above:
            self._enter(above)
        return f"{self._absolute}/{path}" if path else self._absolute

    def _enter(self, directory: str) -> None:
        """Look at each part of the way to a directory, and keep it: the next path mostly is in the same."""
        at = ""
        for part in directory.split("/"):
            at = join_path(at, part)
            try:
                kind = stat.S_IFMT(os.lstat(f"{self._absolute}/{at}").st_mode)
            except (OSError, ValueError):
                return  # who asks for what is in it is told why that cannot be
            if kind == stat.S_IFLNK:
                raise ContentAbsent("is a symlink, and none is followed out of a data root", place=self._place(at))
        self._entered = directory

    def _place(self, path: str) -> str:
        """Give what errors call a path."""
        return f"{self.path}/{path}" if path else self.path

    def names(self, path: str) -> tuple[str, ...]:
        """List a directory."""
        at = self._at(path)
        if path and os.path.islink(at):  # noqa: PTH114 # the root itself may be one
            return ()
        try:
            return tuple(sorted(os.listdir(at)))  # noqa: PTH208 # names alone are wanted
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=self._place(path)) from error

    def status(self, path: str) -> FileStatus | None:
        """Ask lstat."""
        at = self._at(path)
        try:
            found = os.lstat(at)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ContentAbsent(reason, place=self._place(path)) from error
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "socket")
        device = kind in ("char", "block")
        return FileStatus(
            kind=kind,
            mode=found.st_mode & 0o7777,
            uid=found.st_uid,
            gid=found.st_gid,
            size=found.st_size if kind == "file" else 0,
            mtime=found.st_mtime_ns,
            rdev=(os.major(found.st_rdev), os.minor(found.st_rdev)) if device else None,
            inode=(found.st_dev, found.st_ino) if found.st_nlink > 1 and kind != "dir" else None,
        )

    def target(self, path: str) -> str:
        """Ask readlink."""
        at = self._at(path)
        try:
            return os.readlink(at)  # noqa: PTH115 # text with surrogates, as it stands
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=self._place(path)) from error

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Read what this user may see; file systems without attributes have none."""
        at = self._at(path)
        try:
            return {name: os.getxattr(at, name, follow_symlinks=False) for name in _list_xattrs(at)}
        except OSError:
            return {}

    def blob(self, path: str) -> Blob:
        """Give the file."""
        found = self.status(path)
        if found is None or found.kind != "file":
            raise ContentAbsent("not there" if found is None else f"is a {found.kind}, not a file", place=path)
        return Blob(path, found.size, _read_file(self._at(path), self._place(path)))

    def below(self, path: str) -> DirectoryTree:
        """Give the tree of a subdirectory."""
        return DirectoryTree(self._place(path), self._at(path))


def _list_xattrs(path: str) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def _read_file(path: str, place: str) -> Callable[[int, int], bytes]:
    """Read a file that is opened for each read: a root has more files than a process may hold open."""

    def read_at(offset: int, count: int) -> bytes:
        try:
            # Never through a symlink, and never waiting for what might have become a pipe.
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return os.pread(opened, count, offset)
            finally:
                os.close(opened)
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=place) from error

    return read_at
