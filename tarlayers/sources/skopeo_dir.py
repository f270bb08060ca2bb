"""skopeo's `dir:`: each blob under its bare digits, the manifest or list as `manifest.json`, and with a list
`<hex>.manifest.json` for each of its manifests (containers/image directory/directory_dest.go).
"""

from __future__ import annotations

from tarlayers.digest import Digest
from tarlayers.formats.document_fields import MANIFEST
from tarlayers.formats.documents import Descriptor, parse_index, parse_manifest
from tarlayers.formats.json_fields import parse_fields
from tarlayers.sources.inventory import Inventory
from tarlayers.sources.oci import read_descriptor, read_manifest

_TOP = "manifest.json"


def read_dir(found: Inventory) -> None:
    """Read the image, or the images, of a `dir:`."""
    raw = found.documents[_TOP]
    if "manifests" not in parse_fields(raw, _TOP, MANIFEST):
        media_type = parse_manifest(raw, _TOP).media_type
        read_manifest(found, _TOP, Descriptor(media_type, Digest.of(raw), len(raw), {}, None, (), None), flavour="dir")
        return
    for i, descriptor in enumerate(parse_index(raw, _TOP).manifests):
        found.count_manifest(_TOP)
        name = f"{descriptor.digest.hex}.manifest.json"
        read_descriptor(found, f"{_TOP} manifests[{i}]", descriptor, blob=name if name in found.documents else None)
