"""Choosing one of several images: `#REF` and `--platform`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tarlayers.digest import Digest
from tarlayers.errors import ContentAbsent, MalformedInput, NoSuchImage, TarlayersError
from tarlayers.formats.documents import Platform
from tarlayers.image import Image
from tarlayers.sources.layout import OtherRecord
from tarlayers.sources.names import spell_out, tag_of

_PREFIX = 12
CONTAINER = "container:"
"""What a reference to a container of a data root starts with."""
# Other spellings, and the variant that they imply, as containerd reads them (platforms/database.go).
_ARCHITECTURES = {
    "x86_64": ("amd64", None), "x86-64": ("amd64", None), "aarch64": ("arm64", None), "i386": ("386", None),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
_NAMED_VARIANTS = frozenset(("armhf", "armel"))
_IMPLIED_VARIANTS = {("amd64", "v1"), ("arm64", "v8"), ("arm", "v7")}


def choose_image(
    images: Sequence[Image],
    reference: str | None = None,
    platform: str | None = None,
    others: Sequence[OtherRecord] = (),
    unlisted: Sequence[Image] = (),
) -> Image:
    """Pick the image that `reference` (tag, manifest digest, image ID, 12 or more hex digits, or `@N`) and
    `platform` (os/arch[/variant]) mean; `container:` and a name or ID picks a container of `unlisted`, and an
    ID also its images.

    NoSuchImage when none or several fit; it lists what may be chosen. ContentAbsent when what is meant is one of
    the `others` whose manifest the archive names but does not hold, MalformedInput when a document
    of it cannot be parsed.
    """
    fitting = _find_images(images, reference, platform, unlisted)
    if len(fitting) > 1:
        # Of a platform that was not saved there may be a manifest and no more.
        fitting = {i: image for i, image in fitting.items() if image.config is not None} or fitting
    if len(fitting) > 1 and platform is not None and len({image.names for image in fitting.values()}) == 1:
        # containerd takes `linux/arm` for v7 (platforms/database.go).
        fitting = _select_platform(fitting, platform, exact=True) or fitting
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        asked = _words(reference, platform)
        what = f"{len(fitting)} images fit {asked}" if asked else f"it holds {len(fitting)} images"
        raise NoSuchImage(f"{what}; choose one with #REF or --platform: {_join(fitting)}")
    raise _complain_of_none(images, reference, platform, others)


def select_images(
    images: Sequence[Image],
    reference: str | None,
    platform: str | None = None,
    others: Sequence[OtherRecord] = (),
    *,
    unlisted: Sequence[Image] = (),
) -> Mapping[int, Image]:
    """Give all images that `reference` and `platform` mean, by their numbers; all there are without them. The errors
    are those of `choose_image`, but that several may fit.
    """
    fitting = _find_images(images, reference, platform, unlisted)
    if not fitting and (reference, platform) != (None, None):
        raise _complain_of_none(images, reference, platform, others)
    return fitting


def _find_images(
    images: Sequence[Image], reference: str | None, platform: str | None, unlisted: Sequence[Image]
) -> dict[int, Image]:
    """Give the images that fit, perhaps none, by their numbers. One that is not listed is found by its ID alone."""
    if reference is not None and reference.startswith(CONTAINER):
        return {0: _choose_container([i for i in unlisted if i.container], reference.removeprefix(CONTAINER))}
    whole = reference is not None and _is_whole(images, reference)
    fitting = {
        i: image for i, image in enumerate(images) if reference is None or _fits(i, image, reference, whole=whole)
    }
    if reference is not None and not fitting and not reference.startswith("@"):
        by_id = [image for image in unlisted if not image.container and _fits(-1, image, reference, whole=whole)]
        fitting = dict(enumerate(by_id))
    return fitting if platform is None else _select_platform(fitting, platform)


def _select_platform(images: Mapping[int, Image], wanted: str, *, exact: bool = False) -> dict[int, Image]:
    """Give those that are for a platform, by what the index says of each."""
    return {
        i: image
        for i, image in images.items()
        if _on_platform(image.claimed_platform or image.platform, wanted, exact=exact)
    }


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


def _is_whole(images: Sequence[Image], reference: str) -> bool:
    """Say whether a reference is the whole name of an image: then it is not meant as the end of another's."""
    wanted = spell_out(_drop_name(reference))
    return any(spell_out(name) == wanted for image in images for name in image.names)


def _drop_name(reference: str) -> str:
    """Give the digest of name@sha256:... or another algorithm; neither name nor tag has an @."""
    return reference.partition("@")[2] if "@sha" in reference else reference


def _fits(index: int, image: Image, reference: str, *, whole: bool) -> bool:
    reference = _drop_name(reference)
    if reference.startswith("@"):
        return reference == f"@{index}"
    if any(spell_out(name) == spell_out(reference) for name in image.names):
        return True
    if _is_identity((image.manifest_digest, image.image_id), reference):
        return True
    return not whole and any(_ends_in(name, reference) for name in image.names)


def _ends_in(name: str, reference: str) -> bool:
    """Say whether a reference is the tag of a name, or the name without its first components."""
    return tag_of(name) == reference or spell_out(name).endswith(f"/{spell_out(reference)}")


def _is_identity(digests: Iterable[Digest | None], reference: str) -> bool:
    """Say whether a reference is one of these digests, or 12 or more of its hex digits."""
    return any(digest is not None and digest.is_meant(reference, _PREFIX) for digest in digests)


def _on_platform(platform: Platform | None, wanted: str, *, exact: bool = False) -> bool:
    """Say whether a platform is the one that is wanted: os/arch[/variant], or one of the first two alone. A variant
    that is not named may be any; if `exact` it is the one that goes without saying.
    """
    if platform is None:
        return False
    first, _, rest = wanted.lower().partition("/")  # as containerd's platforms.Parse
    if not rest and first == platform.os:
        return True
    os, (architecture, _, variant) = (first, rest.partition("/")) if rest else (platform.os, (first, "", ""))
    wants, has = _spell(architecture, variant), _spell(platform.architecture, platform.variant)
    is_variant_wanted = exact or bool(variant) or architecture in _NAMED_VARIANTS
    return os == platform.os and wants[0] == has[0] and (wants == has or not is_variant_wanted)


def is_same_platform(one: Platform, other: Platform) -> bool:
    """Say whether two platforms are one, however each is spelled; a variant that one of them lacks is not compared."""
    names = _spell(one.architecture, one.variant), _spell(other.architecture, other.variant)
    same = one.os == other.os and names[0][0] == names[1][0]
    return same and (names[0] == names[1] or not (one.variant and other.variant))


def _spell(architecture: str, variant: str | None = None) -> tuple[str, str | None]:
    """Spell an architecture as images do; a variant that it implies goes without saying."""
    name, implied = _ARCHITECTURES.get(architecture, (architecture, None))
    variant = implied or variant or None
    if variant and variant.isdigit():
        variant = f"v{variant}"
    return name, None if (name, variant) in _IMPLIED_VARIANTS else variant


# -- saying what there is ----------------------------------------------------------------------------


def _complain_of_none(
    images: Sequence[Image], reference: str | None, platform: str | None, others: Sequence[OtherRecord]
) -> TarlayersError:
    """The error for a choice that no image fits: perhaps what is meant is something else, or absent."""
    asked = _words(reference, platform)
    meant = [other for other in others if _is_meant(other, reference, platform)]
    absent = [other for other in meant if other.kind == "absent"]
    if absent:
        what = ", ".join(_describe_other(other) for other in absent)
        return ContentAbsent(f"{f'{asked}: ' if asked else ''}the manifest is not in the archive: {what}")
    fault = next((other.fault for other in meant if other.fault), None)
    if fault is not None:
        return MalformedInput(fault.reason, place=fault.place)
    if reference is not None and meant:
        return NoSuchImage(f"#{reference} is no image but an {meant[0].kind}")
    if not images:
        there = ", ".join(f"{kind} {_describe_other(other)}" for other in others if (kind := other.kind))
        return NoSuchImage(f"it holds no image{f', only {there}' if there else ''}")
    return NoSuchImage(f"no image fits {asked}; there are {_join(dict(enumerate(images)))}")


def _is_meant(other: OtherRecord, reference: str | None, platform: str | None) -> bool:
    named = reference is None or _is_identity((other.digest,), reference) or _bears(other.names, reference)
    return named and (platform is None or _on_platform(other.platform, platform))


def _bears(names: Sequence[str], reference: str) -> bool:
    return any(spell_out(name) == spell_out(reference) or _ends_in(name, reference) for name in names)


def _words(reference: str | None, platform: str | None) -> str:
    asked = f"--platform {platform or repr(platform)}" if platform is not None else None
    return " ".join(part for part in (reference and f"#{reference}", asked) if part)


def _join(images: Mapping[int, Image]) -> str:
    described = {i: " ".join(_describe(image)) for i, image in images.items()}
    return ", ".join(f"#@{i} ({words})" if words else f"#@{i}" for i, words in described.items())


def _describe(image: Image) -> Iterator[str]:
    yield from image.names
    platform = image.claimed_platform or image.platform
    if platform is not None:
        yield str(platform)
    identity = image.image_id or image.manifest_digest
    if not image.names and identity is not None:
        yield str(identity)[:19]


def _describe_other(other: OtherRecord) -> str:
    words = [*other.names, str(other.platform or ""), str(other.digest or "")[:19]]
    return " ".join(word for word in words if word)
