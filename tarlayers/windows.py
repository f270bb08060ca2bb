"""Layers of Windows images: the file system lies below `Files/`, changes of the registry below `Hives/`.

Facts (hcsshim pkg/ociwclayer, containerd's windows differ): `Files/` is the root of the drive, `Hives/` holds registry
hives, `UtilityVM/` the files of the virtual machine that isolates a container; whiteouts stand below `Files/`
too, and a hard link names its target with it. A layer that has none of them was made by a tool that does not
know the form, and stands as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tarlayers.entry import Entry

_FILES = "/Files"
_PARTS = ("Files", "Hives", "UtilityVM")


def find_parts(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Say which of `Files Hives UtilityVM` a layer has; none for a layer of another form."""
    tops = {entry.path[1:].partition("/")[0] for entry in entries}
    return tuple(part for part in _PARTS if part in tops)


def show_files(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Give the entries as a container sees them: those below `Files/`, at the root of the drive."""
    return tuple(_move_files(entries)) if find_parts(entries) else entries


def _move_files(entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if entry.type == "global" or not entry.path.startswith(_FILES + "/"):
            continue
        link = entry.link
        if entry.type == "hardlink" and link is not None:
            link = link.removeprefix("/").removeprefix("./").removeprefix("Files/")
        yield entry._replace(path=entry.path[len(_FILES) :], link=link, name=_name_of(entry))


def _name_of(entry: Entry) -> str:
    """The name that the tar gives: it is no longer the path, so it has to be said."""
    return entry.path[1:] if entry.name is None else entry.name
