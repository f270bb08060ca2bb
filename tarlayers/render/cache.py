"""The layer cache as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_text
from tarlayers.render.values import human_size
from tarlayers.sources.layercache import CacheUsage, LayerCache


def info_document(cache: LayerCache | None, off: str | None) -> dict[str, Any]:
    """`off` says why the cache is not used."""
    document: dict[str, Any] = {"off": off} if off else {}
    if cache is not None:
        usage = cache.measure()
        document |= {
            "path": escape_text(str(cache.path)),
            "layers": usage.layers,
            "bytes": usage.bytes,
            "limit": cache.most_bytes,
        }
    return document


def info_lines(cache: LayerCache | None, off: str | None) -> Iterator[str]:
    """`off` says why the cache is not used."""
    if cache is not None:
        usage = cache.measure()
        yield f"path    {escape_text(str(cache.path))}"
        yield f"layers  {usage.layers}"
        yield f"size    {human_size(usage.bytes)} of {human_size(cache.most_bytes)}"
    if off:
        yield f"off     {escape_text(off)}"


def cleared_document(removed: CacheUsage) -> dict[str, Any]:
    """What was removed."""
    return {"removed": {"layers": removed.layers, "bytes": removed.bytes}}


def cleared_lines(removed: CacheUsage) -> Iterator[str]:
    """What was removed."""
    yield f"removed {count_noun(removed.layers, 'layer')}, {human_size(removed.bytes)}"
