"""What one archive holds: its store, and the images that its documents, or those of a data root, tell of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tarlayers.errors import MalformedInput, UnsupportedInput
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.recordedimage import make_bare_image, make_image
from tarlayers.sources.archive import Archive
from tarlayers.sources.layout import Layout
from tarlayers.sources.locate import locate_images
from tarlayers.sources.members import has_image_member
from tarlayers.stores.store import SeekStore

# What only some archives need is imported where it is met: a short command on a small image is all start-up.
if TYPE_CHECKING:
    from tarlayers.formats.tlx import IndexFile
    from tarlayers.image import Image
    from tarlayers.sources.dataroot import DataRoot
    from tarlayers.sources.filetree import FileTree
    from tarlayers.sources.layercache import LayerCache
    from tarlayers.sources.layout import Fault, OtherRecord
    from tarlayers.stores.store import Store


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Everything that was found in one archive."""

    path: str
    """`-` for a stream."""
    kind: str
    """`docker-archive`, `oci-archive`, `oci-dir`, `dir`, `docker-root`, `podman-root`, `containerd-root`, `layer`
    (a bare layer, or an exported file system), or `index` (the index file of an archive)."""
    size: int
    """Stored bytes of the archive."""
    compression: str
    """Of the archive itself."""
    images: tuple[Image, ...]
    others: tuple[OtherRecord, ...]
    layout: Layout
    store: Store = field(repr=False, compare=False)
    unlisted: tuple[Image, ...] = ()
    """What a reference alone picks: containers of a data root, and images that others are built on."""
    faults: tuple[Fault, ...] = ()
    """What of a data root could not be read, and is therefore missing here."""
    root: DataRoot | None = field(default=None, repr=False, compare=False)
    """Where the images come from a data root: all that was found in it."""
    index_file: IndexFile | None = field(default=None, repr=False, compare=False)
    """Of an index, what it says: also of the archive that it was made from."""
    called: str | None = None
    """What messages call a stream."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.called or self.path

    def require_whole(self) -> None:
        """MalformedInput for an archive that does not end as a tar does, whatever else it claims."""
        if not self.store.end_mark:
            reason = "ends without its end-of-archive mark, or inside a block: it is cut short, or bytes were added"
            raise MalformedInput(reason, place=self.name)


def make_store(archive: Archive, cache: LayerCache | None, limits: Limits) -> SeekStore:
    """Make the store of what can be read again; layers are kept under the default limits alone."""
    if cache is None or limits != DEFAULT_LIMITS:
        return SeekStore(archive, limits)
    from tarlayers.stores.cachedstore import CachedStore  # noqa: PLC0415 # as said at the top

    return CachedStore(archive, cache)


def assemble_archive(
    path: str, size: int, compression: str, store: Store, limits: Limits, *, directory: bool = False
) -> ImageArchive:
    """Find the images of an archive; where it has no documents it is a data root, or one layer."""
    layout = locate_images(store.documents, store.sizes, limits)
    kind = layout.kind
    names_root = kind == "none" and not directory and _may_be_root(store.sizes)
    if names_root and isinstance(store, SeekStore):
        from tarlayers.sources.tartree import read_tar_tree  # noqa: PLC0415 # as said at the top

        found = find_root(path, size, compression, read_tar_tree(store.archive, limits), limits)
        if found is not None:
            return found
    if kind == "none" and directory:
        reason = "no image documents in this directory (no manifest.json, index.json, and no engine's data root)"
        raise UnsupportedInput(reason)
    if kind == "none" and has_image_member(store.sizes):
        cut = "" if store.end_mark else "it is cut short: "
        reason = f"{cut}members of an image, but no index.json or manifest.json that tells of one"
        raise MalformedInput(reason)
    if kind == "none":
        store = store if names_root else store.as_layer()
        bare_size = store.archive.size if isinstance(store, SeekStore) else None  # as it is read, packed or not
        images: tuple[Image, ...] = (make_bare_image(store, bare_size),)
        kind = "layer"
    else:
        images = tuple(make_image(record, store) for record in layout.images)
    if directory and kind == "oci-archive":
        kind = "oci-dir"
    return ImageArchive(path, kind, size, compression, images, layout.others, layout, store)


# -- data roots ------------------------------------------------------------------------------------


def _may_be_root(names: Iterable[str]) -> bool:
    from tarlayers.sources.dataroot import may_be_root  # noqa: PLC0415 # as said at the top

    return may_be_root(names)


def find_root(
    path: str, size: int | None, compression: str, tree: FileTree, limits: Limits, cache: LayerCache | None = None
) -> ImageArchive | None:
    """Find an engine's data root: the tree itself, or a directory at most two below the first that branches."""
    from tarlayers.sources.content_store import read_content_store  # noqa: PLC0415 # as said at the top
    from tarlayers.sources.dataroot import find_candidates  # noqa: PLC0415 # as above
    from tarlayers.sources.docker_root import read_docker_root  # noqa: PLC0415 # as above
    from tarlayers.sources.podman_root import read_podman_root  # noqa: PLC0415 # as above

    for place in find_candidates(tree):
        below = tree.below(place) if place else tree
        for read in (read_docker_root, read_podman_root):
            root = read(below, limits)
            if root is not None:
                return _assemble_unpacked(path, size, compression, root, limits)
        content = read_content_store(below, limits)
        if content is not None:
            archive, faults = content
            store = make_store(archive, cache, limits)
            found = assemble_archive(path, archive.size if size is None else size, compression, store, limits)
            return replace(found, kind=archive.kind, faults=faults)
    return None


def _assemble_unpacked(path: str, size: int | None, compression: str, root: DataRoot, limits: Limits) -> ImageArchive:
    from tarlayers.stores.rootstore import RootStore  # noqa: PLC0415 # as said at the top

    store = RootStore(root, limits)
    parents = [make_image(record, store) for record in root.parents]
    containers = [make_image(each.record, store, each.container) for each in root.containers]
    return ImageArchive(
        path=path,
        kind=root.kind,
        size=sum(store.sizes.values()) if size is None else size,
        compression=compression,
        images=tuple(make_image(record, store) for record in root.images),
        others=root.others,
        layout=Layout(root.kind, root.images, root.others, root.claims),
        store=store,
        unlisted=(*containers, *parents),
        faults=root.faults,
        root=root,
    )
