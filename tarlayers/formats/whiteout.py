"""Names inside a layer: cleaning them, how long they may be, and what a `.wh.` name means.

Facts (image-spec layer.md "Whiteouts", and what containerd does, pkg/archive/tar.go):

- A name is cleaned textually: empty and `.` components are dropped, `..` takes the one before it away
  and stops at the root, a leading `/` means nothing.
- A base name that starts with `.wh.` is a marker, whatever the type of the entry. `.wh..wh..opq` hides
  all lower children of its directory; `.wh.NAME` hides the lower NAME.
- `.wh.`, `.wh..` and `.wh...` would hide the directory itself, `.` or `..`: engines refuse them.
"""

from __future__ import annotations

from tarlayers.limits import Limits, limit_exceeded
from tarlayers.linux import NAME_MAX, SHORT_NAME

PREFIX = ".wh."
OPAQUE = ".wh..wh..opq"
INVALID = frozenset((".wh.", ".wh..", ".wh..."))


def clean_path(name: str) -> str:
    """Give the absolute path of a member name: `./a//b/` is `/a/b`; the root is the empty string."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts) if parts else ""


def clean_slashed(whole: str) -> str:
    """Clean a name behind a slash as `clean_path` does, at a quarter of its cost where there is little to clean."""
    path = whole[2:] if whole.startswith("/./") else whole
    if "/." in path or "//" in path:
        return clean_path(path)
    return path[:-1] if path[-1] == "/" else path


def is_too_long(base: str) -> bool:
    """Say whether a component has more bytes than a file system takes."""
    return len(base) > SHORT_NAME and len(base.encode("utf-8", "surrogateescape")) > NAME_MAX


def check_name(name: bytes, linkname: bytes, offset: int, limits: Limits) -> None:
    """LimitExceeded for a member's name or link target that is too long, or a name of too many components."""
    for what, text in (("name", name), ("link target", linkname)):
        if len(text) > limits.path_bytes:
            raise limit_exceeded(limits, "path_bytes", f"a {what} of {len(text)} bytes", offset=offset)
    depth = name.count(b"/") + 1
    if depth > limits.path_depth:
        raise limit_exceeded(limits, "path_depth", f"a name of {depth} components", offset=offset)


def role_of(base: str) -> str:
    """Say what a base name is: `entry`, `whiteout` or `opaque`."""
    if not base.startswith(PREFIX):
        return "entry"
    return "opaque" if base == OPAQUE else "whiteout"


def whiteout_target(path: str) -> str:
    """Give the path that a whiteout's own path hides."""
    parent, _, base = path.rpartition("/")
    return f"{parent}/{base[len(PREFIX) :]}"
