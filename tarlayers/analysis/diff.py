"""What differs between two images: files, configuration, history, layers.

    diff_images(open_image("old.tar"), open_image("new.tar")).files

Layers with equal diff IDs are taken for equal (`imagepair` says what is trusted), files for equal whose contents
have equal digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tarlayers.analysis.alignment import Alignment
from tarlayers.analysis.filediff import FileChange, PathFilter, Summary, diff_files, summarize
from tarlayers.digest import Digest
from tarlayers.formats.config_keys import flatten_config, is_same_value, name_keys
from tarlayers.formats.documents import Config
from tarlayers.formats.whiteout import clean_path
from tarlayers.image import HistoryRow, Image, Layer
from tarlayers.imagepair import ImagePair, merge_pair, pair_images
from tarlayers.rootfs import Refusal
from tarlayers.stores.store import OnRead

SECTIONS = ("files", "config", "history", "layers")
# docker's builder and buildah name the content of COPY and ADD by its checksum: the instruction is the same.
_CHECKSUM = re.compile(r"\b(file|dir|multi):[0-9a-f]{64}\b")


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


class ImageDiff(NamedTuple):
    """The answer; sections that were not asked for are empty."""

    files: Sequence[FileChange]
    """In the order of their paths' bytes. They are put together as they are asked for."""
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

    NoSuchPath when neither image has `path`, for which the layers are read even where all are the same; ContentAbsent
    when a layer cannot be read that has to be, or when an image came as a stream that was opened without `contents`;
    ValueError for a section that is none of SECTIONS, TypeError for one glob in place of several.
    """
    if isinstance(only, str) or not set(only) <= set(SECTIONS):
        raise ValueError(f"sections to compare are some of {', '.join(SECTIONS)}, not {only!r}")
    if isinstance(ignore, str):
        raise TypeError(f"globs to ignore are several texts, not {ignore!r}")
    pair = pair_images(old, new, contents="files" in only)
    files: Sequence[FileChange] = ()
    summary = Summary(0, 0, 0, 0, 0, 0)
    refused: tuple[tuple[Refusal, ...], tuple[Refusal, ...]] = ((), ())
    place = clean_path(path)
    if "files" in only and (place or not pair.same_layers):
        roots = merge_pair(pair, engine=engine, whole=place != "", on_read=on_read)  # links may lead to it
        wanted = PathFilter(roots, place, ignore)
        files = diff_files(pair, roots, wanted, mtime=mtime)
        summary = summarize(files, wanted)
        refused = roots[0].refused, roots[1].refused
    return ImageDiff(
        files=files,
        config=tuple(diff_configs(old.config, new.config)) if "config" in only else (),
        history=tuple(diff_histories(old.history, new.history)) if "history" in only else (),
        layers=_share_layers(pair),
        summary=summary,
        refused=refused,
        sections=tuple(section for section in SECTIONS if section in only),
    )


def _share_layers(pair: ImagePair) -> LayerShare:
    own = slice(pair.common, None)
    chain_ids = pair.old.chain_ids[own], pair.new.chain_ids[own]
    return LayerShare(pair.common, pair.old.layers[own], pair.new.layers[own], chain_ids)


# -- documents -------------------------------------------------------------------------------------


def diff_configs(old: Config | None, new: Config | None) -> Iterator[ConfigChange]:
    """Yield the keys whose values differ, sorted: environment, labels, ports and volumes one by one."""
    a, b = flatten_config(old), flatten_config(new)
    for path, name in name_keys(a.keys() | b.keys()).items():
        if path not in a or path not in b or not is_same_value(a[path], b[path]):
            yield ConfigChange(name, a.get(path), b.get(path))


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
    if list(rest) <= list(rest_b):
        for i, j, length in Alignment(rest, rest_b, autojunk=False).get_matching_blocks():
            yield start + i, start + j, length
    else:
        for j, i, length in Alignment(rest_b, rest, autojunk=False).get_matching_blocks():
            yield start + i, start + j, length
