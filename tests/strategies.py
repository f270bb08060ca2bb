"""Random layers for hypothesis: few names, so that entries, markers and links meet each other."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.build import Member, device, directory, fifo, file, hardlink, layer, opaque, symlink, whiteout, xattrs

_NAMES = ("a", "b", "c")

PATHS = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map("/".join)
_CONTENTS = st.sampled_from((b"", b"1", b"2", b"two"))
_TIMES = st.sampled_from((1, 2, 2.5))


def _headers(*modes: int) -> st.SearchStrategy[dict[str, int | float]]:
    return st.fixed_dictionaries({"mode": st.sampled_from(modes), "uid": st.sampled_from((0, 7)), "mtime": _TIMES})


_FILE = st.builds(lambda name, data, header: file(name, data, **header), PATHS, _CONTENTS, _headers(0o644, 0o4755))
_DIRECTORY = st.builds(lambda name, header: directory(name, **header), PATHS, _headers(0o755, 0o700))
_TARGETS = st.one_of(PATHS, PATHS.map("/{}".format), st.sampled_from(("..", "../a", "b/..", "/nowhere")))
_OTHERS = st.one_of(
    st.builds(symlink, PATHS, _TARGETS),
    st.builds(lambda name, data: xattrs(file(name), user_x=data, trusted_y=data), PATHS, _CONTENTS),
    st.builds(lambda name, data: xattrs(directory(name), user_x=data), PATHS, _CONTENTS),
    st.builds(fifo, PATHS),
    st.builds(device, PATHS, st.sampled_from((0, 1)), st.sampled_from((0, 3))),
)
_MARKERS = st.one_of(st.builds(whiteout, PATHS), st.builds(opaque, st.one_of(PATHS, st.just(""))))
_HARD_LINKS = st.builds(lambda name, to, header: hardlink(name, to, **header), PATHS, PATHS, _headers(0o644, 0o600))


def _linked(member: Member, name: str, mode: int) -> list[Member]:
    """A file and a hard link to it: most links that are drawn at random point nowhere."""
    return [member, hardlink(name, member.name, mode=mode)]


def _remade(name: str, base: str, marker: Callable[[str], Member]) -> list[Member]:
    """A directory that loses what it had and gets something of the same few names."""
    return [marker(name), directory(name), file(f"{name}/{base}", b"remade")]


_GROUPS = st.one_of(
    st.builds(_remade, PATHS, st.sampled_from(_NAMES), st.sampled_from((opaque, whiteout))),
    st.one_of(_FILE, _DIRECTORY, _OTHERS, _MARKERS).map(lambda member: [member]),
    st.one_of(_FILE, _DIRECTORY).map(lambda member: [member]),
    _HARD_LINKS.map(lambda member: [member]),
    st.builds(_linked, _FILE, PATHS, st.sampled_from((0o644, 0o755))),
)

MEMBERS = st.lists(_GROUPS, max_size=7).map(lambda groups: [member for group in groups for member in group])
"""What one layer holds. The engine refuses some such layers (about one in three)."""


def put_in_order(members: list[Member]) -> list[Member]:
    """Make an orderly layer of these: parents are listed first, and what could not stand for itself goes."""
    listed: dict[str, str] = {}
    kept: list[Member] = []
    for member in members:
        path = member.name.strip("/")
        above = [path[:end] for end, letter in enumerate(path) if letter == "/"]
        if path in listed or any(listed.get(parent, "5") != "5" for parent in above):
            continue
        if member.type == "1" and listed.get(member.link.strip("/"), "5") not in "0123":
            continue
        kept += [directory(parent) for parent in above if parent not in listed]
        kept.append(member)
        listed.update(dict.fromkeys(above, "5") | {path: member.type})
    hidden = {path: path.replace(".wh.", "") for path in listed if ".wh." in path}
    return [member for member in kept if hidden.get(member.name.strip("/")) not in listed]


LAYER = MEMBERS.map(lambda members: layer(*members))
"""One plain layer."""

LAYERS = st.lists(LAYER, min_size=1, max_size=4)
"""Plain layers, base first."""

STACKS = st.lists(LAYER, max_size=2)
"""Few of them, or none."""

PAIRS = st.tuples(STACKS, STACKS, STACKS).map(lambda three: ([*three[0], *three[1]], [*three[0], *three[2]]))
"""Two images that may have layers in common."""

ORDERLY = MEMBERS.map(put_in_order).map(lambda members: layer(*members))
"""One layer as docker writes it, but for a device 0:0 now and then, which is a whiteout."""
