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

from tarlayers.entry import Entry
from tarlayers.errors import MalformedInput
from tarlayers.formats.tar import ChunkFeed, Walker
from tarlayers.formats.tar_writer import END_OF_ARCHIVE, Fields, encode_header, padding
from tarlayers.image import Layer
from tarlayers.rootfs import Node, RootFS, path_key, sort_paths

_FLAGS = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}


def export_rootfs(rootfs: RootFS, layers: Sequence[Layer], *, mtime: int | None = None) -> Iterator[bytes]:
    """Yield the tar of a merged view. `layers` are those that it was merged of.

    The root itself is not in it, as in `docker export`. Directories that only their children imply get the epoch as
    their time, which no layer tells. `mtime` (nanoseconds) replaces every time. What is wrong with a layer is raised
    when it is come to, so a consumer that must not keep half a tar has to hold it back until the end.
    """
    nodes = sorted(rootfs.sorted_nodes(), key=_walk_order)
    for path, node in nodes:
        if node.entry.type not in ("dir", "file"):
            yield _without_content(rootfs, path, node, mtime)
    for names, node, content in read_files(rootfs, layers):
        yield _header(names[0], node.entry, mtime)
        yield from content
        yield padding(node.entry.size)
        for name in names[1:]:
            yield _link(name, node, names[0], mtime)
    for path, node in reversed(nodes):
        if node.entry.type == "dir":
            yield _header(path, node.entry, mtime)
    yield END_OF_ARCHIVE


def read_files(
    rootfs: RootFS, layers: Sequence[Layer], wanted: Callable[[str], bool] = bool
) -> Iterator[tuple[tuple[str, ...], Node, Iterator[bytes]]]:
    """Yield every visible regular file with its wanted names, sorted, and its content; layer by layer, in tar order.

    Each layer is read once, one of which nothing is wanted not at all. Draw a content before the next file.
    """
    files: dict[int, dict[int, tuple[tuple[str, ...], Node]]] = {}  # layer -> offset of the header -> file
    for names, node in distinct_inodes(rootfs, wanted):
        if node.entry.type == "file":
            files.setdefault(node.layer, {})[node.entry.offset] = names, node
    for layer in layers:
        yield from _read_layer(layer, files.get(layer.index, {}))


def distinct_inodes(rootfs: RootFS, wanted: Callable[[str], bool] = bool) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield each inode once, with those of its names that are wanted, sorted; in the order of its first one."""
    for path, node in rootfs.sorted_nodes():
        if wanted(path):
            names = (path, *filter(wanted, rootfs.other_names(path, node)))
            if len(names) == 1 or path == min(names, key=path_key):
                yield tuple(sort_paths(names)), node


def _read_layer(
    layer: Layer, files: dict[int, tuple[tuple[str, ...], Node]]
) -> Iterator[tuple[tuple[str, ...], Node, Iterator[bytes]]]:
    walker = Walker(ChunkFeed(layer.open_plain() if files else ()), limits=layer.limits)
    for member in walker:
        found = files.pop(member.offset, None)
        if found is not None:
            yield *found, walker.content()
            if not files:
                return
    if files:
        raise MalformedInput(f"no member at offset {min(files)}, where there was one before", place=layer.name)


def _walk_order(item: tuple[str, Node]) -> list[bytes]:
    """A directory comes right before all that is in it."""
    return path_key(item[0]).split(b"/")


def _without_content(rootfs: RootFS, path: str, node: Node, mtime: int | None) -> bytes:
    first = min((path, *rootfs.other_names(path, node)), key=lambda name: _walk_order((name, node)))
    return _header(path, node.entry, mtime) if path == first else _link(path, node, first, mtime)


def _link(name: str, node: Node, target: str, mtime: int | None) -> bytes:
    return _header(name, node.entry._replace(type="hardlink", link=target[1:], size=0), mtime)


def _header(path: str, entry: Entry, mtime: int | None) -> bytes:
    name = path_key(path[1:])
    return encode_header(
        Fields(
            name=name + b"/" if entry.type == "dir" else name,
            typeflag=_FLAGS.get(entry.type, b"1"),
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size=entry.size,
            mtime=entry.mtime or 0 if mtime is None else mtime,
            linkname=path_key(entry.link or ""),
            rdev=entry.rdev or (0, 0),
            xattrs=entry.xattrs,
        )
    )
