"""The JSON documents of image archives, parsed at the door: OCI index, manifest and config, Docker's
`manifest.json`, `repositories` and version 1 documents.

OCI image-spec (image-index.md, manifest.md, config.md, descriptor.md) and Docker's image spec v1.2 name the
fields; producers leave most of them out now and then, so a value that is absent or null is None or empty, and
only one of the wrong type is MalformedInput, which says where (`layers[2].digest`). Unknown keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput
from tarlayers.formats.document_fields import CONFIG, MANIFEST, MANIFEST_JSON
from tarlayers.formats.json_fields import parse_fields
from tarlayers.formats.json_text import Json, parse_json


class Platform(NamedTuple):
    """What an image runs on; `str()` gives os/architecture[/variant]."""

    os: str
    architecture: str
    variant: str | None = None
    os_version: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(NamedTuple):
    """Points at a blob: its claimed digest, size and type."""

    media_type: str | None
    digest: Digest
    size: int | None
    annotations: Mapping[str, str]
    platform: Platform | None
    urls: tuple[str, ...]
    artifact_type: str | None
    data: str | None = None
    """The blob itself in base64, where the document embeds it (image-spec descriptor.md, "Embedded Content")."""


class Index(NamedTuple):
    """An image index or manifest list."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    media_type: str | None
    raw: bytes


class Manifest(NamedTuple):
    """An image manifest, of OCI or Docker schema 2."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    media_type: str | None
    artifact_type: str | None
    subject: Descriptor | None
    raw: bytes


class HistoryStep(NamedTuple):
    """One build step, as the configuration tells it."""

    created: str | None
    created_by: str | None
    comment: str | None
    author: str | None
    empty_layer: bool


class Config(NamedTuple):
    """An image configuration."""

    os: str | None
    architecture: str | None
    variant: str | None
    os_version: str | None
    created: str | None
    author: str | None
    config: Mapping[str, Any]
    """The run-time part: Env, Cmd, Labels and so on, as it stands."""
    diff_ids: tuple[Digest, ...] | None
    """None where the document has none."""
    history: tuple[HistoryStep, ...]
    raw: bytes

    @property
    def platform(self) -> Platform | None:
        """What the configuration says it runs on."""
        if not self.os and not self.architecture:
            return None
        return Platform(self.os or "unknown", self.architecture or "unknown", self.variant, self.os_version)


class DockerManifestItem(NamedTuple):
    """One image of a docker-archive's `manifest.json`; names are member names."""

    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]
    layer_sources: Mapping[str, Descriptor]
    """By diff ID, where docker knows what a layer was pulled as."""


class V1Image(NamedTuple):
    """A version 1 `<id>/json` document: one layer and the step that made it."""

    id: str
    parent: str | None
    step: HistoryStep
    config: Config


# -- parsing ---------------------------------------------------------------------------------------


_PAST = 1 << 63


class _Node:
    """A JSON value and the path to it, for errors that say where."""

    def __init__(self, value: Json, place: str, path: str = "") -> None:
        self.value = value
        self._place = place
        self._path = path

    def _wrong(self, wanted: str) -> MalformedInput:
        return MalformedInput(f"{self._path or 'document'}: expected {wanted}", place=self._place)

    def get(self, key: str) -> _Node:
        """A member of an object; of null and of what is absent, null."""
        if self.value is None:
            return _Node(None, self._place, f"{self._path}.{key}".lstrip("."))
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return _Node(self.value.get(key), self._place, f"{self._path}.{key}".lstrip("."))

    def items(self) -> list[_Node]:
        """The elements of an array; none of null."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self._wrong("an array")
        return [_Node(value, self._place, f"{self._path}[{i}]") for i, value in enumerate(self.value)]

    def text(self) -> str | None:
        """A string, or None for null and for the empty string."""
        if self.value is not None and not isinstance(self.value, str):
            raise self._wrong("a string")
        return self.value or None

    def integer(self) -> int | None:
        """A whole number of 64 bits, or None. Engines take a size below 0, which no blob has."""
        if self.value is None:
            return None
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not -_PAST <= self.value < _PAST:
            raise self._wrong("a number of bytes")
        return self.value

    def digest(self) -> Digest:
        """A digest that has to be there."""
        return Digest.parse(self.value, f"{self._place}: {self._path}")

    def texts(self) -> tuple[str, ...]:
        """An array of strings."""
        return tuple(item.text() or "" for item in self.items())

    def mapping(self) -> Mapping[str, Any]:
        """An object; an empty one for null."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return self.value

    def strings(self) -> Mapping[str, str]:
        """An object of strings; values of other types as their JSON."""
        return {key: value if isinstance(value, str) else _spell(value) for key, value in self.mapping().items()}


def _spell(value: Json) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_index(raw: bytes, place: str, *, streamed: bool = False) -> Index:
    """Parse an index or manifest list. An `index.json` is `streamed`: what follows its first value is of no account."""
    node = _Node(parse_fields(raw, place, MANIFEST, streamed=streamed), place)
    return Index(
        manifests=tuple(_descriptor(item) for item in node.get("manifests").items()),
        annotations=node.get("annotations").strings(),
        media_type=node.get("mediaType").text(),
        raw=raw,
    )


def parse_manifest(raw: bytes, place: str) -> Manifest:
    """Parse an image manifest."""
    node = _Node(parse_fields(raw, place, MANIFEST), place)
    config, subject = node.get("config"), node.get("subject")
    return Manifest(
        config=_descriptor(config) if config.value is not None else None,
        layers=tuple(_descriptor(item) for item in node.get("layers").items()),
        annotations=node.get("annotations").strings(),
        media_type=node.get("mediaType").text(),
        artifact_type=node.get("artifactType").text(),
        subject=_descriptor(subject) if subject.value is not None else None,
        raw=raw,
    )


def _descriptor(node: _Node) -> Descriptor:
    data = node.get("data").value
    return Descriptor(
        media_type=node.get("mediaType").text(),
        digest=node.get("digest").digest(),
        size=node.get("size").integer(),
        annotations=node.get("annotations").strings(),
        platform=_platform(node.get("platform")),
        urls=node.get("urls").texts(),
        artifact_type=node.get("artifactType").text(),
        data=data if isinstance(data, str) else None,
    )


def _platform(node: _Node) -> Platform | None:
    """Give a platform; one that says nothing is none, and not the one that attestations have."""
    os, architecture = node.get("os").text(), node.get("architecture").text()
    if not os and not architecture:
        return None
    return Platform(
        os=os or "unknown",
        architecture=architecture or "unknown",
        variant=node.get("variant").text(),
        os_version=node.get("os.version").text(),
    )


def parse_config(raw: bytes, place: str) -> Config:
    """Parse an image configuration."""
    node = _Node(parse_fields(raw, place, CONFIG), place)
    diff_ids = node.get("rootfs").get("diff_ids")
    return Config(
        os=node.get("os").text(),
        architecture=node.get("architecture").text(),
        variant=node.get("variant").text(),
        os_version=node.get("os.version").text(),
        created=node.get("created").text(),
        author=node.get("author").text(),
        config=node.get("config").mapping(),
        diff_ids=tuple(item.digest() for item in diff_ids.items()) if diff_ids.value is not None else None,
        history=tuple(_history_step(item) for item in node.get("history").items()),
        raw=raw,
    )


def _history_step(node: _Node) -> HistoryStep:
    return HistoryStep(
        created=node.get("created").text(),
        created_by=node.get("created_by").text(),
        comment=node.get("comment").text(),
        author=node.get("author").text(),
        empty_layer=node.get("empty_layer").value is True,
    )


def parse_docker_manifest(raw: bytes, place: str) -> tuple[DockerManifestItem, ...]:
    """Parse a docker-archive's `manifest.json`, where what follows the first value is of no account."""
    node = _Node(parse_fields(raw, place, MANIFEST_JSON, streamed=True), place)
    return tuple(map(_docker_item, node.items()))


def _docker_item(node: _Node) -> DockerManifestItem:
    sources = node.get("LayerSources")
    return DockerManifestItem(
        config=node.get("Config").text() or "",
        repo_tags=node.get("RepoTags").texts(),
        layers=node.get("Layers").texts(),
        layer_sources={key: _descriptor(sources.get(key)) for key in sources.mapping()},
    )


def parse_repositories(raw: bytes, place: str) -> Mapping[str, str]:
    """Parse `repositories`: full name with tag to the v1 ID of the top layer."""
    node = _Node(parse_json(raw, place), place)
    return {
        f"{name}:{tag}": node.get(name).get(tag).text() or ""
        for name in node.mapping()
        for tag in node.get(name).mapping()
    }


def parse_v1_image(raw: bytes, place: str) -> V1Image:
    """Parse a version 1 `<id>/json` document."""
    node = _Node(parse_fields(raw, place, CONFIG), place)
    command = node.get("container_config").get("Cmd").value
    created_by = " ".join(str(word) for word in command) if isinstance(command, list) else None
    step = HistoryStep(
        node.get("created").text(), created_by, node.get("comment").text(), node.get("author").text(), False
    )
    config = Config(
        os=node.get("os").text(),
        architecture=node.get("architecture").text(),
        variant=node.get("variant").text(),
        os_version=None,
        created=node.get("created").text(),
        author=node.get("author").text(),
        config=node.get("config").mapping(),
        diff_ids=None,
        history=(),
        raw=raw,
    )
    return V1Image(node.get("id").text() or "", node.get("parent").text(), step, config)


def chain_v1_config(top: Config, steps: Sequence[HistoryStep]) -> Config:
    """Give the configuration of the top layer the history that its chain of parents tells, base first."""
    return Config(
        top.os, top.architecture, top.variant, top.os_version, top.created, top.author, top.config, None,
        tuple(steps), top.raw,
    )  # fmt: skip
