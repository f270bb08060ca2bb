"""Which documents of an archive speak of images, and what they tell. Pure; no blob is read but documents.

Facts: OCI documents win over `manifest.json` in a hybrid archive, which then only adds names and the images that
the index does not have; what the two disagree on `sources.agreement` finds. A root file system may hold files of
the same names, so a document counts only when it looks like what its name says.
"""

from __future__ import annotations

from collections.abc import Mapping

from tarlayers.errors import MalformedInput
from tarlayers.formats.document_fields import MANIFEST, MANIFEST_JSON
from tarlayers.formats.json_fields import parse_fields
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.sources.docker_archive import has_v1_images, read_docker_archive, read_v1_images
from tarlayers.sources.inventory import Inventory
from tarlayers.sources.layout import LAYOUT_FILE, Layout
from tarlayers.sources.oci import read_index
from tarlayers.sources.skopeo_dir import read_dir

_FEW = 8  # members: fewer than any root file system has


def locate_images(documents: Mapping[str, bytes], sizes: Mapping[str, int], limits: Limits = DEFAULT_LIMITS) -> Layout:
    """Put an archive's documents together.

    `documents` gives the bytes of JSON members by name, `sizes` the stored size of every regular member;
    both use cleaned names, links resolved. Images come in the order of the OCI index, nested indexes
    depth first, then those that only `manifest.json` has. MalformedInput says which document is wrong.
    """
    found = Inventory(documents, sizes, limits)
    kind = "oci-archive" if _read_indexes(found) else "none"
    listed = _manifest_json(found)
    if isinstance(listed, list):
        kind = "docker-archive"
        read_docker_archive(found)
    elif isinstance(listed, dict) and kind == "none":
        kind = "dir"
        read_dir(found)
    elif kind == "none" and "manifest.json" not in found.sizes and has_v1_images(found):
        kind = "docker-archive"
        read_v1_images(found)
    if kind == "none":
        return Layout("none")
    _require_json(found)
    return found.close(kind)


def _require_json(found: Inventory) -> None:
    """Refuse an archive where one of two documents is damaged past knowing: some engine goes by that one."""
    for name in ("index.json", "manifest.json"):
        if name in found.sizes and name not in found.documents:
            raise MalformedInput("not JSON", place=name)


def _read_indexes(found: Inventory) -> bool:
    """Read the index, or those of layouts that lie side by side, each in a directory of its own."""
    if _has_index(found):
        read_index(found, "index.json")
        return True
    if "manifest.json" in found.sizes:
        return False
    names = sorted(name for name in found.sizes if name.count("/") == 1 and name.endswith("/index.json"))
    names = [name for name in names if name in found.documents]
    places = [name for name in names if f"{name.removesuffix('index.json')}oci-layout" in found.sizes]
    if places:
        found.share_blobs()
    for place in places:
        read_index(found, place)
    return bool(places)


def _has_index(found: Inventory) -> bool:
    """An `index.json` counts when it looks like an image index."""
    if "index.json" not in found.documents:
        return False
    try:
        value = parse_fields(found.documents["index.json"], "index.json", MANIFEST, streamed=True)
    except MalformedInput:
        if LAYOUT_FILE in found.documents:
            raise
        return False
    return isinstance(value, dict) and ("manifests" in value or LAYOUT_FILE in found.documents)


def _manifest_json(found: Inventory) -> object:
    """Give `manifest.json` as a list (docker-archive) or an object (`dir:`); None when it is neither."""
    if "manifest.json" not in found.documents:
        return None
    try:
        value = parse_fields(found.documents["manifest.json"], "manifest.json", MANIFEST_JSON, streamed=True)
    except MalformedInput:
        if _looks_like_archive(found):
            raise
        return None
    if value is None and _looks_like_archive(found):
        return []
    if isinstance(value, list):
        fits = all(isinstance(item, dict) and "Layers" in item and "Config" in item for item in value)
        return value if fits and (value or _looks_like_archive(found)) else None
    if isinstance(value, dict) and value.get("schemaVersion") in (1, 2):
        return value if {"layers", "manifests", "fsLayers", "config"} & value.keys() else None
    return None


def _looks_like_archive(found: Inventory) -> bool:
    if LAYOUT_FILE in found.documents or "repositories" in found.documents or len(found.sizes) < _FEW:
        return True
    return has_v1_images(found)  # docker writes them beside a manifest.json too
