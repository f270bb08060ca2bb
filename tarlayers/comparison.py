"""Which files of one or two stacks of layers hold the same bytes: their digests, fetched when they are needed.

Most files that an answer speaks of are new, of another size, or the same entry: these are never hashed where a
layer can be hopped over.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from tarlayers.content import Wanted
from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.image import Layer, count_hoppers, run_each
from tarlayers.merging.difference import name_differences
from tarlayers.merging.tree import Node
from tarlayers.outline import find_marked
from tarlayers.stores.store import OnRead

Stack = tuple[Layer, ...]
LayerSource = tuple[int, str | None]
_SHA256 = hashlib.sha256().digest_size


def load_comparable(layers: Sequence[Layer], *, on_read: OnRead | None = None) -> None:
    """Index layers so that their files can be compared, several at a time. What has to be decompressed is hashed
    as it passes, plain layers are hopped over. ContentAbsent for the lowest that cannot be read.
    """
    for layer in layers:
        layer.require_readable()

    def load(layer: Layer) -> None:
        layer.read(contents=layer.compression != "none", on_read=on_read)

    distinct = list({layer.source: layer for layer in reversed(layers)}.values())[::-1]
    run_each(distinct, load, workers=count_hoppers(distinct))


def is_same_layer(a: Layer, b: Layer) -> bool:
    """Say whether both layers claim the same diff ID. Two plain tars of different sizes cannot have the same,
    whatever they claim.
    """
    if a.diff_id is None or a.diff_id != b.diff_id:
        return False
    return not (a.compression == b.compression == "none" and a.size != b.size)


def _number_layers(stacks: Iterable[Sequence[Layer]]) -> tuple[list[int], ...]:
    """Give each layer a number: one blob has one, whatever is claimed of it, and equal layers have the same."""
    numbers = count()
    by_source: dict[LayerSource, int] = {}
    by_diff_id: dict[Digest | None, tuple[int, Layer]] = {}

    def number(layer: Layer) -> int:
        if layer.source not in by_source:
            found, equal = by_diff_id.setdefault(layer.diff_id, (next(numbers), layer))
            by_source[layer.source] = found if equal is layer or is_same_layer(equal, layer) else next(numbers)
        return by_source[layer.source]

    return tuple([number(layer) for layer in stack] for stack in stacks)


def find_rivals(*stacks: Sequence[Layer]) -> Wanted:
    """Tell those files of layers below these that one of theirs may be equal to: one of the same size is in its place,
    or it is hidden and one of the same size is elsewhere, to which it may have moved.
    """
    places = [
        {entry.path: entry.size for layer in stack for entry in layer.entries if entry.type == "file" and entry.size}
        for stack in stacks
    ]
    sizes = {size for known in places for size in known.values()}
    markers = (entry for stack in stacks for layer in stack for entry in layer.entries if entry.role != "entry")
    hidden = {find_marked(entry.path) for entry in markers}
    last = "", False

    def is_below_hidden(directory: str) -> bool:
        nonlocal last
        known = last  # several threads ask
        if known[0] != directory:  # most files have the parent of the one before
            known = last = directory, not hidden.isdisjoint(_list_above(directory))
        return known[1]

    def is_wanted(entry: Entry) -> bool:
        path, size = entry.path, entry.size
        if size not in sizes:
            return False
        if any(known.get(path) == size for known in places) or path in hidden:
            return True
        return is_below_hidden(path[: path.rfind("/")])

    return is_wanted


def _list_above(path: str) -> Iterator[str]:
    """Yield a path and those above it, but for the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]


class Contents:
    """The digests of the contents of files of one or two stacks, fetched when they are needed.

    A file is known by its layer's diff ID and its offset in it: where these are equal the contents are.
    """

    def __init__(self, *stacks: Sequence[Layer]) -> None:
        self._stacks = stacks
        self._numbers = _number_layers(stacks)
        self._digests: dict[int, list[_FileDigests]] = {}

    def key(self, side: int, node: Node) -> tuple[int, int]:
        """Give what the content of a file is known by; `side` is 0 for the first stack and -1 for the last."""
        return self._numbers[side][node.layer], node.entry.offset

    def digest(self, side: int, node: Node) -> bytes | None:
        """Give the sha256 of a file; None where it was not fetched."""
        if node.entry.sha256:
            return node.entry.sha256
        number, offset = self.key(side, node)
        for fetched in self._digests.get(number, ()):
            digest = fetched.find(offset)
            if digest is not None:
                return digest
        return None

    def are_open(self, old: Node | None, new: Node | None) -> bool:
        """Say whether it takes the digests of two nodes to tell whether they hold the same bytes."""
        if old is None or new is None or not old.entry.type == new.entry.type == "file":
            return False
        return old.entry.size == new.entry.size > 0 and self.key(0, old) != self.key(-1, new)

    def are_equal(self, old: Node, new: Node) -> bool:
        """Say whether two files of one size, of the first stack and of the last, hold the same bytes; unless that
        is known they must be fetched.
        """
        if not old.entry.size or self.key(0, old) == self.key(-1, new):
            return True
        digest = self.digest(0, old)
        return digest is not None and digest == self.digest(-1, new)

    def differences(self, old: Node, new: Node) -> tuple[str, ...]:
        """Name what differs between two nodes, as `name_differences` does."""
        return name_differences(old.entry, new.entry, same_content=lambda: self.are_equal(old, new))

    def fetch_open(self, pairs: Iterable[tuple[Node | None, Node | None]]) -> None:
        """Hash what it takes to tell the differences of pairs of nodes of one stack."""
        found = ((old, new) for old, new in pairs if self.are_open(old, new))
        self.fetch((0, node) for pair in found for node in pair if node is not None)

    def fetch(self, wanted: Iterable[tuple[int, Node]]) -> None:
        """Hash the files that are not hashed yet: several layers at a time, each read once."""
        todo: dict[int, tuple[Layer, set[int]]] = {}
        for side, node in wanted:
            if self.digest(side, node) is None:
                number, offset = self.key(side, node)
                todo.setdefault(number, (self._stacks[side][node.layer], set()))[1].add(offset)
        offsets = {layer.source: (number, found) for number, (layer, found) in todo.items()}

        def fetch(layer: Layer) -> None:
            number, found = offsets[layer.source]
            self._digests.setdefault(number, []).append(_FileDigests(layer.hash_files(found)))

        run_each([layer for layer, _ in todo.values()], fetch)


class _FileDigests:
    """Digests by offset: 40 bytes each, a sixth of what they take in a dictionary."""

    def __init__(self, digests: Mapping[int, bytes]) -> None:
        offsets = sorted(digests)
        self._offsets = array("q", offsets)
        self._digests = b"".join(map(digests.__getitem__, offsets))

    def find(self, offset: int) -> bytes | None:
        """Give the digest of the file at an offset, if it is among them."""
        place = bisect_left(self._offsets, offset)
        if place == len(self._offsets) or self._offsets[place] != offset:
            return None
        return self._digests[place * _SHA256 : (place + 1) * _SHA256]
