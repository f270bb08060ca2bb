"""What of a document is read here but not by engines: they decode it into fields of one type, and fail where another
stands there (encoding/json; image-spec specs-go, containerd images/image.go, validateMediaType).

A decoder takes null for every field, and an element that is null for an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_LISTS = ("Env", "Cmd", "Entrypoint")


def find_config_faults(value: object) -> Iterator[str]:
    """Say what engines do not take of a configuration."""
    if not isinstance(value, dict):
        return
    history, run = value.get("history"), value.get("config")
    if not is_time(value.get("created")):
        yield "created is no time of RFC 3339"
    for i, step in enumerate(history if isinstance(history, list) else []):
        if isinstance(step, dict) and not is_time(step.get("created")):
            yield f"history[{i}].created is no time of RFC 3339"
    if not isinstance(run, dict):
        return
    for name in _LISTS:
        if not _is_list_of_texts(run.get(name)):
            yield f"config.{name} is no list of texts"
    if not _is_map_of_texts(run.get("Labels")):
        yield "config.Labels is no map of texts"


def find_manifest_faults(value: object) -> Iterator[str]:
    """Say what engines do not take of an index or a manifest."""
    if not isinstance(value, dict):
        return
    both = [name for name in ("manifests", "fsLayers", "config", "layers") if name in value]
    if both[0:1] in (["manifests"], ["fsLayers"]) and {"config", "layers"} & set(both):
        yield f"it has {' and '.join(both)}, so that nobody can tell what it is"
    if not _is_map_of_texts(value.get("annotations")):
        yield "annotations is no map of texts"
    for name in ("manifests", "layers"):
        listed = value.get(name)
        for i, descriptor in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(descriptor, dict) and not _is_map_of_texts(descriptor.get("annotations")):
                yield f"{name}[{i}].annotations is no map of texts"


def find_index_faults(value: object) -> Iterator[str]:
    """Say which descriptors of an archive's own index containerd does not follow."""
    listed = value.get("manifests") if isinstance(value, dict) else None
    for i, descriptor in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(descriptor, dict):
            for name in ("mediaType", "size"):
                if not descriptor.get(name):
                    yield f"manifests[{i}] has no {name}, without which containerd takes nothing"


def is_time(value: object) -> bool:
    """Say whether a field is a time as Go reads it, or absent."""
    if value is None:
        return True
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    year, month, day = map(int, match.group(1, 2, 3))
    try:
        date(year or 4, month, day)  # the year 0 of Go is a leap year, and Python has none
    except ValueError:
        return False
    return True


def _is_list_of_texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(item is None or isinstance(item, str) for item in value))


def _is_map_of_texts(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and all(item is None or isinstance(item, str) for item in value.values())
    )
