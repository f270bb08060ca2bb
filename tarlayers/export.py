"""The merged file system as one tar, made while each layer is read once.

Order: all directories, sorted; then, layer by layer from the base, the files as their layers hold them, each followed
by its other names as hard links; then everything without content, sorted. So nothing is kept but the listing, and a
layer of which nothing is visible is not read. Equal images give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarlayers.errors import MalformedInput
from tarlayers.formats.tar import ChunkFeed, Walker
from tarlayers.formats.tar_writer import END_OF_ARCHIVE, Fields, encode_header, padding
from tarlayers.image import Layer
from tarlayers.layer import Entry
from tarlayers.rootfs import Node, RootFS, path_key

_FLAGS = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}


def export_rootfs(rootfs: RootFS, layers: Sequence[Layer], *, mtime: int | None = None) -> Iterator[bytes]:
    """Yield the tar of a merged view. `layers` are those that it was merged of.

    The root itself is not in it, as in `docker export`. Directories that only their children imply get the epoch as
    their time, which no layer tells. `mtime` (nanoseconds) replaces every time. What is wrong with a layer is raised
    when it is come to, so a consumer that must not keep half a tar has to hold it back until the end.
    """
    writer = _Export(rootfs, mtime)
    yield from writer.directories()
    for layer in layers:
        yield from writer.files_of(layer)
    yield from writer.rest()
    yield END_OF_ARCHIVE


class _Export:
    """What is to be written, by where its content lies."""

    def __init__(self, rootfs: RootFS, mtime: int | None) -> None:
        self._rootfs = rootfs
        self._mtime = mtime
        self._directories: list[tuple[str, Node]] = []
        self._rest: list[tuple[str, Node]] = []
        self._files: dict[int, dict[int, str]] = {}  # layer -> offset of the header -> first name
        for path, node in rootfs.sorted_nodes():
            kind = node.entry.type
            if kind == "dir":
                self._directories.append((path, node))
            elif any(path_key(name) < path_key(path) for name in rootfs.other_names(path, node)):
                continue  # written as a hard link, right behind its first name
            elif kind == "file":
                self._files.setdefault(node.layer, {})[node.entry.offset] = path
            else:
                self._rest.append((path, node))

    def directories(self) -> Iterator[bytes]:
        for path, node in self._directories:
            yield self._header(path, node.entry)

    def files_of(self, layer: Layer) -> Iterator[bytes]:
        """Yield the visible files of one layer, in its order, each with its content and its hard links."""
        wanted = self._files.get(layer.index)
        if not wanted:
            return
        walker = Walker(ChunkFeed(layer.open_plain()))
        for member in walker:
            path = wanted.pop(member.offset, None)
            if path is None:
                continue
            node = self._rootfs.node(path)
            yield self._header(path, node.entry)
            yield from walker.content()
            yield padding(node.entry.size)
            yield from self._links(path, node)
            if not wanted:
                return
        raise MalformedInput(f"no member at offset {min(wanted)}, where there was one before", place=layer.name)

    def rest(self) -> Iterator[bytes]:
        for path, node in self._rest:
            yield self._header(path, node.entry)
            yield from self._links(path, node)

    def _links(self, path: str, node: Node) -> Iterator[bytes]:
        for name in self._rootfs.other_names(path, node):
            link = node.entry._replace(type="hardlink", link=path[1:], size=0)
            yield self._header(name, link)

    def _header(self, path: str, entry: Entry) -> bytes:
        name = path_key(path[1:])
        mtime = entry.mtime or 0 if self._mtime is None else self._mtime
        return encode_header(
            Fields(
                name=name + b"/" if entry.type == "dir" else name,
                typeflag=_FLAGS.get(entry.type, b"1"),
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                size=entry.size,
                mtime=mtime,
                linkname=path_key(entry.link or ""),
                rdev=entry.rdev or (0, 0),
                xattrs=entry.xattrs,
            )
        )
