"""The members of an archive by name: which are files and where they stand, and which are links to them.

Names are cleaned (`./blobs//sha256/x` is `blobs/sha256/x`), links between members are followed, and of two
members with one name the last counts, as for Docker, which unpacks the archive before it reads it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from tarlayers.formats import tar
from tarlayers.formats.whiteout import clean_path
from tarlayers.limits import Limits
from tarlayers.linux import MAX_SYMLINKS
from tarlayers.sources.blob import Blob

T = TypeVar("T")

IMAGE_MEMBER = (
    r"blobs/sha(256|512)/[0-9a-f]{64,}$|[0-9a-f]{64}/(layer\.tar|json)$|(sha256:)?[0-9a-f]{64}(\.json|\.tar(\.gz)?)?$"
)
"""What files are called that no root file system has: without the documents they are no image, and no layer either."""

_DIGITS = 64  # of a sha256, which the name of each such member has

Regions: TypeAlias = tuple[tuple[int, int], ...]
"""What of a sparse file is stored: where in the file, and how many bytes; in order."""

Place: TypeAlias = tuple[int, int]
"""Where in a tar a file's content starts, and how many bytes it has."""


def has_image_member(names: Iterable[str]) -> bool:
    """Say whether any name is one that only members of an image have."""
    return any(map(re.compile(IMAGE_MEMBER).match, (name for name in names if len(name) >= _DIGITS)))


class Members(Generic[T]):
    """What members turned out to be so far. An archive may be one layer, of a million files: no more is kept of each
    than a name, and what else is needed of a file.
    """

    def __init__(self) -> None:
        self.files: dict[str, T] = {}
        self.duplicates: dict[str, int] = {}
        """How many members have the same name, where there are several."""
        self.links: dict[str, tuple[str, ...]] = {}
        """The names that each link may mean."""

    def add(self, name: str, typeflag: bytes, linkname: bytes, kept: T) -> bool:
        """Take in a member; say whether there was one of its name before, which it replaces."""
        again = self.files.pop(name, None) is not None
        if self.links and self.links.pop(name, None) is not None:
            again = True
        if again:
            self.duplicates[name] = self.duplicates.get(name, 1) + 1
        if typeflag in b"07S":
            self.files[name] = kept
        elif typeflag in b"12":
            self.links[name] = link_targets(name, typeflag, linkname)
        return again

    def resolve_links(self) -> dict[str, str]:
        """Map each link to the file that it leads to, over several hops; dangling ones and loops are left out."""
        links, files = self.links, self.files
        found: dict[str, str] = {}
        for name in links:
            at: str | None = name
            for _ in range(MAX_SYMLINKS):
                if at is None or at in files:
                    break
                at = next((t for t in links.get(at, ()) if t in files or t in links), None)
            if at is not None and at in files:
                found[name] = at
        return found


class MemberTable(NamedTuple):
    """The regular files of an archive, links resolved."""

    blobs: Mapping[str, Blob]
    sizes: Mapping[str, int]
    aliases: Mapping[str, str]
    """Of each link the file that it leads to."""
    duplicates: Mapping[str, int]
    """How many members have the same name, where there are several."""
    end_mark: bool
    """Whether a tar ends as it has to: in two zero blocks and at a block boundary."""


def list_blobs(blobs: Mapping[str, Blob]) -> MemberTable:
    """Make the table of files that do not stand in a tar."""
    return MemberTable(blobs, {name: blob.size for name, blob in blobs.items()}, {}, {}, end_mark=True)


def read_members(whole: Blob, limits: Limits) -> MemberTable:
    """Read the headers of a tar, hopping over its contents. MalformedInput when it is no tar, or is cut short."""
    walker = tar.Walker(tar.SeekFeed(whole.read_at, whole.size), limits=limits)
    members: Members[Place] = Members()
    sparse: dict[int, Regions] = {}
    for stretch in walker.gather():
        tar.check_stretch(stretch, walker.weight, limits)
        if isinstance(stretch, tar.Member):
            start = walker.data_offset
            members.add(clean_name(stretch.name), stretch.typeflag, stretch.linkname, (start, stretch.size))
            if stretch.sparse is not None:
                sparse[start] = stretch.sparse
            continue
        _add_headers(members, stretch)
    aliases = members.resolve_links()
    files = members.files
    files |= {name: files[target] for name, target in aliases.items()}
    top = find_top(files)
    places = {name[len(top) :]: place for name, place in files.items()} if top else files
    return MemberTable(
        _StoredBlobs(whole, places, sparse, limits),
        _Sizes(places),
        {name[len(top) :]: target[len(top) :] for name, target in aliases.items()},
        {name.removeprefix(top): count for name, count in members.duplicates.items()},
        ends_whole(walker, whole.size),
    )


def _add_headers(members: Members[Place], headers: list[tar.Header]) -> None:
    """Take in the members of a stretch that say all themselves; where none replaces another at 0.75 of the cost."""
    names = list(clean_names(headers))
    known = (members.files.keys(), members.links.keys())
    if len(set(names)) < len(names) or not all(keys.isdisjoint(names) for keys in known):
        for name, header in zip(names, headers, strict=True):
            members.add(name, header[1].typeflag, header[1].linkname, (header[5] + tar.BLOCK, header[2]))
        return
    for name, (_, tail, size, _, _, offset) in zip(names, headers, strict=True):
        flag = tail.typeflag
        if flag == b"0":
            members.files[name] = offset + tar.BLOCK, size
        elif flag in b"12":
            members.links[name] = link_targets(name, flag, tail.linkname)


class _ByPlace(Mapping[str, T]):
    """Something of each member that has a place, told when it is asked for."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _StoredBlobs(_ByPlace[Blob]):
    """Members of a tar as blobs."""

    def __init__(self, whole: Blob, places: Mapping[str, Place], sparse: Mapping[int, Regions], limits: Limits) -> None:
        super().__init__(places)
        self._whole = whole
        self._sparse = sparse
        self._limits = limits
        sizes = dict(places.values()) if sparse else {}
        self._holes = sum(sizes[start] - _count_stored(regions) for start, regions in sparse.items() if start in sizes)

    def __getitem__(self, name: str) -> Blob:
        start, size = self._places[name]
        if start in self._sparse:
            return _spread(self._whole, name, self._places[name], self._sparse[start], self._holes, self._limits)
        whole = self._whole

        def read_member(offset: int, count: int) -> bytes:
            return whole.read_at(start + offset, max(0, min(count, size - offset)))

        return Blob(name, size, read_member, whole.stat, start)


class _Sizes(_ByPlace[int]):
    """Sizes by name."""

    def __getitem__(self, name: str) -> int:
        return self._places[name][1]


def _count_stored(regions: Regions) -> int:
    return sum(length for _, length in regions)


def _spread(whole: Blob, name: str, place: Place, regions: Regions, holes: int, limits: Limits) -> Blob:
    """Give a sparse member (`tar --sparse`) as what it was before: zeros but for its regions, which stand one after the
    other. LimitExceeded when it is read, where a few bytes would become too many: the `holes` of all such members.
    """
    start, size = place
    befores = [before for before, _ in regions]
    stored = list(accumulate((length for _, length in regions), initial=start))

    def read_at(offset: int, count: int) -> bytes:
        tar.check_holes(holes, limits, place=name)
        end = min(offset + count, size)
        data = bytearray(max(0, end - offset))
        for number in range(max(0, bisect_right(befores, offset) - 1), bisect_left(befores, end)):
            before, length = regions[number]
            first, last = max(before, offset), min(before + length, end)
            if first < last:
                piece = whole.read_at(stored[number] + first - before, last - first)
                data[first - offset : last - offset] = piece
                if len(piece) < last - first:  # the file has become shorter
                    return bytes(data[: first - offset + len(piece)])
        return bytes(data)

    return Blob(name, size, read_at)


def ends_whole(walker: tar.Walker, size: int) -> bool:
    """Say whether a tar that has been walked ends in its end mark and at a block boundary."""
    return walker.end_mark and size % tar.BLOCK == 0


def clean_name(name: bytes) -> str:
    """Give the cleaned name of an archive member, without a leading slash."""
    return clean_path(name.decode("utf-8", "surrogateescape"))[1:]


def clean_names(headers: list[tar.Header]) -> Iterator[str]:
    """Give the cleaned names of members, without a leading slash: 0.4 of the cost of one at a time."""
    names, odd = tar.spell_names(headers)
    return (clean_path(name)[1:] if odd or name[-1] == "/" else name[1:] for name in names)


def link_targets(name: str, typeflag: bytes, linkname: bytes) -> tuple[str, ...]:
    """Give the names that a link may mean: a symlink's is relative to its directory, but some exporters
    write it relative to the archive; a hard link's is always the latter.
    """
    target = linkname.decode("utf-8", "surrogateescape")
    whole = clean_path(target)[1:]
    if typeflag == b"1" or target.startswith("/"):
        return (whole,)
    return clean_path(f"{name.rpartition('/')[0]}/{target}")[1:], whole


def find_top(names: Mapping[str, object]) -> str:
    """Give the directory, with its slash, that holds a whole archive: a directory was packed, not its contents.

    The empty string where there is none.
    """
    top = next(iter(names), "").partition("/")[0] + "/"
    documents = any(f"{top}{name}" in names for name in ("manifest.json", "index.json", "repositories"))
    return top if documents and all(name.startswith(top) for name in names) else ""
