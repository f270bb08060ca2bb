"""Files of a merged view to disk, never outside of where they are meant to go.

Nothing of the destination's own is trusted: every directory on the way is opened by itself, through the descriptor of
the one above it, and never through a symlink. Contents are written under a name nobody can guess and get their own
when they are whole, so a failure leaves no half file. Symlinks are made as the image has them, and not followed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tarlayers.entry import Entry
from tarlayers.errors import DestinationRefused
from tarlayers.export import distinct_inodes, read_files
from tarlayers.image import Layer
from tarlayers.linux import MAX_TIME, SET_ID
from tarlayers.rootfs import Node, RootFS

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEVICE = (1 << 32) - 1


class Skipped(NamedTuple):
    """Something that was left out, or lost a part of itself."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What was written: names of files and links, new directories, bytes of content."""

    files: int
    directories: int
    bytes: int
    skipped: tuple[Skipped, ...]
    owners: int = 0
    """Files, links and new directories that the image gives another owner or group than they have now."""


def extract_paths(
    rootfs: RootFS,
    layers: Sequence[Layer],
    destination: str,
    *,
    wanted: Callable[[str], bool] = bool,
    force: bool = False,
    privileged: bool = False,
) -> ExtractReport:
    """Write the wanted paths below `destination`, which is made if it is not there, with the directories they need.

    Owners, devices, set-uid bits and attributes other than `user.*` are only applied if `privileged`; what is left
    out is told, owners by their number. DestinationRefused when a file is there already and `force` is off (looked at
    before anything is written), or when a directory would be reached through a symlink. OSError where the disk says no.
    """
    with suppress(FileExistsError):
        os.mkdir(destination)  # noqa: PTH102 # a path is text here, and everything below it a descriptor
    top = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _Extraction(rootfs, top, destination, force=force, privileged=privileged).run(layers, wanted)
    finally:
        os.close(top)


class _Extraction:
    """The state of extracting once."""

    def __init__(self, rootfs: RootFS, top: int, destination: str, *, force: bool, privileged: bool) -> None:
        self._rootfs = rootfs
        self._top = top
        self._destination = destination
        self._force = force
        self._privileged = privileged
        self._made: list[str] = []
        self._skipped: list[Skipped] = []
        self._files = 0
        self._bytes = 0
        self._owner = os.geteuid(), os.getegid()
        self._owners = 0

    def run(self, layers: Sequence[Layer], wanted: Callable[[str], bool]) -> ExtractReport:
        special = self._survey(wanted)
        for names, node, content in read_files(self._rootfs, layers, wanted):
            self._write(names, node.entry, partial(self._fill, names[0], node.entry, content))
        for names, node in special:
            self._make_special(names, node.entry)
        for directory in reversed(self._made):
            self._finish_directory(directory)
        return ExtractReport(self._files, len(self._made), self._bytes, tuple(self._skipped), self._owners)

    def _survey(self, wanted: Callable[[str], bool]) -> list[tuple[tuple[str, ...], Node]]:
        """Look at all that is wanted before anything is written, and make the directories that it needs. Gives what
        is neither a file nor a directory.
        """
        special: list[tuple[tuple[str, ...], Node]] = []
        needed: set[str] = set()
        conflicts: list[str] = []
        for names, node in distinct_inodes(self._rootfs, wanted):
            is_directory = node.entry.type == "dir"
            if not (is_directory or self._force):
                conflicts += filter(self._exists, names)
            if not is_directory and node.entry.type != "file":
                special.append((names, node))
            for name in names:
                _add_directories(needed, name if is_directory else name.rpartition("/")[0])
        if conflicts:
            more = f", and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""
            raise self._refuse(conflicts[0], f"exists already{more} (--force replaces files)")
        for directory in sorted(needed):  # parents before children
            self._make_directory(directory)
        return special

    # -- directories -------------------------------------------------------------------------------

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        """Open a directory of the destination, each component by itself."""
        descriptor = os.dup(self._top)
        reached = ""
        try:
            for part in path.split("/")[1:]:
                reached += f"/{part}"
                try:
                    inner = os.open(part, _OPEN_DIRECTORY, dir_fd=descriptor)
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise self._refuse(reached, "a symlink or no directory is in the way") from error
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _refuse(self, path: str, reason: str) -> DestinationRefused:
        return DestinationRefused(reason, place=f"{self._destination.rstrip('/')}{path}")

    def _exists(self, path: str) -> bool:
        parent, _, base = path.rpartition("/")
        try:
            with self._directory(parent) as at:
                os.stat(base, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _make_directory(self, path: str) -> None:
        parent, _, base = path.rpartition("/")
        with self._directory(parent) as at:
            try:
                os.mkdir(base, 0o700, dir_fd=at)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(base, dir_fd=at, follow_symlinks=False).st_mode):
                    raise self._refuse(path, "is in the way of a directory") from None
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{self._destination.rstrip('/')}{path}") from error
            else:
                self._made.append(path)

    def _finish_directory(self, path: str) -> None:
        """Modes and times of the directories that were made, once nothing is written into them any more."""
        entry = self._rootfs[path]
        with self._directory(path) as at:
            self._apply(at, path, entry)

    # -- files -------------------------------------------------------------------------------------

    def _write(self, names: tuple[str, ...], entry: Entry, make: Callable[[int, str], None]) -> None:
        """Make an inode under a name of its own, then give it the names that are wanted."""
        parent, _, base = names[0].rpartition("/")
        with self._directory(parent) as at:
            temporary = f".tarlayers-{secrets.token_hex(8)}"
            try:
                make(at, temporary)
                self._place(at, temporary, at, base, names[0])
                for name in names[1:]:
                    other_parent, _, other = name.rpartition("/")
                    with self._directory(other_parent) as beside:
                        self._place(at, base, beside, other, name)
            except OSError as error:
                if isinstance(error.filename, str) and temporary not in error.filename:
                    raise
                raise OSError(error.errno, error.strerror, f"{self._destination.rstrip('/')}{names[0]}") from error
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=at)
        self._files += len(names)
        self._bytes += entry.size

    def _place(self, source_at: int, source: str, at: int, base: str, path: str) -> None:
        """Give an inode one more name, or with `force` put it in the place of what has that name."""
        try:
            if self._force:
                spare = f".tarlayers-{secrets.token_hex(8)}"
                try:
                    os.link(source, spare, src_dir_fd=source_at, dst_dir_fd=at, follow_symlinks=False)
                    os.rename(spare, base, src_dir_fd=at, dst_dir_fd=at)
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(spare, dir_fd=at)
            else:
                os.link(source, base, src_dir_fd=source_at, dst_dir_fd=at, follow_symlinks=False)
        except FileExistsError as error:
            raise self._refuse(path, "exists already (--force replaces files)") from error
        except IsADirectoryError as error:
            raise self._refuse(path, "a directory is in the way of a file") from error

    def _fill(self, path: str, entry: Entry, content: Iterator[bytes], at: int, name: str) -> None:
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=at)
        with os.fdopen(descriptor, "wb") as out:
            for chunk in content:
                out.write(chunk)
            out.flush()
            self._apply(descriptor, path, entry)

    def _make_special(self, names: tuple[str, ...], entry: Entry) -> None:
        if entry.type in ("char", "block") and not self._privileged:
            self._skipped += [Skipped(name, "a device") for name in names]
            return
        self._write(names, entry, partial(self._make_node, entry))

    def _make_node(self, entry: Entry, at: int, name: str) -> None:
        if entry.type == "symlink":
            os.symlink(entry.link or "", name, dir_fd=at)
        elif entry.type == "fifo":
            os.mkfifo(name, 0o600, dir_fd=at)
        else:
            kind = stat.S_IFCHR if entry.type == "char" else stat.S_IFBLK
            os.mknod(
                name, kind | 0o600, os.makedev(*(number & _MAX_DEVICE for number in entry.rdev or (0, 0))), dir_fd=at
            )
        if self._privileged:
            os.chown(name, entry.uid, entry.gid, dir_fd=at, follow_symlinks=False)
        self._count_owner(entry)
        if entry.type != "symlink":
            os.chmod(name, self._mode(entry), dir_fd=at)
        if entry.mtime is not None:
            os.utime(name, ns=_times(entry.mtime), dir_fd=at, follow_symlinks=False)

    # -- attributes --------------------------------------------------------------------------------

    def _mode(self, entry: Entry) -> int:
        return entry.mode if self._privileged else entry.mode & ~SET_ID

    def _count_owner(self, entry: Entry) -> None:
        self._owners += not self._privileged and (entry.uid, entry.gid) != self._owner

    def _apply(self, descriptor: int, path: str, entry: Entry) -> None:
        """Owner first: changing it clears set-uid bits and capabilities."""
        if self._privileged:
            os.fchown(descriptor, entry.uid, entry.gid)
        elif entry.mode & SET_ID and entry.type == "file":
            self._skipped.append(Skipped(path, "its set-uid or set-gid bit"))
        self._count_owner(entry)
        os.fchmod(descriptor, self._mode(entry))
        for name, value in (entry.xattrs or {}).items():
            if not self._privileged and not name.startswith("user."):
                self._skipped.append(Skipped(path, f"its attribute {name}"))
                continue
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                self._skipped.append(Skipped(path, f"its attribute {name} ({error.strerror})"))
        if entry.mtime is not None:
            os.utime(descriptor, ns=_times(entry.mtime))


def _add_directories(needed: set[str], directory: str) -> None:
    while directory and directory not in needed:
        needed.add(directory)
        directory = directory.rpartition("/")[0]


def _times(mtime: int) -> tuple[int, int]:
    """Access and modification time as the kernel takes them; headers may say more, and Python refuses it."""
    time = max(1 - MAX_TIME, min(mtime, MAX_TIME - 1))
    return time, time
