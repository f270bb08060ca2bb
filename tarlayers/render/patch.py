"""One file's unified diff, as bytes and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tarlayers.analysis.patch import MOST_BYTES, FilePatch, PatchSide
from tarlayers.render.escape import escape_text
from tarlayers.render.values import entry_dict, human_size, path_fields


def patch_document(patch: FilePatch) -> dict[str, Any]:
    """The answer of `diff --patch`; `reason` says why there is no text although the contents differ."""
    document: dict[str, Any] = {
        "identical": patch.identical,
        **path_fields("path", patch.path),
        "old": _side_document(patch.old),
        "new": _side_document(patch.new),
    }
    if patch.reason is not None:
        return document | {"reason": patch.reason}
    return document | {"patch": b"".join(patch_bytes(patch)).decode("utf-8", "replace")}


def _side_document(side: PatchSide | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return entry_dict(side.entry, path=side.path, layer=side.layer) | {"created_by": side.created_by}


def patch_bytes(patch: FilePatch, *, terminal: bool = False) -> Iterator[bytes]:
    """What `patch -p1` and `git apply` take, the file's own bytes in it; on a terminal those that could drive it
    are escaped.
    """
    old, new = (_name(side, prefix) for side, prefix in ((patch.old, "a"), (patch.new, "b")))
    if patch.old is not None and patch.new is not None and patch.old.entry.mode != patch.new.entry.mode:
        yield f"old mode 100{patch.old.entry.mode:03o}\nnew mode 100{patch.new.entry.mode:03o}\n".encode()
    if patch.reason == "binary":
        yield f"Binary files {old} and {new} differ\n".encode()
    elif patch.reason is not None:
        bound = human_size(MOST_BYTES)
        yield f"Files {old} and {new} differ (not shown: more than {bound}, or too many lines)\n".encode()
    elif patch.lines:
        yield f"--- {old}\n+++ {new}\n".encode()
        yield from (map(_make_safe, patch.lines) if terminal else patch.lines)


def patch_markdown(patch: FilePatch) -> Iterator[bytes]:
    """The diff as a block of code, fenced with more backticks than stand in a row in it."""
    body = b"".join(patch_bytes(patch, terminal=True))
    fence = b"`" * max(3, 1 + max(map(len, re.findall(rb"`+", body)), default=0))
    yield b"".join((fence, b"diff\n", body, fence, b"\n"))


def _name(side: PatchSide | None, prefix: str) -> str:
    return f"{prefix}{escape_text(side.path)}" if side is not None else "/dev/null"


def _make_safe(line: bytes) -> bytes:
    text = line.decode("utf-8", "surrogateescape")
    safe = "\n".join("\t".join(map(escape_text, part.split("\t"))) for part in text.split("\n"))
    return safe.encode("utf-8", "backslashreplace")
