"""What images are called, as far as documents tell it.

`org.opencontainers.image.ref.name` is the bare tag (docker, containerd, buildx, umoci) or the full name (podman,
skopeo); where it is the bare tag, `io.containerd.image.name` often has the full one. docs/formats.md lists who
writes what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Give the name a descriptor carries: containerd's full one where there are two, else the tag."""
    name = annotations.get(FULL_NAME) or annotations.get(REF_NAME)
    return (name,) if name else ()


def spell_out(name: str) -> str:
    """Spell a name as docker compares it: the default registry, its library and the tag `latest` go without saying."""
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name if tag_of(name) else f"{name}:latest"


def tag_of(name: str) -> str:
    """Give the tag of a name; the empty string when it has none."""
    return name.rpartition("/")[2].partition(":")[2]


def known_among(known: Iterable[str], full: Iterable[str]) -> list[str]:
    """Give those of the known names that mean one of the full ones: spelled otherwise, or as the bare tag.

    An archive may have thousands of either, so each is looked at once.
    """
    full = list(full)
    spelled, tags = {spell_out(name) for name in full}, {tag_of(name) for name in full}
    return [name for name in known if spell_out(name) in spelled or (":" not in name and name in tags)]


def merge_names(known: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
    """Add names that are new; one that is spelled otherwise, and a bare tag, give way to the new full name."""
    given_way = set(known_among(known, [name for name in more if ":" in name]))
    kept = dict.fromkeys(name for name in known if name not in given_way)
    return (*kept, *(name for name in dict.fromkeys(more) if name and name not in kept))
