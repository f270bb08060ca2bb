"""A tar of a directory as a tree of files, read in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tarlayers.entry import check_names, find_xattrs
from tarlayers.errors import ContentAbsent, UnsupportedInput
from tarlayers.formats import tar
from tarlayers.limits import Limits, limit_exceeded
from tarlayers.sources.archive import Archive
from tarlayers.sources.blob import Blob
from tarlayers.sources.filetree import FileStatus, join_path
from tarlayers.sources.members import clean_name

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
        if walker.weight > limits.entries:
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
