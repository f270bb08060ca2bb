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

from tarlayers.entry import check_names, find_xattrs
from tarlayers.errors import ContentAbsent, UnsupportedInput
from tarlayers.formats import tar
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.sources.archive import Archive
from tarlayers.sources.blob import Blob
from tarlayers.sources.members import clean_name

_HOPS = 40  # ELOOP of Linux
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}
_TAR_KINDS = {
    b"0": "file",
    b"7": "file",
    b"S": "file",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "dir",
    b"6": "fifo",
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

    def _at(self, path: str) -> str:
        """Give where a path is read."""
        return f"{self._absolute}/{path}" if path else self._absolute

    def _place(self, path: str) -> str:
        """Give what errors call a path."""
        return f"{self.path}/{path}" if path else self.path

    def names(self, path: str) -> tuple[str, ...]:
        """List a directory."""
        try:
            return tuple(sorted(os.listdir(self._at(path))))  # noqa: PTH208 # names alone are wanted
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise ContentAbsent(error.strerror or str(error), place=self._place(path)) from error

    def status(self, path: str) -> FileStatus | None:
        """Ask lstat."""
        try:
            found = os.lstat(self._at(path))
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
        try:
            return os.readlink(self._at(path))  # noqa: PTH115 # text with surrogates, as it stands
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


# -- a tar -----------------------------------------------------------------------------------------


class _Kept(NamedTuple):
    """A member of the tar, as far as it is needed."""

    status: FileStatus
    target: str
    xattrs: Mapping[str, bytes]
    start: int
    """Where its content begins in the tar."""
    sparse: bool


_NOTHING: Mapping[str, bytes] = {}
_IMPLIED = _Kept(FileStatus("dir", 0o755, 0, 0, 0, 0, None, None), "", _NOTHING, 0, False)


class TarTree:
    """A tar of a directory, read in place: its headers once, contents when they are asked for."""

    def __init__(self, whole: Blob, files: Mapping[str, _Kept], children: Mapping[str, list[str]], root: str) -> None:
        self.path = whole.name
        self._whole = whole
        self._files = files
        self._children = children
        self._root = root

    def _at(self, path: str) -> str:
        return join_path(self._root, path) if path else self._root

    def names(self, path: str) -> tuple[str, ...]:
        """List a directory."""
        return tuple(sorted(self._children.get(self._at(path), ())))

    def status(self, path: str) -> FileStatus | None:
        """Give what the header says."""
        found = self._files.get(self._at(path))
        return found.status if found is not None else None

    def target(self, path: str) -> str:
        """Give the link's target."""
        return self._files[self._at(path)].target

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Give what the tar carries (`tar --xattrs`)."""
        return self._files[self._at(path)].xattrs

    def blob(self, path: str) -> Blob:
        """Give the file, read from the tar."""
        found = self._files.get(self._at(path))
        if found is None or found.status.kind != "file":
            reason = "not there" if found is None else f"is a {found.status.kind}, not a file"
            raise ContentAbsent(reason, place=path)
        return Blob(path, found.status.size, _slice(path, found, self._whole))

    def below(self, path: str) -> TarTree:
        """Give the tree of a subdirectory."""
        return TarTree(self._whole, self._files, self._children, self._at(path))


def read_tar_tree(archive: Archive, limits: Limits) -> TarTree:
    """Read the headers of an uncompressed tar of a directory."""
    whole = archive.whole
    if whole is None:
        raise ValueError("the archive is no tar")
    walker = tar.Walker(tar.SeekFeed(whole.read_at, whole.size), limits=limits)
    files: dict[str, _Kept] = {}
    for count, member in enumerate(walker):
        if count > limits.entries:
            raise limit_exceeded(limits, "entries", "more entries than are allowed", place=whole.name)
        check_names((member,), limits)
        name = clean_name(member.name)
        if member.typeflag == b"1":
            target = clean_name(member.linkname)
            if target in files:  # a link to what the copy left out is a file that it lacks
                first = files[target]
                files[name] = files[target] = first if first.status.inode else _share(first, count)
        elif member.typeflag in _TAR_KINDS:
            files[name] = _keep(member, walker.data_offset)
    files[""] = _IMPLIED
    return TarTree(whole, files, _list_children(files, limits), "")


def _share(first: _Kept, number: int) -> _Kept:
    return first._replace(status=first.status._replace(inode=number + 1))


def _keep(member: tar.Member, start: int) -> _Kept:
    kind = _TAR_KINDS[member.typeflag]
    return _Kept(
        status=FileStatus(
            kind=kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            size=member.size if kind == "file" else 0,
            mtime=member.mtime,
            rdev=(member.devmajor, member.devminor) if kind in ("char", "block") else None,
            inode=None,
        ),
        target=member.linkname.decode("utf-8", "surrogateescape"),
        xattrs=(find_xattrs(member.pax) if member.pax else None) or _NOTHING,
        start=start,
        sparse=member.sparse is not None,
    )


def _slice(name: str, kept: _Kept, whole: Blob) -> Callable[[int, int], bytes]:
    start, size, sparse = kept.start, kept.status.size, kept.sparse

    def read_at(offset: int, count: int) -> bytes:
        if sparse:
            raise UnsupportedInput("a sparse file of the copy; pack it again without --sparse", place=name)
        return whole.read_at(start + offset, max(0, min(count, size - offset)))

    return read_at


def _list_children(files: dict[str, _Kept], limits: Limits) -> dict[str, list[str]]:
    """Map each directory to the names in it; directories that only their contents imply are added to `files`."""
    implied = 0
    for path in list(files):
        parent = path.rpartition("/")[0]
        while parent not in files:
            files[parent] = _IMPLIED
            implied += len(parent)
            if implied > limits.implied_bytes:
                what = "longer names of unlisted directories than are allowed"
                raise limit_exceeded(limits, "implied_bytes", what)
            parent = parent.rpartition("/")[0]
    children: dict[str, list[str]] = {}
    for path in files:
        if path:
            parent, _, base = path.rpartition("/")
            children.setdefault(parent, []).append(base)
    return children
