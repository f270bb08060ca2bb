"""One file's unified diff, as bytes and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tarlayers.analysis.patch import MOST_BYTES, FilePatch, PatchSide
from tarlayers.render.escape import escape_text
from tarlayers.render.values import entry_dict, human_size, path_fields

_NOTHING = b"/dev/null"
_ESCAPES = dict(zip(b'\a\b\t\n\v\f\r"\\', (b"\\" + bytes((letter,)) for letter in b'abtnvfr"\\'), strict=True))


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
    if patch.identical:
        return
    path = _common_path(patch)
    old, new = (_quote_name(f"{prefix}{path}") for prefix in ("a", "b"))
    yield b"diff --git %b %b\n" % (old, new)
    yield from _mode_lines(patch)
    old, new = old if patch.old else _NOTHING, new if patch.new else _NOTHING
    if patch.reason == "binary":
        yield b"Binary files %b and %b differ\n" % (old, new)
    elif patch.reason is not None:
        bound = human_size(MOST_BYTES).encode()
        yield b"Files %b and %b differ (not shown: more than %b, or too many lines)\n" % (old, new, bound)
    elif patch.lines:
        yield b"--- %b\n+++ %b\n" % (old, new)
        yield from (map(_make_safe, patch.lines) if terminal else patch.lines)


def _common_path(patch: FilePatch) -> str:
    """Give the name of both sides: the asked one where symlinks lead to two places, for a patch renames nothing."""
    paths = {side.path for side in (patch.old, patch.new) if side is not None}
    return paths.pop() if len(paths) == 1 else patch.path


def _mode_lines(patch: FilePatch) -> Iterator[bytes]:
    """The lines of git's extended header, by which files come, go and change their modes."""
    old, new = (None if side is None else b"10%04o" % side.entry.mode for side in (patch.old, patch.new))
    if old is None:
        yield b"new file mode %b\n" % (new or b"")
    elif new is None:
        yield b"deleted file mode %b\n" % old
    elif old != new:
        yield b"old mode %b\nnew mode %b\n" % (old, new)


def patch_markdown(patch: FilePatch) -> Iterator[bytes]:
    """The diff as a block of code, fenced with more backticks than stand in a row in it."""
    body = b"".join(patch_bytes(patch, terminal=True))
    fence = b"`" * max(3, 1 + max(map(len, re.findall(rb"`+", body)), default=0))
    yield b"".join((fence, b"diff\n", body, fence, b"\n"))


def _quote_name(name: str) -> bytes:
    """Spell a name as git does (quote.c): between quotes, with the escapes of C, where it would not be read back; also
    one with a blank, which git leaves bare and GNU patch takes for two.
    """
    raw = name.encode("utf-8", "surrogateescape")
    if escape_text(name) == name and not set(' "\\').intersection(name):
        return raw
    return b'"%b"' % b"".join(_ESCAPES.get(byte) or _spell_byte(byte) for byte in raw)


def _spell_byte(byte: int) -> bytes:
    return bytes((byte,)) if 0x20 <= byte < 0x7F else b"\\%03o" % byte


def _make_safe(line: bytes) -> bytes:
    text = line.decode("utf-8", "surrogateescape")
    safe = "\n".join("\t".join(map(escape_text, part.split("\t"))) for part in text.split("\n"))
    return safe.encode("utf-8", "backslashreplace")
