"""An image configuration as one level of keys, so that two can be held against each other key by key.

`Env.PATH`, `Labels.maintainer`, `ExposedPorts.80/tcp` and `Healthcheck.Test` are keys of their own; every other
key of the document and of its run-time part (`config`) is one as a whole, also where no specification knows it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tarlayers.formats.document_fields import CONFIG
from tarlayers.formats.documents import Config
from tarlayers.formats.json_fields import parse_fields

# What a build writes of itself, not of the image: its time, its containers, its version, the IDs of its store.
# The history, the layers and the run-time part are told apart elsewhere.
_BUILD = frozenset(
    ("created", "container", "container_config", "docker_version", "id", "parent", "parent_id", "layer_id",
     "throwaway", "Size", "checksum", "history", "rootfs", "config")
)  # fmt: skip
_BUILD_PREFIX = "moby.buildkit."
# Of the run-time part: the ID of the parent image in the store of whoever built it; and the name that docker gave
# a build container after its ID, which is no host name of anything.
_PARENT_IMAGE = "Image"
_CONTAINER_NAME = re.compile(r"[0-9a-f]{12}")


KeyPath = tuple[str, ...]
"""Where a key stands: `("os",)`, `("config", "User")`, `("config", "Env", "PATH")`."""
_RUNTIME = "config"


def flatten_config(config: Config | None) -> dict[KeyPath, Any]:
    """Give every key that says something of the image, by where it stands; null, an empty value and false are as if
    absent.

    An empty variable or label is there, with the empty string. Of a variable that is set twice the last counts.
    """
    if config is None:
        return {}
    document = parse_fields(config.raw, "configuration", CONFIG)
    flat: dict[KeyPath, Any] = {
        (key,): value
        for key, value in document.items()
        if key not in _BUILD and not key.startswith(_BUILD_PREFIX) and _says_something(value)
    }
    for key, value in config.config.items():
        if key != _PARENT_IMAGE and not (key == "Hostname" and _CONTAINER_NAME.fullmatch(str(value))):
            flat.update(_flatten(key, value))
    return flat


def name_keys(paths: Iterable[KeyPath]) -> dict[KeyPath, str]:
    """Name keys by themselves: `os`, `User`, `Env.PATH`. Those of the run-time part, and of the document, whose names
    would be one are told apart (`config.User`). The names come in their order.
    """
    named = sorted((".".join(path[path[0] == _RUNTIME :]), path) for path in paths)
    count = Counter(name for name, _ in named)
    return {path: name if count[name] == 1 else ".".join(path) for name, path in named}


def is_same_value(one: object, other: object) -> bool:
    """Say whether two JSON values are one; `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _flatten(key: str, value: object) -> Iterator[tuple[KeyPath, object]]:
    if key == "Env" and isinstance(value, list):
        for item in value:
            name, _, content = str(item).partition("=")
            yield (_RUNTIME, key, name), content
    elif isinstance(value, Mapping):
        for inner, content in value.items():
            yield (_RUNTIME, key, inner), content
    elif _says_something(value):
        yield (_RUNTIME, key), value


def _says_something(value: object) -> bool:
    return value is not None and value is not False and value not in ("", [], {})
