"""A directory that keeps what was found in layers, by the digests of their blobs, for the next run.

Nothing here raises: what cannot be read is not there, what cannot be written is left out. Processes need no lock,
for a file gets its name when it is whole, and says by its own checksum whether it still is.

Two kinds of names: `sha256-<hex>` holds the parts kept of one layer; `at-<hex>` is a symlink to one, named after
the place where the blob with that digest was read and hashed. docs/cache.md says why that can be trusted.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput
from tarlayers.sources.blob import Origin

VERSION = "v1"
"""Of all that is in the files. Another one is another directory."""
MOST_BYTES = 512 << 20
PARTS = ("entries", "contents")
"""What a file keeps of a layer, each with a checksum of its own: one can be read, or renewed, without the other."""

# To read a blob of 1 KiB takes half as long as to keep what was found in it, and twice as long as to look that up.
_LEAST_BYTES = 1 << 10
# Linux stamps files with a clock of 1 to 10 ms, FAT with one of 2 s: what was written a moment ago may be written
# once more and keep its times (git calls such files racy).
_SETTLED_SECONDS = 2.0
# A file or link costs its inode, whatever is in it.
_INODE_BYTES = 512
_MAGIC = b"tarlayer"
_HEADER = struct.Struct("<8sQ32sQ32s")
_NAME = r"(sha256|sha512)-[0-9a-f]{64,128}|at-[0-9a-f]{64}|new-[a-z0-9_]{8}"
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This file marks a cache directory of tarlayers, which backups may leave out (https://bford.info/cachedir/).
"""


class CacheUsage(NamedTuple):
    """How much is kept, or was removed."""

    layers: int
    bytes: int
    """Of all files, without what the file system adds."""


class LayerCache:
    """The cache in one directory, which is made when something is first kept.

    At most `most_bytes` are kept, those that were used last, of blobs of `least_bytes` or more. A file is known again
    by where it is once its times are `settled` seconds old. `tell` hears, once, why the cache is of no use.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        most_bytes: int = MOST_BYTES,
        least_bytes: int = _LEAST_BYTES,
        settled: float = _SETTLED_SECONDS,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.path = Path(path)
        self.most_bytes = most_bytes
        self.least_bytes = least_bytes
        """Of a blob that is worth it."""
        self._settled_ns = int(settled * 1e9)
        self._tell = tell or (lambda _: None)
        self._files = self.path / VERSION
        self._unswept = most_bytes
        self._made = False
        self.problem = _distrust(self.path) or _distrust(self._files)
        """Why nothing is read or written here; None where it is."""
        self.served: set[Digest] = set()
        """The layers that a store took from here."""
        if self.problem:
            self._tell(self.problem)
        self._frozen = self.problem is not None

    # -- places ----------------------------------------------------------------------------------------

    def find(self, origin: Origin) -> Digest | None:
        """Give the digest of the blob that was hashed at this place, if nothing was written there since."""
        if self.problem:
            return None
        link = self._place(origin)
        try:
            digest = _parse_name(os.readlink(link))  # noqa: PTH115 # a Path of it costs more than the call
        except (OSError, MalformedInput):
            return None
        _touch(link)
        return digest

    def remember(self, origin: Origin, digest: Digest) -> None:
        """Note which digest was computed of the bytes at a place."""
        if time.time_ns() - max(origin.mtime_ns, origin.ctime_ns) < self._settled_ns or not self._prepare():
            return
        link = self._place(origin)
        try:
            with suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(_name(digest))
        except FileExistsError:  # another process was as fast
            pass
        except OSError as error:
            self._give_up(error)

    def _place(self, origin: Origin) -> Path:
        key = " ".join(map(str, origin)).encode()
        return self._files / f"at-{hashlib.sha256(key).hexdigest()}"

    # -- layers ----------------------------------------------------------------------------------------

    def __contains__(self, digest: Digest) -> bool:
        return not self.problem and (self._files / _name(digest)).is_file()

    def read(self, digest: Digest, part: str) -> bytes | None:
        """Give one part of what is kept of a layer; None where it is not there, or is damaged."""
        if self.problem:
            return None
        path = self._files / _name(digest)
        try:
            with open(path, "rb", opener=_open_own) as file:
                found = _read_part(file.fileno(), digest, PARTS.index(part))
        except OSError:
            return None
        if found is not None:
            _touch(path)
        return found

    def write(self, digest: Digest, found: Mapping[str, bytes]) -> None:
        """Keep parts of a layer, beside the others that are kept of it."""
        if not self._prepare():
            return
        parts = [found[part] if part in found else self.read(digest, part) or b"" for part in PARTS]
        if sum(map(len, parts)) > self.most_bytes // 2:
            return
        heads = [field for each in parts for field in (len(each), _checksum(digest, each))]
        try:
            self._replace(self._files / _name(digest), [_HEADER.pack(_MAGIC, *heads), *parts])
        except OSError as error:
            self._give_up(error)
            return
        self._unswept += sum(map(len, parts)) + _INODE_BYTES
        if self._unswept > self.most_bytes // 64:
            self._unswept = 0
            self._sweep()

    def _replace(self, path: Path, pieces: list[bytes]) -> None:
        import tempfile  # noqa: PLC0415 # brings random along, a tenth of what starting costs

        descriptor, temporary = tempfile.mkstemp(prefix="new-", dir=self._files)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.writelines(pieces)
            os.replace(temporary, path)  # noqa: PTH105 # it is text
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 # as above
            raise

    def _prepare(self) -> bool:
        """Make the directory; say whether anything can be written."""
        if self._frozen or self._made:
            return self._made
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files.mkdir(mode=0o700, exist_ok=True)
            tag = self.path / "CACHEDIR.TAG"
            if not tag.exists():
                self._replace(tag, [_TAG.encode()])
        except OSError as error:
            self._give_up(error)
            return False
        self.problem = _distrust(self.path) or _distrust(self._files)
        self._made = self.problem is None
        return self._made

    def _give_up(self, error: OSError) -> None:
        """Write no more: the disk is full, or the directory can only be read."""
        if not self._frozen:
            self._frozen, self._made = True, False
            self._tell(f"{self.path}: {error.strerror or error}: nothing more is kept")

    # -- all of it -------------------------------------------------------------------------------------

    def measure(self) -> CacheUsage:
        """Count what is kept."""
        return _add_up(self._list())

    def clear(self, on_failure: Callable[[OSError], object] | None = None) -> CacheUsage:
        """Remove all that any version kept, and no file that is not the cache's; give what was removed. `on_failure`
        hears of each file that stays.
        """
        if self.problem:
            return CacheUsage(0, 0)
        versions = [path for path in _list_directory(self.path) if re.fullmatch(r"v\d+", path.name)]
        kept = [file for version in versions for file in _list_files(version.path)]
        removed = [file for file in kept if _remove(file.path, on_failure)]
        for version in versions:
            with suppress(OSError):
                os.rmdir(version.path)  # noqa: PTH106 # it is text
        self._made = False
        return _add_up(removed)

    def _list(self) -> list[_Kept]:
        return [] if self.problem else list(_list_files(self._files))

    def _sweep(self) -> None:
        """Remove what was not used for longest, until an eighth of the room is free; nothing before it is full."""
        kept = sorted(self._list())
        total = sum(file.size + _INODE_BYTES for file in kept)
        room = self.most_bytes - self.most_bytes // 8 if total > self.most_bytes else total
        for file in kept:
            if total <= room:
                return
            _remove(file.path)
            total -= file.size + _INODE_BYTES


class _Kept(NamedTuple):
    """A file or link of the cache, in the order of its last use."""

    used_ns: int
    path: str
    size: int


def _distrust(path: Path) -> str | None:
    """Say why others may have written here; None where there is nothing yet, or all is ours."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{path}: is no directory"
    if status.st_uid != os.geteuid():
        return f"{path}: belongs to another user"
    return f"{path}: others may write to it" if status.st_mode & 0o022 else None


def _open_own(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _read_part(descriptor: int, digest: Digest, number: int) -> bytes | None:
    """Give a part that is not empty and whose checksum, which is bound to the layer's digest, is right."""
    status = os.fstat(descriptor)
    head = os.pread(descriptor, _HEADER.size, 0)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or len(head) < _HEADER.size:
        return None
    magic, *heads = _HEADER.unpack(head)
    sizes, checksums = heads[::2], heads[1::2]
    if magic != _MAGIC or status.st_size != _HEADER.size + sum(sizes):
        return None
    data = os.pread(descriptor, sizes[number], _HEADER.size + sum(sizes[:number]))
    return data if data and _checksum(digest, data) == checksums[number] else None


def _checksum(digest: Digest, data: bytes) -> bytes:
    hasher = hashlib.sha256(f"{digest}\n".encode())
    hasher.update(data)
    return hasher.digest()


def _name(digest: Digest) -> str:
    return f"{digest.algorithm}-{digest.hex}"


def _parse_name(name: str) -> Digest:
    return Digest.parse(name.replace("-", ":", 1))


def _touch(path: Path) -> None:
    """Note that a file was used, for the sweep."""
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)


def _list_directory(path: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []


def _list_files(path: str | Path) -> Iterator[_Kept]:
    """List the files of a version's directory that only a cache can have made."""
    for file in _list_directory(path):
        with suppress(OSError):
            if re.fullmatch(_NAME, file.name) and not file.is_dir(follow_symlinks=False):
                status = file.stat(follow_symlinks=False)
                yield _Kept(status.st_mtime_ns, file.path, status.st_size)


def _remove(path: str, on_failure: Callable[[OSError], object] | None = None) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108 # it is text
    except FileNotFoundError:  # another process was as fast
        return False
    except OSError as error:
        if on_failure is not None:
            on_failure(error)
        return False
    return True


def _add_up(files: list[_Kept]) -> CacheUsage:
    layers = [file.size for file in files if Path(file.path).name.startswith("sha")]
    return CacheUsage(len(layers), sum(layers))
