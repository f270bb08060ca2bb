"""Files that moved: those that went and those that came with the same content.

Empty files never count. Only files that could be equal are hashed, those of a size that both went and came with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tarlayers.comparison import Contents
from tarlayers.entry import Entry
from tarlayers.rootfs import Node, RootFS


class Move(NamedTuple):
    """Where a file went to or came from."""

    path: str
    what: tuple[str, ...]
    """What else differs, but for the time."""


class LoneFiles:
    """The files at paths that one of two images alone has."""

    def __init__(self, side: int, root: RootFS) -> None:
        self.side = side
        self.sizes: set[int] = set()
        self._root = root
        self._paths: list[str] = []

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, path: str, entry: Entry) -> None:
        """Take note of a path, if it is a file that is not empty."""
        if entry.size and entry.type == "file":
            self._paths.append(path)
            self.sizes.add(entry.size)

    def choose(self, sizes: set[int]) -> Iterator[tuple[str, Node]]:
        """Yield the files of some sizes, in the order in which they were added."""
        for path, node in zip(self._paths, self._root.find_nodes(self._paths), strict=True):
            if node.entry.size in sizes:
                yield path, node


def choose_hashed(gone: LoneFiles, come: LoneFiles) -> Iterator[tuple[int, Node]]:
    """Yield the files whose contents tell which of them moved, each with its side."""
    sizes = gone.sizes & come.sizes
    for files in (gone, come):
        yield from ((files.side, node) for _, node in files.choose(sizes))


def find_moves(gone: LoneFiles, come: LoneFiles, contents: Contents) -> dict[str, Move]:
    """Pair files that went with files that came with the same content, by path, from both ends.

    Of several with one content those of the same name go together first, the rest in the order of their paths; which
    image is called the old one makes no difference.
    """
    fewer, more = sorted((gone, come), key=len)
    digests = _find_common(fewer, more, contents)
    moves: dict[str, Move] = {}
    if not digests:
        return moves
    went, came = _group_files(gone, come, contents, digests), _group_files(come, gone, contents, digests)
    for digest, old in went.items():
        new = came[digest]
        for path, to in _match_names(old, new):
            what = tuple(aspect for aspect in contents.differences(old[path], new[to]) if aspect != "mtime")
            moves[path], moves[to] = Move(to, what), Move(path, what)
    return moves


def _find_common(fewer: LoneFiles, more: LoneFiles, contents: Contents) -> set[bytes]:
    """Give the digests that files of both have: nearly all have no partner, and are not kept."""
    digests = {digest for digest, _, _ in _known_files(fewer, more, contents)}
    return digests.intersection(digest for digest, _, _ in _known_files(more, fewer, contents))


def _known_files(files: LoneFiles, others: LoneFiles, contents: Contents) -> Iterator[tuple[bytes, str, Node]]:
    """Yield those whose digests are known."""
    for path, node in files.choose(files.sizes & others.sizes):
        digest = contents.digest(files.side, node)
        if digest is not None:
            yield digest, path, node


def _group_files(
    files: LoneFiles, others: LoneFiles, contents: Contents, digests: set[bytes]
) -> dict[bytes, dict[str, Node]]:
    groups: dict[bytes, dict[str, Node]] = {}
    for digest, path, node in _known_files(files, others, contents):
        if digest in digests:
            groups.setdefault(digest, {})[path] = node
    return groups


def _match_names(gone: Iterable[str], come: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pair paths, those with the same last component first."""
    by_name: dict[str, list[str]] = {}
    for path in come:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    for paths in by_name.values():
        paths.reverse()
    rest: list[str] = []
    for path in gone:
        named = by_name.get(path.rpartition("/")[2])
        if named:
            yield path, named.pop()
        else:
            rest.append(path)
    free = {path for paths in by_name.values() for path in paths}
    yield from zip(rest, [path for path in come if path in free], strict=False)
