"""Choosing one of several images: `#REF` and `--platform`."""

from __future__ import annotations

from collections.abc import Sequence

from tarlayers.errors import NoSuchImage
from tarlayers.image import Image

_PREFIX = 12
CONTAINER = "container:"
"""What a reference to a container of a data root starts with."""


def choose_image(
    images: Sequence[Image],
    reference: str | None = None,
    platform: str | None = None,
    unlisted: Sequence[Image] = (),
) -> Image:
    """Pick the image that `reference` (tag, manifest digest, image ID, 12 or more hex digits, or `@N`) and
    `platform` (os/arch[/variant]) mean; `container:` and a name or ID picks a container of `unlisted`, and an
    ID also its images.

    NoSuchImage when none or several fit; it lists what may be chosen.
    """
    if reference is not None and reference.startswith(CONTAINER):
        return _choose_container([i for i in unlisted if i.container], reference.removeprefix(CONTAINER))
    fitting = [image for i, image in enumerate(images) if _fits(i, image, images, reference)]
    if reference is not None and not fitting and not reference.startswith("@"):
        fitting = [image for image in unlisted if not image.container and _fits(-1, image, images, reference)]
    if platform is not None:
        fitting = [image for image in fitting if _on_platform(image, platform)]
    readable = [image for image in fitting if image.config is not None]
    if reference is None and readable:
        fitting = readable
    if len(fitting) == 1:
        return fitting[0]
    raise NoSuchImage(_complaint(images, fitting, reference, platform))


def _choose_container(containers: Sequence[Image], wanted: str) -> Image:
    """Pick a container by its name, its ID, or as docker does by the start of an ID."""
    found = [(image.container, image) for image in containers if image.container]
    exact = [image for container, image in found if wanted in (container.id, container.name)]
    fitting = exact or [image for container, image in found if wanted and container.id.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} containers fit" if fitting else "no container fits"
    names = ", ".join(f"#{CONTAINER}{image.names[0]}" for image in containers)
    raise NoSuchImage(f"{what} #{CONTAINER}{wanted}; there are {names or 'none'}")


def _fits(index: int, image: Image, images: Sequence[Image], reference: str | None) -> bool:
    if reference is None:
        return True
    if "@sha256:" in reference:
        reference = reference.partition("@")[2]
    if reference.startswith("@"):
        return reference == f"@{index}"
    if any(_normal(name) == _normal(reference) for name in image.names):
        return True
    identities = [str(d) for d in (image.manifest_digest, image.image_id) if d is not None]
    if any(reference in (d, d.partition(":")[2]) for d in identities):
        return True
    digits = reference.removeprefix("sha256:")
    if len(digits) >= _PREFIX and any(d.partition(":")[2].startswith(digits) for d in identities):
        return True
    whole = any(_normal(name) == _normal(reference) for other in images for name in other.names)
    return not whole and any(_tag(name) == reference for name in image.names)


def _normal(name: str) -> str:
    """Spell a name in full, as docker does: the default registry, its library and the tag `latest` implied."""
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name if _tag(name) else f"{name}:latest"


def _tag(name: str) -> str:
    last = name.rpartition("/")[2]
    return last.partition(":")[2]


def _on_platform(image: Image, platform: str) -> bool:
    if image.platform is None:
        return False
    wanted = platform.split("/")
    has = [image.platform.os, image.platform.architecture, image.platform.variant]
    return wanted == has[: len(wanted)] or (len(wanted) == 1 and wanted[0] == image.platform.architecture)


def _complaint(images: Sequence[Image], fitting: Sequence[Image], reference: str | None, platform: str | None) -> str:
    if not images:
        return "the archive holds no image (inspect lists what it does hold)"
    asked = " ".join(part for part in (reference and f"#{reference}", platform and f"--platform {platform}") if part)
    what = f"{len(fitting)} images fit {asked}" if fitting and asked else f"no image fits {asked}"
    if not asked:
        what = f"the archive holds {len(images)} images"
    return f"{what}; choose one with PATH#REF or --platform: {', '.join(_describe(images))}"


def _describe(images: Sequence[Image]) -> list[str]:
    lines = []
    for i, image in enumerate(images):
        identity = image.image_id or image.manifest_digest
        words = [f"#@{i}", *image.names]
        if image.platform is not None:
            words.append(str(image.platform))
        if not image.names and identity is not None:
            words.append(str(identity)[:19])
        lines.append(" ".join(words))
    return lines
