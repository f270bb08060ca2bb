"""An entry of a layer: one member of its tar, the name decoded and cleaned, markers told apart.

Nothing is merged or resolved here: entries stand as the tar has them, in its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tarlayers.formats import tar
from tarlayers.formats.whiteout import check_name, clean_slashed, role_of
from tarlayers.limits import Limits

_KINDS = {
    b"0": ("file", "0"),
    b"1": ("hardlink", "1"),
    b"2": ("symlink", "2"),
    b"3": ("char", "3"),
    b"4": ("block", "4"),
    b"5": ("dir", "5"),
    b"6": ("fifo", "6"),
    b"7": ("file", "7"),
    b"S": ("file", "S"),
    b"g": ("global", "g"),
}
_BARE = {b"0": ("file", "0", None, None), b"5": ("dir", "5", None, None)}
_LINKS = frozenset(("symlink", "hardlink"))
_DEVICES = frozenset(("char", "block"))
_MODES = tuple(range(1 << 12))  # a number of its own would be 32 bytes for each entry


class Entry(NamedTuple):
    """One decoded member of a layer.

    Strings are UTF-8 with surrogate escapes, so `os.fsencode` gives the exact bytes back.
    """

    path: str
    """The cleaned absolute path (`/etc/passwd`); the root is the empty string."""
    type: str
    """`file dir symlink hardlink char block fifo`, `unknown` (no engine unpacks it), or `global` (a PAX
    global header: not a file, but engines let it displace an earlier entry of its name)."""
    mode: int
    """The low twelve bits."""
    uid: int
    gid: int
    size: int
    """Bytes that a reader of the content would get: sparse files expanded; 0 for all but files."""
    mtime: int | None
    """Nanoseconds since the epoch; None where no entry says it (an implied directory)."""
    link: str | None
    """The verbatim target of a symlink or hard link."""
    rdev: tuple[int, int] | None
    xattrs: Mapping[str, bytes] | None
    """From SCHILY.xattr records, all namespaces; None when there are none."""
    role: str
    """`entry`, `whiteout` or `opaque`, by the base name alone."""
    name: str | None
    """The member's name as the tar gives it; None where it is `path` without its leading slash."""
    offset: int
    """Of the member's own header block in the uncompressed tar."""
    typeflag: str
    sha256: bytes | None
    """Of the content of a file, where content digests were asked for."""


def put_digest(entry: Entry, digest: bytes | None) -> Entry:
    """Give an entry with the digest of its content: a third of what `_replace` costs, and there are many."""
    return tuple.__new__(Entry, (*entry[:-1], digest))


class Census(NamedTuple):
    """How many of what a layer holds. Markers are entries, global headers are not."""

    entries: int
    files: int
    dirs: int
    links: int
    """Symlinks and hard links."""
    whiteouts: int
    opaques: int
    content_size: int
    """Bytes of file content, holes included; every entry counts, also one that a later entry of its layer replaces."""


def count_entries(entries: Iterable[Entry]) -> Census:
    """Count entries by what they are."""
    roles = {"entry": 0, "whiteout": 0, "opaque": 0}
    types: dict[str, int] = {}
    content_size = 0
    for entry in entries:
        if entry.type == "global":
            continue
        roles[entry.role] += 1
        if entry.role == "entry":
            types[entry.type] = types.get(entry.type, 0) + 1
            content_size += entry.size
    return Census(
        entries=sum(roles.values()),
        files=types.get("file", 0),
        dirs=types.get("dir", 0),
        links=types.get("symlink", 0) + types.get("hardlink", 0),
        whiteouts=roles["whiteout"],
        opaques=roles["opaque"],
        content_size=content_size,
    )


def content_size(entries: Iterable[Entry]) -> int:
    """Add up the bytes of file content, as `count_entries` does."""
    return sum(entry.size for entry in entries if entry.size and entry.role == "entry" and entry.type != "global")


def unpacked_size(entries: Iterable[Entry]) -> int:
    """Bytes that `docker history` shows for a layer of these entries, which are in tar order.

    Docker's overlay2 driver measures the directory that it unpacked the layer into (pkg/directory, Size): holes
    included, of two entries of one name the last, names of one file once, and symlinks by the length of their target.
    """
    last = {entry.path: entry for entry in entries if entry.role == "entry" and entry.type != "global"}
    return sum(_target_size(e) if e.type == "symlink" else e.size for e in last.values())


def _target_size(entry: Entry) -> int:
    return len((entry.link or "").encode("utf-8", "surrogateescape"))


# -- decoding --------------------------------------------------------------------------------------


def decode_walk(walker: tar.Walker, limits: Limits) -> Iterator[list[Entry]]:
    """Turn the members of a layer's tar into entries, in their order, many at once; no content can be drawn."""
    for stretch in walker.gather() if are_plain_names_short(limits) else walker.stretches():
        yield decode_stretch(stretch, walker.weight, limits)


def join_entries(found: Iterable[list[Entry]]) -> list[Entry]:
    """Give as one what comes in several lists."""
    entries: list[Entry] = []
    for each in found:  # itertools.chain would be asked for every single one, a thirtieth of an index
        entries += each
    return entries


def decode_stretch(stretch: tar.Stretch, count: int, limits: Limits) -> list[Entry]:
    """Decode members that come at once, the last of which is a layer's `count`th: LimitExceeded for one too many."""
    tar.check_stretch(stretch, count, limits)
    return [decode_entry(stretch, limits)] if isinstance(stretch, tar.Member) else _decode_headers(stretch, limits)


def decode_entry(member: tar.Member, limits: Limits) -> Entry:
    """Decode one member: its name cleaned, its role told, its content not looked at."""
    check_names((member,), limits)
    whole = "/" + member.name.decode("utf-8", "surrogateescape")
    path, role = _clean(whole)
    kind, flag, link, rdev = _describe(member)
    return Entry(
        path,
        kind,
        _mask(member.mode),
        member.uid,
        member.gid,
        member.size if kind == "file" else 0,
        member.mtime,
        link,
        rdev,
        find_xattrs(member.pax) if member.pax else None,
        role,
        None if path == whole else whole[1:],
        member.offset,
        flag,
        None,
    )


def _mask(mode: int) -> int:
    """Give the low twelve bits; entries share the number."""
    return _MODES[mode & 0o7777]


def _describe(said: tar.Member | tar.Tail) -> tuple[str, str, str | None, tuple[int, int] | None]:
    """Give the type, its flag, the target of a link and the numbers of a device."""
    kind, flag = _KINDS.get(said.typeflag) or ("unknown", said.typeflag.decode("latin-1"))
    link = said.linkname.decode("utf-8", "surrogateescape") if kind in _LINKS else None
    return kind, flag, link, (said.devmajor, said.devminor) if kind in _DEVICES else None


def _decode_headers(headers: Sequence[tar.Header], limits: Limits) -> list[Entry]:
    """Decode headers that say all themselves; a hundred of them cost a third each of what members do."""
    if not are_plain_names_short(limits):
        check_names(tar.list_members([*headers]), limits)
    names, odd = tar.spell_names(headers)
    new, entries = tuple.__new__, list[Entry]()
    last_tail = last_owner = None
    for whole, (_, tail, size, owner, mtime, offset) in zip(names, headers, strict=True):
        if tail is not last_tail:  # they come from caches, and three in four are the one before
            last_tail = tail
            kind, flag, link, rdev = _BARE.get(tail.typeflag) or _describe(tail)
        if owner is not last_owner:
            last_owner = owner
            mode, uid, gid = _mask(owner[0]), owner[1], owner[2]
        path, role, name = whole, "entry", None
        if whole[-1] == "/" or odd:
            if odd or kind != "dir" or whole == "/":
                path, role = _clean(whole)
            else:
                path = whole[:-1]
            name = None if path == whole else whole[1:]
        fields = (
            path, kind, mode, uid, gid, size if kind == "file" else 0, mtime, link, rdev, None, role, name, offset,
            flag, None,
        )  # fmt: skip
        entries.append(new(Entry, fields))
    return entries


def _clean(whole: str) -> tuple[str, str]:
    """Give the cleaned path and the role of a name behind a slash."""
    path = clean_slashed(whole)
    return path, role_of(path.rpartition("/")[2]) if "/.wh." in path else "entry"


def are_plain_names_short(limits: Limits) -> bool:
    """Say whether the names that fit into a header are within the bounds, as they are unless these were set low."""
    return min(limits.path_bytes, limits.path_depth) > tar.HEADER_NAME_BYTES


def check_names(members: Iterable[tar.Member], limits: Limits) -> None:
    """LimitExceeded for a name or link target that is too long, or of too many components."""
    most = limits.path_bytes
    least = min(most, limits.path_depth - 1)  # a name of so many components has as many bytes at least
    for member in members:
        name, linkname = member.name, member.linkname
        if len(name) > least or len(linkname) > most:
            check_name(name, linkname, member.offset, limits)


def find_xattrs(pax: Mapping[bytes, bytes]) -> Mapping[str, bytes] | None:
    """Give extended attributes. They stand in SCHILY.xattr records alone; LIBARCHIVE's are not read by engines."""
    found = {
        key[len(tar.SCHILY) :].decode("utf-8", "surrogateescape"): value
        for key, value in pax.items()
        if key.startswith(tar.SCHILY)
    }
    return found or None
