"""What differs between two images: files, configuration, history, layers.

Contents are compared by digest. Layers that both images start with are only listed: no content of theirs is
hashed, unless a file of one of them has to be held against a file of another layer that has its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from tarlayers.formats.documents import Config
from tarlayers.formats.glob import match_glob
from tarlayers.image import Image, Layer, load_layers
from tarlayers.layer import Entry
from tarlayers.rootfs import Refusal, RootFS, merge_layers

SECTIONS = ("files", "config", "history", "layers")


class Side(NamedTuple):
    """A path as one image shows it."""

    entry: Entry
    layer: int
    created_by: str | None
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs."""

    kind: str
    """A, C or D, as `docker diff` has it."""
    path: str
    what: tuple[str, ...]
    """Of a changed path: which of content mode owner mtime type link xattrs rdev."""
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
    """One build step; `kind` is `=` for a step that both have, A or D else."""

    kind: str
    created_by: str | None
    old_layer: int | None
    new_layer: int | None


class LayerShare(NamedTuple):
    """How many layers, from the base up, are the same, and what each image has above them."""

    common: int
    old: tuple[Layer, ...]
    new: tuple[Layer, ...]


class Summary(NamedTuple):
    """Files counted, and bytes of content that came and went."""

    added: int
    changed: int
    deleted: int
    bytes_added: int
    bytes_removed: int


@dataclass(frozen=True, slots=True)
class ImageDiff:
    """The answer; sections that were not asked for are empty."""

    files: tuple[FileChange, ...]
    config: tuple[ConfigChange, ...]
    history: tuple[HistoryChange, ...]
    layers: LayerShare
    summary: Summary
    refused: tuple[Refusal, ...]
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
) -> ImageDiff:
    """Compare two images. `ignore` holds globs of paths to leave out, `path` narrows it to one place; with
    `mtime` a file whose time alone differs counts too. Files come in the order of their paths' bytes.
    """
    common = count_common(old, new)
    files: tuple[FileChange, ...] = ()
    refused: tuple[Refusal, ...] = ()
    if "files" in only:
        comparison = _Comparison(old, new, common, engine=engine, mtime=mtime)
        wanted = _make_filter(path, ignore)
        files = tuple(pair_moves(comparison.compare(wanted), comparison))
        refused = (*comparison.roots[0].refused, *comparison.roots[1].refused)
    return ImageDiff(
        files=files,
        config=tuple(diff_configs(old.config, new.config)) if "config" in only else (),
        history=tuple(diff_histories(old, new)) if "history" in only else (),
        layers=LayerShare(common, old.layers[common:], new.layers[common:]),
        summary=summarize(files),
        refused=refused,
        sections=tuple(only),
    )


def count_common(old: Image, new: Image) -> int:
    """Count the layers, from the base up, whose chain IDs are equal."""
    common = 0
    for a, b in zip(old.chain_ids, new.chain_ids, strict=False):
        if a is None or a != b:
            break
        common += 1
    return common


def _make_filter(path: str, ignore: Sequence[str]) -> Callable[[str], bool]:
    below = path + "/"

    def wanted(candidate: str) -> bool:
        if path and candidate != path and not candidate.startswith(below):
            return False
        return not any(match_glob(pattern, candidate) for pattern in ignore)

    return wanted


class _Comparison:
    """Two merged trees side by side, and the digests that are fetched when they are needed."""

    def __init__(self, old: Image, new: Image, common: int, *, engine: str, mtime: bool) -> None:
        self._images = (old, new)
        self._common = common
        self._mtime = mtime
        for image in self._images:
            for layer in image.layers:
                layer.require_readable()
            load_layers(image.layers[:common])
            load_layers(image.layers[common:], contents=True)
        self.roots = (merge_layers(old.layers, engine=engine), merge_layers(new.layers, engine=engine))
        self._digests: dict[tuple[int, int], Mapping[int, bytes | None]] = {}

    def compare(self, wanted: Callable[[str], bool]) -> list[FileChange]:
        old, new = self.roots
        changes: list[FileChange] = []
        for path in sorted_union(old, new):
            if not wanted(path):
                continue
            change = self._compare_path(path, old, new)
            if change is not None:
                changes.append(change)
        return changes

    def _compare_path(self, path: str, old: RootFS, new: RootFS) -> FileChange | None:
        if path not in new:
            return FileChange("D", path, (), self._side(0, path), None)
        if path not in old:
            return FileChange("A", path, (), None, self._side(1, path))
        layer = old.layer_of(path)
        if layer < self._common and layer == new.layer_of(path):
            return None
        what = self._differences(path, old[path], new[path])
        return FileChange("C", path, what, self._side(0, path), self._side(1, path)) if what else None

    def _differences(self, path: str, a: Entry, b: Entry) -> tuple[str, ...]:
        if a.type != b.type:
            return ("type",)
        differs = {
            "content": a.type == "file" and (a.size != b.size or self.digest(0, path) != self.digest(1, path)),
            "mode": a.mode != b.mode,
            "owner": (a.uid, a.gid) != (b.uid, b.gid),
            "mtime": self._mtime and a.mtime != b.mtime,
            "link": a.type == "symlink" and a.link != b.link,
            "xattrs": (a.xattrs or {}) != (b.xattrs or {}),
            "rdev": a.rdev != b.rdev,
        }
        return tuple(name for name, true in differs.items() if true)

    def _side(self, which: int, path: str) -> Side:
        root = self.roots[which]
        layer = root.layer_of(path)
        entry = root[path]
        return Side(entry, layer, self._images[which].layers[layer].created_by, root.links_of(path))

    def digest(self, which: int, path: str) -> bytes | None:
        """Give a file's digest; the layers in common are hashed the first time that one of theirs is needed."""
        root = self.roots[which]
        entry = root[path]
        if entry.sha256 is not None:
            return entry.sha256
        key = which, root.layer_of(path)
        if key not in self._digests:
            index = self._images[which].layers[key[1]].read(contents=True)
            self._digests[key] = {e.offset: e.sha256 for e in index.entries if e.sha256 is not None}
        return self._digests[key].get(entry.offset)


def sorted_union(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[str]:
    """Yield the paths of both trees once each, in the order of their bytes."""
    paths = set(old) | set(new)
    yield from sorted(paths, key=lambda path: path.encode("utf-8", "surrogateescape"))


def pair_moves(changes: list[FileChange], comparison: _Comparison) -> Iterator[FileChange]:
    """Mark a file that went and one that came with the same content as one that moved.

    Empty files never count as moved. Of several candidates the first free path is taken.
    """
    came: dict[int, list[int]] = {}
    for i, change in enumerate(changes):
        if change.new is not None and change.kind == "A" and change.new.entry.type == "file" and change.new.entry.size:
            came.setdefault(change.new.entry.size, []).append(i)
    partner: dict[int, int] = {}
    for i, change in enumerate(changes):
        if change.old is None or change.kind != "D" or change.old.entry.type != "file":
            continue
        for j in came.get(change.old.entry.size, ()):
            if j not in partner and comparison.digest(0, change.path) == comparison.digest(1, changes[j].path):
                partner[i], partner[j] = j, i
                break
    for i, change in enumerate(changes):
        if i not in partner:
            yield change
        else:
            yield _mark_move(change, changes[partner[i]].path)


def _mark_move(change: FileChange, other: str) -> FileChange:
    to, origin = (other, None) if change.kind == "D" else (None, other)
    return FileChange(change.kind, change.path, change.what, change.old, change.new, to, origin)


def summarize(files: Iterable[FileChange]) -> Summary:
    """Count what came, changed and went, and the bytes of content of files that did."""
    count = {"A": 0, "C": 0, "D": 0}
    added = removed = 0
    for change in files:
        count[change.kind] += 1
        if change.kind != "C" or "content" in change.what or "type" in change.what:
            added += change.new.entry.size if change.new else 0
            removed += change.old.entry.size if change.old else 0
    return Summary(count["A"], count["C"], count["D"], added, removed)


# -- documents -------------------------------------------------------------------------------------


def diff_configs(old: Config | None, new: Config | None) -> Iterator[ConfigChange]:
    """Yield the keys whose values differ, sorted: environment, labels, ports and volumes one by one."""
    a, b = flatten_config(old), flatten_config(new)
    for key in sorted(a.keys() | b.keys()):
        if a.get(key) != b.get(key):
            yield ConfigChange(key, a.get(key), b.get(key))


def flatten_config(config: Config | None) -> dict[str, Any]:
    """Give the configuration as one level of keys; the time of the build is left out."""
    if config is None:
        return {}
    flat: dict[str, Any] = {
        "os": config.os,
        "architecture": config.architecture,
        "variant": config.variant,
        "author": config.author,
    }
    for key, value in config.config.items():
        if key == "Env" and isinstance(value, list):
            for item in value:
                name, _, content = str(item).partition("=")
                flat[f"Env.{name}"] = content
        elif isinstance(value, dict):
            flat |= {f"{key}.{inner}": content for inner, content in value.items()}
        else:
            flat[key] = value
    return {key: value for key, value in flat.items() if value not in (None, "", [], False)}


def diff_histories(old: Image, new: Image) -> Iterator[HistoryChange]:
    """Align the build steps of both images by their instructions, oldest first."""
    a = [row.step.created_by for row in old.history]
    b = [row.step.created_by for row in new.history]
    for kind, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            for x, y in zip(range(i, i_end), range(j, j_end), strict=True):
                yield HistoryChange("=", a[x], old.history[x].layer, new.history[y].layer)
            continue
        for x in range(i, i_end):
            yield HistoryChange("D", a[x], old.history[x].layer, None)
        for y in range(j, j_end):
            yield HistoryChange("A", b[y], None, new.history[y].layer)
