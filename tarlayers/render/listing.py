"""File listings as text: paths, long lines, trees. Rows are (path, entry, layer, links), sorted by path.

Where there is no layer, another word stands in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tarlayers.entry import Entry
from tarlayers.render.escape import escape_text
from tarlayers.render.values import format_time, human_size, mode_string

if TYPE_CHECKING:
    from tarlayers.analysis.usage import Usage

Row = tuple[str, Entry, int | str, Sequence[str]]


_DIGEST = len("sha256:") + 64


def list_paths(rows: Iterable[Row], *, digests: bool = False) -> Iterator[str]:
    """One path a line; with `digests` the content's digest before it."""
    for path, entry, _layer, _links in rows:
        digest = f"{_digest(entry):{_DIGEST}} " if digests else ""
        yield digest + escape_text(path or "/")


def _digest(entry: Entry) -> str:
    return f"sha256:{entry.sha256.hex()}" if entry.sha256 is not None else "-"


def list_long(rows: Sequence[Row], *, digests: bool = False) -> Iterator[str]:
    """Mode, owner, size, time, layer, with `digests` the content's digest, and path, as `ls -l` has them; columns as
    wide as they have to be.
    """
    # The cells are made twice, for their widths and to be shown: kept, they were 250 bytes a row.
    widths = [0] * 6
    for row in rows:
        widths = list(map(max, widths, map(len, _long_cells(row[1], row[2]))))
    for path, entry, label, links in rows:
        mode, uid, gid, size, time, layer = _long_cells(entry, label)
        digest = f"{_digest(entry):{_DIGEST}} " if digests else ""
        yield (
            f"{mode:{widths[0]}} {uid:>{widths[1]}} {gid:>{widths[2]}} {size:>{widths[3]}} "
            f"{time:{widths[4]}} {layer:>{widths[5]}} {digest}{_long_name(path, entry, links)}"
        )


def _long_cells(entry: Entry, layer: int | str) -> tuple[str, ...]:
    size = f"{entry.rdev[0]},{entry.rdev[1]}" if entry.rdev is not None else str(entry.size)
    time = format_time(entry.mtime // 1_000_000_000 * 1_000_000_000) if entry.mtime is not None else "-"
    label = layer if isinstance(layer, str) else f"L{layer}"
    return (mode_string(entry.type, entry.mode), str(entry.uid), str(entry.gid), size, time, label)


def _long_name(path: str, entry: Entry, links: Sequence[str]) -> str:
    name = escape_text(path or "/")
    if entry.link is not None:
        name += (" -> " if entry.type == "symlink" else " link to ") + escape_text(entry.link)
    elif links:
        name += " = " + " ".join(escape_text(link) for link in links)
    return name


def list_usage(usages: Iterable[Usage], total: Usage) -> Iterator[str]:
    """Size, where it comes from and path, as `du -h` has them; the total last."""
    cells = [(human_size(usage.bytes), _sources(usage), escape_text(usage.path or "/")) for usage in (*usages, total)]
    widths = [max(len(row[i]) for row in cells) for i in range(2)]
    for size, sources, path in cells:
        yield f"{size:>{widths[0]}}  {sources:{widths[1]}}  {path}"


def _sources(usage: Usage) -> str:
    """The layers that the most bytes come from; the rest are counted."""
    parts = [f"L{layer} {human_size(size)}" for layer, size in usage.by_layer.items()]
    return ", ".join(parts if len(parts) <= 3 else [*parts[:2], f"{len(parts) - 2} more"])


def list_tree(rows: Iterable[Row]) -> Iterator[str]:
    """A drawing like that of tree(1), with a line of counts at its end."""
    kept = list(rows)
    paths = [row[0] for row in kept]
    last = _last_children(paths)
    dirs = 0
    if paths:
        yield escape_text(paths[0].rpartition("/")[0] or "/")
    top = paths[0].count("/") if paths else 0
    for path, entry, _layer, _links in kept:
        dirs += entry.type == "dir"
        parts = path.split("/")
        trunk = "".join("    " if "/".join(parts[:i]) in last else "│   " for i in range(top + 1, len(parts)))
        target = f" -> {escape_text(entry.link)}" if entry.type == "symlink" and entry.link else ""
        yield f"{trunk}{'└── ' if path in last else '├── '}{escape_text(parts[-1])}{target}"
    yield ""
    files = len(kept) - dirs
    yield f"{dirs} director{'y' if dirs == 1 else 'ies'}, {files} file{'' if files == 1 else 's'}"


def _last_children(paths: Sequence[str]) -> set[str]:
    """The paths that are the last of their directory."""
    last: dict[str, str] = {}
    for path in paths:
        last[path.rpartition("/")[0]] = path
    return set(last.values())
