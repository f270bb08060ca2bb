"""The merged file system as one tar, made while each layer is read once.

Order: everything without content, as a walk of the tree comes to it; then, layer by layer from the base, the files as
their layers hold them, each followed by its other names as hard links; then the directories, each after all that is
in it. So nothing is kept but the listing, and a layer of which nothing is visible is not read. Directories are last
because GNU tar sets the time of one as soon as it leaves it, and whatever is made in it later changes that time; links
are first because it replaces some of them at the very end, and only if their directory was made for them are its times
set after that. Equal images give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tarlayers.errors import MalformedInput
from tarlayers.formats.tar import ChunkFeed, Walker
from tarlayers.formats.tar_writer import END_OF_ARCHIVE, padding
from tarlayers.header import encode_entry
from tarlayers.image import Layer
from tarlayers.rootfs import Node, RootFS


def export_rootfs(rootfs: RootFS, layers: Sequence[Layer], *, mtime: int | None = None) -> Iterator[bytes]:
    """Yield the tar of a merged view. `layers` are those that it was merged of.

    The root itself is not in it, as in `docker export`. Directories that only their children imply get the epoch as
    their time, which no layer tells. `mtime` (nanoseconds) replaces every time. What is wrong with a layer is raised
    when it is come to, so a consumer that must not keep half a tar has to hold it back until the end.
    """
    directories: list[str] = []
    firsts: dict[tuple[int, int], str] = {}
    for path, node in rootfs.walk():
        if node.entry.type == "dir":
            directories.append(path)
        elif node.entry.type != "file":
            first = firsts.setdefault((id(node.entry), node.layer), path)
            yield encode_entry(path, node.entry, mtime) if path == first else _link(path, node, first, mtime)
    for names, node, content in read_files(rootfs, layers):
        yield encode_entry(names[0], node.entry, mtime)
        yield from content
        yield padding(node.entry.size)
        for name in names[1:]:
            yield _link(name, node, names[0], mtime)
    for path in reversed(directories):
        yield encode_entry(path, rootfs[path], mtime)
    yield END_OF_ARCHIVE


def read_files(
    rootfs: RootFS, layers: Sequence[Layer], wanted: Callable[[str], bool] = bool
) -> Iterator[tuple[tuple[str, ...], Node, Iterator[bytes]]]:
    """Yield every visible regular file with its wanted names, sorted, and its content; layer by layer, in tar order.

    Each layer is read once, one of which nothing is wanted not at all. Draw a content before the next file.
    """
    visible = rootfs.layers
    for layer in layers:
        if layer.index in visible:
            yield from _read_layer(layer, _choose_files(layer, rootfs, wanted))


def _choose_files(
    layer: Layer, rootfs: RootFS, wanted: Callable[[str], bool]
) -> Iterator[tuple[int, tuple[str, ...], Node]]:
    """Yield the offset of each visible file of a layer, its wanted names and its node, in tar order."""
    for entry in sorted(layer.entries, key=lambda entry: entry.offset):
        if entry.type == "file":
            names = tuple(filter(wanted, rootfs.names_of(layer.index, entry)))
            if names:
                yield entry.offset, names, rootfs.node(names[0])


def distinct_inodes(rootfs: RootFS, wanted: Callable[[str], bool] = bool) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield each inode once, with those of its names that are wanted, sorted; in the order of its first one."""
    linked, told = rootfs.linked_names, set[tuple[int, int]]()
    for path, node in rootfs.sorted_nodes():
        inode = id(node.entry), node.layer
        if inode in told or not wanted(path):
            continue
        if inode in linked:
            told.add(inode)
        yield tuple(filter(wanted, linked.get(inode, (path,)))), node


def _read_layer(
    layer: Layer, files: Iterator[tuple[int, tuple[str, ...], Node]]
) -> Iterator[tuple[tuple[str, ...], Node, Iterator[bytes]]]:
    awaited = next(files, None)
    walker = Walker(ChunkFeed(layer.open_plain() if awaited is not None else ()), limits=layer.limits)
    for stretch in walker.stretches():
        for offset, content in walker.open_contents(stretch):
            if awaited is not None and offset == awaited[0]:
                yield awaited[1], awaited[2], content
                awaited = next(files, None)
                if awaited is None:
                    return
    if awaited is not None:
        raise MalformedInput(f"no member at offset {awaited[0]}, where there was one before", place=layer.name)


def _link(name: str, node: Node, target: str, mtime: int | None) -> bytes:
    return encode_entry(name, node.entry._replace(type="hardlink", link=target, size=0), mtime)
