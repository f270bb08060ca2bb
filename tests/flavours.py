"""What each producer writes: the same images in every layout of the wild. docs/formats.md has their pictures.

    PRODUCERS["podman"].make([app])     # {member name: bytes or Link}, in the order in which podman writes

The plain layouts are in `tests.build`; here are those that differ in names, order, links and documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.build import (
    COMPRESS,
    FLAVOURS,
    Files,
    Image,
    Link,
    compact,
    docker_20,
    docker_25,
    oci,
    sha256,
)
from tests.oci_flavours import (
    INDEX,
    LIST,
    absent_platform,
    attested,
    crane_oci,
    nested,
    podman_oci,
    shared_blobs,
    skopeo_dir,
    skopeo_dir_all,
    tags_alone,
    untagged_manifest_json,
)


@dataclass(frozen=True)
class Producer:
    """A layout, and what it cannot carry."""

    make: Callable[[Sequence[Image]], Files]
    lacks: tuple[str, ...] = ()
    """Fields of `inspect` that this layout has no place for."""
    tar: bool = True
    """It comes as a tar; else as a directory alone."""


# -- version 1.0 -----------------------------------------------------------------------------------


def v1_id(each: Image, index: int) -> str:
    return sha256(b"%d %s" % (index, each.config_bytes))


def v1_document(each: Image, index: int) -> bytes:
    """`<id>/json` of one layer; the top one has the run-time configuration too."""
    steps = [step for step in each.config["history"] if not step.get("empty_layer")]
    document: dict[str, Any] = {"id": v1_id(each, index), "created": steps[index]["created"]}
    if index:
        document["parent"] = v1_id(each, index - 1)
    document["container_config"] = {"Cmd": steps[index]["created_by"].split(" ")}
    if index == len(each.layers) - 1:
        document |= {key: each.config[key] for key in ("created", "config", "architecture", "os")}
    return compact(document)


def v1_files(each: Image, *, directories: bool = True, compression: str = "none") -> Files:
    files: Files = {}
    for i, plain in enumerate(each.layers):
        at = v1_id(each, i)
        files |= {f"{at}/": b""} if directories else {}
        files |= {f"{at}/VERSION": b"1.0", f"{at}/json": v1_document(each, i)}
        files[f"{at}/layer.tar"] = COMPRESS[compression](plain)
    return files


def repositories(images: Sequence[Image]) -> Files:
    tops: dict[str, dict[str, str]] = {}
    for each in images:
        for name in each.names:
            repository, _, tag = name.rpartition(":")
            tops.setdefault(repository, {})[tag] = v1_id(each, len(each.layers) - 1)
    return {"repositories": compact(tops)}


def docker_1_0(images: Sequence[Image]) -> Files:
    """docker save before 1.10: no manifest.json, no configuration, no diff IDs."""
    return {name: data for each in images for name, data in v1_files(each).items()} | repositories(images)


def docker_1_0_by_id(images: Sequence[Image]) -> Files:
    """The same of an image that has no name: no `repositories` either."""
    return {name: data for name, data in docker_1_0(images).items() if name != "repositories"}


# -- docker-archives -------------------------------------------------------------------------------


def docker_archive(
    images: Sequence[Image],
    config_name: Callable[[Image], str],
    layer_name: Callable[[Image, int], str],
    compression: str = "none",
) -> Files:
    """Layers, configurations and manifest.json, under whatever names."""
    files: Files = {}
    manifest = []
    for each in images:
        names = [layer_name(each, i) for i in range(len(each.layers))]
        files |= {name: COMPRESS[compression](plain) for name, plain in zip(names, each.layers, strict=True)}
        files[config_name(each)] = each.config_bytes
        manifest.append({"Config": config_name(each), "RepoTags": list(each.names), "Layers": names})
    return files | {"manifest.json": compact(manifest)}


def hex_json(each: Image) -> str:
    return f"{sha256(each.config_bytes)}.json"


def v1_layer(each: Image, index: int) -> str:
    return f"{v1_id(each, index)}/layer.tar"


def blob_name(suffix: str, compression: str, prefix: str = "") -> Callable[[Image, int], str]:
    return lambda each, index: f"{prefix}{sha256(COMPRESS[compression](each.layers[index]))}{suffix}"


def docker_1_10(images: Sequence[Image]) -> Files:
    """docker save from 1.10 on: version 1.0 with manifest.json and configurations beside it."""
    return docker_1_0(images) | docker_archive(images, hex_json, v1_layer)


def crane(images: Sequence[Image]) -> Files:
    """go-containerregistry's tarball, which is kaniko's and ko's too: flat, gzip, `sha256:<hex>`."""
    return docker_archive(
        images, lambda each: f"sha256:{sha256(each.config_bytes)}", blob_name(".tar.gz", "gzip"), "gzip"
    )


def crane_legacy(images: Sequence[Image]) -> Files:
    """`crane pull --format=legacy`: version 1 names with gzip in `layer.tar`."""
    files: Files = {}
    for each in images:
        files |= v1_files(each, directories=False, compression="gzip")
    return files | docker_archive(images, hex_json, v1_layer, "gzip") | repositories(images)


def jib(images: Sequence[Image]) -> Files:
    """jib buildTar: one image, `config.json`."""
    return docker_archive(images[:1], lambda _: "config.json", blob_name(".tar.gz", "gzip"), "gzip")


def rules_docker(images: Sequence[Image]) -> Files:
    """Bazel's rules_docker: the configuration first, no directories."""
    configs: Files = {hex_json(each): each.config_bytes for each in images}
    layers = {name: data for each in images for name, data in v1_files(each, directories=False).items()}
    manifest = docker_archive(images, hex_json, v1_layer)["manifest.json"]
    return configs | layers | repositories(images) | {"manifest.json": manifest}


def rules_oci(images: Sequence[Image]) -> Files:
    """Bazel's rules_oci: manifest.json first, blobs with a suffix."""
    files = docker_archive(
        images,
        lambda each: f"blobs/sha256/{sha256(each.config_bytes)}",
        blob_name(".tar.gz", "gzip", "blobs/sha256/"),
        "gzip",
    )
    return {"manifest.json": files.pop("manifest.json"), "blobs/": b"", "blobs/sha256/": b"", **files}


def nix_stream(images: Sequence[Image]) -> Files:
    """nixpkgs streamLayeredImage: directories called by the diff ID."""
    return docker_archive(images, hex_json, blob_name("/layer.tar", "none"))


def nix_build(images: Sequence[Image]) -> Files:
    """nixpkgs buildImage: what docker 1.10 writes, packed by GNU tar, sorted, with a member for the root."""
    return {"./": b""} | dict(sorted(docker_1_10(images).items()))


def podman(images: Sequence[Image]) -> Files:
    """podman and skopeo: `<diff id>.tar`, stored once; version 1 names are links to them; no directories."""
    files = docker_archive(images, hex_json, blob_name(".tar", "none"))
    manifest = files.pop("manifest.json")
    for each in images:
        for i, plain in enumerate(each.layers):
            at = v1_id(each, i)
            files[f"{at}/layer.tar"] = Link(f"../{sha256(plain)}.tar")
            files |= {f"{at}/VERSION": b"1.0", f"{at}/json": v1_document(each, i)}
    return files | {"manifest.json": manifest} | repositories(images)


def docker_squash(images: Sequence[Image]) -> Files:
    """docker-squash: documents before the layers, the configuration last; no RepoTags where there is no tag."""
    documents = docker_archive(images, hex_json, v1_layer)
    layers = {name: data for each in images for name, data in v1_files(each).items()}
    configs: Files = {hex_json(each): each.config_bytes for each in images}
    return repositories(images) | {"manifest.json": documents["manifest.json"]} | layers | configs


# -- links and names -------------------------------------------------------------------------------


def links_first(files: Files) -> Files:
    """Every link before its target, as it comes when members are sorted."""
    links = {name: content for name, content in files.items() if isinstance(content, Link)}
    return links | {name: content for name, content in files.items() if name not in links}


def hard_links(files: Files) -> Files:
    """Symlinks to `../x` as hard links to `x`, as some archivers pack them."""
    return {
        name: Link(content.target.removeprefix("../"), hard=True) if isinstance(content, Link) else content
        for name, content in files.items()
    }


def rename(files: Files, spell: Callable[[str], str]) -> Files:
    """The same members under names that are spelled differently; documents still say the plain ones."""
    return {spell(name): content for name, content in files.items()}


def in_directory(make: Callable[[Sequence[Image]], Files]) -> Callable[[Sequence[Image]], Files]:
    """Somebody unpacked an archive and packed the directory, not what is in it."""
    return lambda images: rename(make(images), lambda name: f"./app/{name}")


def no_directories(files: Files) -> Files:
    return {name: content for name, content in files.items() if not name.endswith("/")}


_V1_LACKS = ("image_id", "history")
PRODUCERS: dict[str, Producer] = {
    **{name: Producer(make) for name, make in FLAVOURS.items()},
    "docker-25-zstd": Producer(lambda images: docker_25(images, "zstd")),
    "docker-1.0": Producer(docker_1_0, _V1_LACKS),
    "docker-1.0-by-id": Producer(docker_1_0_by_id, (*_V1_LACKS, "names")),
    "docker-1.10": Producer(docker_1_10),
    "crane kaniko ko": Producer(crane),
    "crane-legacy": Producer(crane_legacy),
    "jib": Producer(jib),
    "rules_docker": Producer(rules_docker),
    "rules_oci": Producer(rules_oci),
    "nix-stream": Producer(nix_stream),
    "nix-build": Producer(nix_build),
    "podman skopeo": Producer(podman),
    "docker-squash": Producer(docker_squash),
    "links-first": Producer(lambda images: links_first(docker_20(images))),
    "hard-links": Producer(lambda images: hard_links(docker_20(images))),
    "hard-links-first": Producer(lambda images: links_first(hard_links(docker_20(images)))),
    "podman-links-first": Producer(lambda images: links_first(podman(images))),
    "dot-slash": Producer(lambda images: rename(docker_25(images), lambda name: f"./{name}")),
    "leading-slash": Producer(lambda images: rename(docker_20(images), lambda name: f"/{name}")),
    "doubled-slashes": Producer(lambda images: rename(docker_25(images), lambda name: name.replace("/", "//"))),
    "docker-1.10 in a directory": Producer(in_directory(docker_1_10)),
    "podman in a directory": Producer(in_directory(podman)),
    "oci in a directory": Producer(in_directory(oci)),
    "rules_oci in a directory": Producer(in_directory(rules_oci)),
    "no-directories": Producer(lambda images: no_directories(docker_25(images, "gzip"))),
    "repo-tags-null": Producer(untagged_manifest_json),
    "tags-alone": Producer(tags_alone),
    "podman-oci": Producer(podman_oci),
    "crane-oci": Producer(crane_oci),
    "nested-index": Producer(nested([INDEX, INDEX])),
    "docker-list-in-oci": Producer(nested([LIST])),
    "oci-in-docker-list-in-oci": Producer(nested([LIST, INDEX])),
    "attested": Producer(attested),
    "absent-platform": Producer(absent_platform),
    "documents-first": Producer(lambda images: dict(reversed(oci(images).items()))),
    "shared-blobs": Producer(shared_blobs, tar=False),
    "dir": Producer(skopeo_dir, ("names",), tar=False),
    "dir-all": Producer(skopeo_dir_all, ("names",), tar=False),
}
