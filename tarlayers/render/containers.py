"""Containers of a data root: as JSON documents and as text."""

from __future__ import annotations

from typing import Any

from tarlayers.imagearchive import ImageArchive
from tarlayers.render.escape import escape_text
from tarlayers.render.values import brief_time
from tarlayers.sources.dataroot import StoredContainer

CONTAINER_HEADER = ("CONTAINER ID", "NAME", "IMAGE", "CREATED", "STATE", "UPPER DIR")
_SHORT = 12


def container_document(container: StoredContainer) -> dict[str, Any]:
    """One container, its directories under the names that `docker inspect` has for them."""
    return {
        "id": container.id,
        "name": escape_text(container.name),
        "image_id": container.image_id,
        "created": container.created,
        "mount_id": container.mount_id,
        "state": container.state,
        **{key: escape_text(path) for key, path in container.directories.items()},
    }


def container_cells(container: StoredContainer, archive: ImageArchive) -> tuple[str, ...]:
    """One row of the table; the image by its name where it has one."""
    image_id = container.image_id or "-"
    names = {str(image.image_id): image.names[0] for image in archive.images if image.names}
    digits = image_id.removeprefix("sha256:")[:_SHORT]
    return (
        container.id[:_SHORT],
        escape_text(container.name),
        escape_text(names.get(image_id, digits)),
        escape_text(brief_time(container.created or "-")),
        container.state,
        escape_text(container.directories.get("UpperDir", "-")),
    )
