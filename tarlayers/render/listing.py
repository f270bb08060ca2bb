"""File listings as text: paths, long lines, trees. Rows are (path, entry, layer, links), sorted by path.

Where there is no layer, another word stands in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING

from tarlayers.entry import Entry
from tarlayers.render.escape import escape_text, escape_texts
from tarlayers.render.values import batched, format_time, human_size, mode_string

if TYPE_CHECKING:
    from tarlayers.analysis.usage import Usage

Row = tuple[str, Entry, int | str, Sequence[str]]

_DIGEST = len("sha256:") + 64
_SECOND = 1_000_000_000
_KEPT = 1 << 12  # cells that rows have in common
_FEW = 64  # rows at a time: one comes with other names of its inode
_NAMES = 32  # other names of an inode that are shown: each name of it has all others


def list_paths(paths: Iterable[str]) -> Iterator[str]:
    """One path a line."""
    for batch in batched(paths):
        yield from escape_texts([path or "/" for path in batch])


def list_digests(rows: Iterable[Row]) -> Iterator[str]:
    """One path a line, with the content's digest before it."""
    for path, entry, _layer, _links in rows:
        yield f"{_digest(entry)}{escape_text(path or '/')}"


def _digest(entry: Entry) -> str:
    digest = f"sha256:{entry.sha256.hex()}" if entry.sha256 is not None else "-"
    return f"{digest:{_DIGEST}} "


def list_long(rows: Collection[Row], *, digests: bool = False) -> Iterator[str]:
    """Mode, owner, size, time, layer, with `digests` the content's digest, and path, as `ls -l` has them; columns as
    wide as they have to be.
    """
    columns = _Columns(rows)
    start, width, end = columns.start, columns.amount, columns.end
    for batch in batched(rows, _FEW):
        names = escape_texts([path or "/" for path, _, _, _ in batch])
        for name, (_, entry, label, links) in zip(names, batch, strict=True):
            _, kind, mode, uid, gid, size, mtime, link, rdev = entry[:9]
            amount = _device(rdev) if rdev is not None else str(size)
            digest = _digest(entry) if digests else ""
            more = _link_text(entry, links) if links or link is not None else ""
            yield f"{start(kind, mode, uid, gid)} {amount.rjust(width)} {end(mtime, label)} {digest}{name}{more}"


class _Columns:
    """The columns of a long listing, each as wide as its widest cell. Rows have most of their cells in common: those
    are kept as they are shown.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        entries: list[Entry] = []
        labels: set[int | str] = set()
        for _path, entry, label, _links in rows:
            entries.append(entry)
            labels.add(label)
        times = [time for time in map(attrgetter("mtime"), entries) if time is not None]
        devices = set(map(attrgetter("rdev"), entries)) - {None}
        self._uid = _widest(map(str, set(map(attrgetter("uid"), entries))))
        self._gid = _widest(map(str, set(map(attrgetter("gid"), entries))))
        self._label = _widest(map(_layer, labels))
        self.amount = _widest((str(max(map(attrgetter("size"), entries), default=0)), *map(_device, devices)))
        # Only years that are not of four digits are wider, and those are at an end.
        self._time = _widest(map(_time, (min(times, default=None), max(times, default=None))))
        self.start = lru_cache(_KEPT)(self._start)
        self.end = lru_cache(_KEPT)(self._end)

    def _start(self, kind: str, mode: int, uid: int, gid: int) -> str:
        return f"{mode_string(kind, mode)} {uid:>{self._uid}} {gid:>{self._gid}}"

    def _end(self, mtime: int | None, label: int | str) -> str:
        return f"{_time(mtime):{self._time}} {_layer(label):>{self._label}}"


def _widest(cells: Iterable[str]) -> int:
    return max(map(len, cells), default=0)


def _device(rdev: tuple[int, int]) -> str:
    return f"{rdev[0]},{rdev[1]}"


def _time(mtime: int | None) -> str:
    return format_time(mtime // _SECOND * _SECOND) if mtime is not None else "-"


def _layer(label: int | str) -> str:
    return label if isinstance(label, str) else f"L{label}"


def _link_text(entry: Entry, links: Sequence[str]) -> str:
    if entry.link is not None:
        return (" -> " if entry.type == "symlink" else " link to ") + escape_text(entry.link)
    more = f" and {len(links) - _NAMES} more" if len(links) > _NAMES else ""
    return f" = {' '.join(map(escape_text, links[:_NAMES]))}{more}"


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


def list_tree(rows: Collection[Row]) -> Iterator[str]:
    """A drawing like that of tree(1), with a line of counts at its end."""
    paths = [row[0] for row in rows]
    last = _last_children(paths)
    dirs = 0
    if paths:
        yield escape_text(paths[0].rpartition("/")[0] or "/")
    top = paths[0].count("/") if paths else 0
    # The directories above a row, each with what is drawn before what it holds: of most rows that of the row before.
    above = [("", "")]
    for path, entry, _layer, _links in rows:
        dirs += entry.type == "dir"
        directory, _, base = path.rpartition("/")
        if directory != above[-1][0]:
            _descend(above, directory, last, top)
        target = f" -> {escape_text(entry.link)}" if entry.type == "symlink" and entry.link else ""
        yield f"{above[-1][1]}{'└── ' if path in last else '├── '}{escape_text(base)}{target}"
    yield ""
    files = len(paths) - dirs
    yield f"{dirs} director{'y' if dirs == 1 else 'ies'}, {files} file{'' if files == 1 else 's'}"


def _descend(above: list[tuple[str, str]], directory: str, last: set[str], top: int) -> None:
    """Go from the directory of one row to that of another: up as far as one must, then down."""
    inside = directory + "/"
    while not inside.startswith(above[-1][0] + "/"):
        above.pop()
    while above[-1][0] != directory:
        parent, trunk = above[-1]
        end = inside.index("/", len(parent) + 1)
        if len(above) >= top:
            trunk += "    " if directory[:end] in last else "│   "
        above.append((directory[:end], trunk))


def _last_children(paths: Sequence[str]) -> set[str]:
    """The paths that are the last of their directory."""
    last: dict[str, str] = {}
    for path in paths:
        last[path.rpartition("/")[0]] = path
    return set(last.values())
