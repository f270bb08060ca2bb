"""What images are called, as far as documents tell it.

`org.opencontainers.image.ref.name` is the bare tag (docker, containerd, buildx, umoci) or the full name (podman,
skopeo); where it is the bare tag, `io.containerd.image.name` often has the full one. docs/formats.md lists who
writes what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Give the name a descriptor carries: containerd's full one where there are two, else the tag."""
    name = annotations.get(FULL_NAME) or annotations.get(REF_NAME)
    return (name,) if name else ()


def merge_names(known: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
    """Add names that are new; a bare tag gives way to the full name that ends in it."""
    kept = [name for name in known if not any(full.endswith(f":{name}") for full in more if ":" not in name)]
    return (*kept, *(name for name in dict.fromkeys(more) if name and name not in kept))
