"""What differs between two images: files, configuration, history, layers.

    diff_images(open_image("old.tar"), open_image("new.tar")).files

Layers with equal diff IDs are taken for equal (`imagepair` says what is trusted), files for equal whose contents
have equal digests. Only files that could be equal are hashed: those of one size at one path, and those that went
and came with one size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from tarlayers.comparison import Contents
from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath
from tarlayers.formats.config_keys import flatten_config
from tarlayers.formats.documents import Config
from tarlayers.formats.glob import match_glob
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import HistoryRow, Image, Layer
from tarlayers.imagepair import ImagePair, merge_pair, pair_images
from tarlayers.rootfs import Node, Refusal, RootFS, pair_nodes, path_key
from tarlayers.stores.store import OnRead

SECTIONS = ("files", "config", "history", "layers")
_MOST_PAIRS = 4_000_000  # of build steps to hold against each other: a second of difflib
# docker's builder and buildah name the content of COPY and ADD by its checksum: the instruction is the same.
_CHECKSUM = re.compile(r"\b(file|dir|multi):[0-9a-f]{64}\b")


class Side(NamedTuple):
    """A path as one image shows it."""

    entry: Entry
    layer: int
    created_by: str | None
    links: Sequence[str]
    """Other visible names of the same inode."""


class FileChange(NamedTuple):
    """One path that differs."""

    kind: str
    """A, C or D, as `docker diff` has it."""
    path: str
    what: tuple[str, ...]
    """Of a path that both have: which of content mode owner mtime type link xattrs rdev. Of a file that moved what
    differs besides its path."""
    old: Side | None
    new: Side | None
    moved_to: str | None = None
    moved_from: str | None = None


class ConfigChange(NamedTuple):
    """One key of the configuration, such as `Env.PATH`; None on the side that lacks it."""

    key: str
    old: Any
    new: Any


class HistoryChange(NamedTuple):
    """One build step: `=` where both have it, C where only what it copied differs, else A or D."""

    kind: str
    old: HistoryRow | None
    new: HistoryRow | None


class LayerShare(NamedTuple):
    """How many layers, from the base up, are the same, and what each image has above them."""

    common: int
    old: tuple[Layer, ...]
    new: tuple[Layer, ...]
    chain_ids: tuple[tuple[Digest | None, ...], tuple[Digest | None, ...]]
    """Of the layers in `old` and of those in `new`."""


class Summary(NamedTuple):
    """Paths counted, and bytes of content that came and went, hard-linked names once."""

    added: int
    changed: int
    deleted: int
    moved: int
    """Files that moved: each is among the added and among the deleted too."""
    bytes_added: int
    bytes_removed: int


class ImageDiff(NamedTuple):
    """The answer; sections that were not asked for are empty."""

    files: tuple[FileChange, ...]
    """In the order of their paths' bytes."""
    config: tuple[ConfigChange, ...]
    history: tuple[HistoryChange, ...]
    """Oldest first; steps that both have are in it."""
    layers: LayerShare
    summary: Summary
    refused: tuple[tuple[Refusal, ...], tuple[Refusal, ...]]
    """What the engine would not unpack of the old and of the new image."""
    sections: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Nothing differs in the sections asked for. Layers count when they are all that was asked for: two
        images may show the same files from other layers.
        """
        layers = bool(self.layers.old or self.layers.new) and self.sections == ("layers",)
        return not (self.files or self.config or layers or any(step.kind != "=" for step in self.history))


def diff_images(
    old: Image,
    new: Image,
    *,
    engine: str = "containerd",
    only: Sequence[str] = SECTIONS,
    ignore: Sequence[str] = (),
    mtime: bool = False,
    path: str = "",
    on_read: OnRead | None = None,
) -> ImageDiff:
    """Compare two images. `ignore` holds globs of paths to leave out, with all that is below them, `path` narrows
    it to one place; with `mtime` a file whose time alone differs counts too; `on_read` hears of progress.

    NoSuchPath when neither image has `path`; ContentAbsent when a layer cannot be read that has to be, or when an
    image came as a stream that was opened without `contents`.
    """
    pair = pair_images(old, new, contents="files" in only)
    files: tuple[FileChange, ...] = ()
    refused: tuple[tuple[Refusal, ...], tuple[Refusal, ...]] = ((), ())
    if "files" in only and not pair.same_layers:
        roots = merge_pair(pair, engine=engine, on_read=on_read)
        files = diff_files(pair, roots, _Filter(roots, clean_path(path), ignore), mtime=mtime)
        refused = roots[0].refused, roots[1].refused
        del roots
    return ImageDiff(
        files=files,
        config=tuple(diff_configs(old.config, new.config)) if "config" in only else (),
        history=tuple(diff_histories(old.history, new.history)) if "history" in only else (),
        layers=_share_layers(pair),
        summary=summarize(files),
        refused=refused,
        sections=tuple(section for section in SECTIONS if section in only),
    )


def _share_layers(pair: ImagePair) -> LayerShare:
    own = slice(pair.common, None)
    chain_ids = pair.old.chain_ids[own], pair.new.chain_ids[own]
    return LayerShare(pair.common, pair.old.layers[own], pair.new.layers[own], chain_ids)


# -- files -----------------------------------------------------------------------------------------


class _Filter:
    """Which paths count."""

    def __init__(self, roots: tuple[RootFS, RootFS], path: str, ignore: Sequence[str]) -> None:
        self._ignore = [pattern.rstrip("/") or "/" for pattern in ignore]
        self._ignored: dict[str, bool] = {"": False}
        self._tops = _find_tops(roots, path) if path else ()

    def wants(self, path: str) -> bool:
        if self._tops and not any(path == top or path.startswith(f"{top}/") for top in self._tops):
            return False
        return not (self._ignore and self._is_ignored(path))

    def _is_ignored(self, path: str) -> bool:
        """A directory that is left out takes all below it with it."""
        chain = []
        at = path
        while at not in self._ignored:
            chain.append(at)
            at = at.rpartition("/")[0]
        ignored = self._ignored[at]
        for at in reversed(chain):
            ignored = ignored or any(match_glob(pattern, at) for pattern in self._ignore)
            self._ignored[at] = ignored
        return ignored


def _find_tops(roots: tuple[RootFS, RootFS], path: str) -> tuple[str, ...]:
    """Follow symlinks above `path` in both images; NoSuchPath when neither has it."""
    tops: list[str] = []
    for root in roots:
        try:
            tops.append(root.resolve(path, follow=False))
        except NoSuchPath:
            continue
    if not tops:
        raise NoSuchPath("in neither image", place=path)
    return tuple(dict.fromkeys(tops))


def diff_files(
    pair: ImagePair, roots: tuple[RootFS, RootFS], wanted: _Filter, *, mtime: bool = False
) -> tuple[FileChange, ...]:
    """Give the paths that differ, moved files paired, in the order of their paths' bytes."""
    nodes = [(path, a, b) for path, a, b in pair_nodes(*roots) if wanted.wants(path)]
    is_ascii = all(each[0].isascii() for each in nodes)  # then strings sort as their bytes do, and none has to be made
    nodes.sort(key=lambda each: each[0] if is_ascii else path_key(each[0]))
    contents = Contents(*pair.stacks)
    contents.fetch(_choose_hashed(nodes, contents))
    old, new = _Viewer(roots[0], pair.old), _Viewer(roots[1], pair.new)
    moves = _find_moves(nodes, contents)
    changes: list[FileChange] = []
    nodes.reverse()
    while nodes:
        path, a, b = nodes.pop()  # what is told need not be kept
        if a is not None and b is not None:
            what = _compare_nodes(a, b, contents, mtime=mtime)
            if what:
                changes.append(FileChange("C", path, what, old.side(path, a), new.side(path, b)))
        elif a is not None:
            to, what = moves.get(path, (None, ()))
            changes.append(FileChange("D", path, what, old.side(path, a), None, moved_to=to))
        elif b is not None:
            origin, what = moves.get(path, (None, ()))
            changes.append(FileChange("A", path, what, None, new.side(path, b), moved_from=origin))
    return tuple(changes)


_Pairing = tuple[str, Node | None, Node | None]


def _choose_hashed(nodes: Sequence[_Pairing], contents: Contents) -> Iterator[tuple[int, Node]]:
    """Yield the files whose contents have to be known, each with its side."""
    gone: dict[int, list[Node]] = {}
    come: dict[int, list[Node]] = {}
    for _, a, b in nodes:
        if a is not None and b is not None:
            if contents.are_open(a, b):
                yield 0, a
                yield 1, b
        elif a is not None and a.entry.type == "file":
            gone.setdefault(a.entry.size, []).append(a)
        elif b is not None and b.entry.type == "file":
            come.setdefault(b.entry.size, []).append(b)
    for size in (gone.keys() & come.keys()) - {0}:
        yield from ((0, node) for node in gone[size])
        yield from ((1, node) for node in come[size])


def _compare_nodes(a: Node, b: Node, contents: Contents, *, mtime: bool) -> tuple[str, ...]:
    """Name what differs between two nodes; their times count with `mtime`."""
    what = contents.differences(a, b)
    return tuple(aspect for aspect in what if mtime or aspect != "mtime")


def _find_moves(nodes: Sequence[_Pairing], contents: Contents) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Pair files that went with files that came with the same content: other path, and what else differs, by path.

    Empty files never count as moved. Of several with one content those of the same name go together first, the
    rest in the order of their paths; which image is called the old one makes no difference.
    """
    gone: dict[bytes, dict[str, Node]] = {}
    come: dict[bytes, dict[str, Node]] = {}
    for path, a, b in nodes:
        for side, node, other, found in ((0, a, b, gone), (1, b, a, come)):
            if node is not None and other is None and node.entry.type == "file" and node.entry.size:
                digest = contents.digest(side, node)
                if digest is not None:
                    found.setdefault(digest, {})[path] = node
    moves: dict[str, tuple[str, tuple[str, ...]]] = {}
    for digest in gone.keys() & come.keys():
        for path, to in _match_names(gone[digest], come[digest]):
            what = _compare_nodes(gone[digest][path], come[digest][to], contents, mtime=False)
            moves[path], moves[to] = (to, what), (path, what)
    return moves


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


class _Viewer:
    """Says how one image shows its nodes."""

    def __init__(self, root: RootFS, image: Image) -> None:
        self._root = root
        self._created_by = [layer.created_by for layer in image.layers]

    def side(self, path: str, node: Node) -> Side:
        return Side(node.entry, node.layer, self._created_by[node.layer], self._root.other_names(path, node))


def summarize(files: Iterable[FileChange]) -> Summary:
    """Count what came, changed, went and moved, and the bytes of content of files that did."""
    count = {"A": 0, "C": 0, "D": 0}
    moved = 0
    came: dict[int, dict[int, int]] = {}  # sizes, by layer and offset
    went: dict[int, dict[int, int]] = {}
    for change in files:
        count[change.kind] += 1
        moved += change.moved_to is not None
        if change.kind != "C" or "content" in change.what or "type" in change.what:
            for side, sizes in ((change.new, came), (change.old, went)):
                if side is not None and side.entry.type == "file":
                    sizes.setdefault(side.layer, {})[side.entry.offset] = side.entry.size
    total_came, total_went = (sum(sum(inner.values()) for inner in sizes.values()) for sizes in (came, went))
    return Summary(count["A"], count["C"], count["D"], moved, total_came, total_went)


# -- documents -------------------------------------------------------------------------------------


def diff_configs(old: Config | None, new: Config | None) -> Iterator[ConfigChange]:
    """Yield the keys whose values differ, sorted: environment, labels, ports and volumes one by one."""
    a, b = flatten_config(old), flatten_config(new)
    for key in sorted(a.keys() | b.keys()):
        if key not in a or key not in b or a[key] != b[key]:
            yield ConfigChange(key, a.get(key), b.get(key))


def diff_histories(old: Sequence[HistoryRow], new: Sequence[HistoryRow]) -> Iterator[HistoryChange]:
    """Align the build steps of both images by their instructions, oldest first."""
    a, b = ([_CHECKSUM.sub(r"\1:", row.step.created_by or "") for row in rows] for rows in (old, new))
    for i, j in _align(a, b):
        x, y = (old[i] if i is not None else None), (new[j] if j is not None else None)
        if x is None or y is None:
            yield HistoryChange("A" if x is None else "D", x, y)
        else:
            yield HistoryChange("=" if x.step.created_by == y.step.created_by else "C", x, y)


def _align(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int | None, int | None]]:
    """Pair the positions of equal strings, in order; what has no partner stands alone, the old before the new."""
    done, done_b = 0, 0
    for i, j, length in _match_blocks(a, b):
        yield from ((k, None) for k in range(done, i))
        yield from ((None, k) for k in range(done_b, j))
        yield from ((i + k, j + k) for k in range(length))
        done, done_b = i + length, j + length


def _match_blocks(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield the runs that both have, in order, and an empty one at the end; the same ones for (b, a)."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    yield 0, 0, start
    rest, rest_b = a[start:], b[start:]
    if len(rest) * len(rest_b) > _MOST_PAIRS:
        yield len(a), len(b), 0
    elif list(rest) <= list(rest_b):
        for i, j, length in SequenceMatcher(None, rest, rest_b, autojunk=False).get_matching_blocks():
            yield start + i, start + j, length
    else:
        for j, i, length in SequenceMatcher(None, rest_b, rest, autojunk=False).get_matching_blocks():
            yield start + i, start + j, length
