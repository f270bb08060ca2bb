"""An entry of a layer: one member of its tar, the name decoded and cleaned, markers told apart.

Nothing is merged or resolved here: entries stand as the tar has them, in its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tarlayers.formats import tar
from tarlayers.formats.whiteout import clean_path, role_of
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded

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
_LINKS = frozenset(("symlink", "hardlink"))
_DEVICES = frozenset(("char", "block"))
_SCHILY = b"SCHILY.xattr."


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


def decode_entries(walker: tar.Walker, limits: Limits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """Turn the members of a layer's tar into entries, in their order, as they are read."""
    for batch in walker.batches():
        check_count(walker.count, batch, limits)
        yield from decode_members(batch, limits)


def check_count(count: int, batch: Sequence[tar.Member], limits: Limits) -> None:
    """LimitExceeded where a layer has had more members than it may have, the last of them in `batch`."""
    if count > limits.entries:
        extra = batch[-min(count - limits.entries, len(batch))]
        raise limit_exceeded(limits, "entries", "one entry more than is allowed", offset=extra.offset)


def decode_entry(member: tar.Member, limits: Limits = DEFAULT_LIMITS) -> Entry:
    """Decode one member: its name cleaned, its role told, its content not looked at."""
    return decode_members((member,), limits)[0]


def decode_members(members: Sequence[tar.Member], limits: Limits = DEFAULT_LIMITS) -> list[Entry]:
    """Decode members as `decode_entry` does; a hundred of them cost a third each."""
    check_names(members, limits)
    names, odd = _decode_names(members)
    new, kinds = tuple.__new__, _KINDS
    entries: list[Entry] = []
    append = entries.append
    for whole, member in zip(names, members, strict=True):
        _, typeflag, linkname, size, mode, uid, gid, mtime, devmajor, devminor, pax, offset, _, _ = member
        kind, flag = kinds.get(typeflag) or ("unknown", typeflag.decode("latin-1"))
        path, role = whole[:-1] if kind == "dir" and whole[-1] == "/" else whole, "entry"
        if odd or not path or path[-1] == "/":
            path, role = _clean(whole, path)
        append(
            new(
                Entry,
                (
                    path,
                    kind,
                    # What the numbers of all headers share would be a new one for each entry, masked.
                    mode if 0 <= mode <= 0o7777 else mode & 0o7777,
                    uid,
                    gid,
                    size if kind == "file" else 0,
                    mtime,
                    linkname.decode("utf-8", "surrogateescape") if kind in _LINKS else None,
                    (devmajor, devminor) if kind in _DEVICES else None,
                    _xattrs(pax) if pax else None,
                    role,
                    None if path == whole else whole[1:],
                    offset,
                    flag,
                    None,
                ),
            )
        )
    return entries


def _decode_names(members: Sequence[tar.Member]) -> tuple[list[str], bool]:
    """Give the names behind a slash, and say whether any has a component that is empty or starts with a dot."""
    text = "/" + b"\0/".join([member[0] for member in members]).decode("utf-8", "surrogateescape")
    names = text.split("\0")
    if len(names) != len(members):  # a sparse file's name in its extended header may have a NUL in it
        names = ["/" + member[0].decode("utf-8", "surrogateescape") for member in members]
    return names, "/." in text or "//" in text


def _clean(whole: str, path: str) -> tuple[str, str]:
    """Give the cleaned path and the role of a name; `path` is it without the slash at the end of a directory's."""
    if path.startswith("/./"):
        path = path[2:]
    if "/." in path or "//" in path or path[-1:] in ("", "/"):
        path = clean_path(whole)
    return path, role_of(path.rpartition("/")[2]) if "/.wh." in path else "entry"


def check_names(members: Iterable[tar.Member], limits: Limits) -> None:
    """LimitExceeded for a name or link target that is too long, or of too many components."""
    most = limits.path_bytes
    least = min(most, limits.path_depth - 1)  # a name of so many components has as many bytes at least
    for member in members:
        name, linkname = member.name, member.linkname
        if len(name) > least or len(linkname) > most:
            _check_name(name, linkname, member.offset, limits)


def _check_name(name: bytes, linkname: bytes, offset: int, limits: Limits) -> None:
    for what, text in (("name", name), ("link target", linkname)):
        if len(text) > limits.path_bytes:
            raise limit_exceeded(limits, "path_bytes", f"a {what} of {len(text)} bytes", offset=offset)
    depth = name.count(b"/") + 1
    if depth > limits.path_depth:
        raise limit_exceeded(limits, "path_depth", f"a name of {depth} components", offset=offset)


def _xattrs(pax: Mapping[bytes, bytes]) -> Mapping[str, bytes] | None:
    """Extended attributes stand in SCHILY.xattr records alone; LIBARCHIVE's are not read by engines."""
    found = {
        key[len(_SCHILY) :].decode("utf-8", "surrogateescape"): value
        for key, value in pax.items()
        if key.startswith(_SCHILY)
    }
    return found or None
