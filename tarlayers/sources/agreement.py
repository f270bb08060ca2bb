"""Where `manifest.json` and the OCI documents of a hybrid archive tell different things of one image.

Docker's classic store and podman load by the one, containerd (and with it Docker 29) by the other, so where they
disagree the image depends on who loads it. Either spells names in several ways (`v1`, `app:v1`,
`docker.io/library/app:v1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tarlayers.digest import Digest

_BLOB_NAME = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")


class Disagreement(NamedTuple):
    """Something that `manifest.json` and the OCI index tell differently."""

    place: str
    claimed: str
    computed: str
    message: str


def compare_layers(place: str, listed: Sequence[str], digests: Sequence[Digest | None]) -> Iterator[Disagreement]:
    """Compare the layers that `manifest.json` lists, as cleaned member names, with those of an OCI manifest.

    A member that is not called by its digest may be any layer, and agrees.
    """
    if len(listed) != len(digests):
        message = f"manifest.json lists {len(listed)} layers, the OCI manifest {len(digests)}"
        yield Disagreement(place, f"{len(listed)} layers", f"{len(digests)} layers", message)
        return
    for i, (name, digest) in enumerate(zip(listed, digests, strict=True)):
        match = _BLOB_NAME.fullmatch(name)
        if match is not None and digest is not None and (match[1], match[2]) != digest:
            message = f"manifest.json has another layer {i} than the OCI manifest"
            yield Disagreement(f"{place} Layers[{i}]", f"{match[1]}:{match[2]}", str(digest), message)


def compare_names(place: str, tags: Sequence[str], names: Sequence[str]) -> Iterator[Disagreement]:
    """Compare an image's `RepoTags` with the names that the index gives it; either may give none."""
    if not tags or not names:
        return
    alone = [tag for tag in tags if not any(_is_same(tag, name) for name in names)]
    alone += [name for name in names if not any(_is_same(tag, name) for tag in tags)]
    if alone:
        message = f"manifest.json and index.json name this image differently: {' '.join(alone)}"
        yield Disagreement(place, " ".join(tags), " ".join(names), message)


def _is_same(tag: str, name: str) -> bool:
    return _in_full(tag) == _in_full(name) or ("/" not in name and tag.endswith(f":{name}"))


def _in_full(name: str) -> str:
    """Imply what docker implies: the default registry, its library, the tag `latest`."""
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
