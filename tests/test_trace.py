"""What each layer did: events, folded over the view before a layer, give the view after it, by both engines' rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers.layer import LayerIndex, index_layer
from tarlayers.merging.engine import ENGINES, merge_layers
from tarlayers.rootfs import Node, RootFS, path_key
from tarlayers.trace import trace_layers
from tests.build import directory, file, hardlink, layer, opaque, symlink, whiteout
from tests.strategies import LAYERS

ENGINE = st.sampled_from(ENGINES)


def index_all(layers: list[bytes]) -> list[LayerIndex]:
    return [index_layer([plain], hashed=False, contents=True) for plain in layers]


def nodes_of(rootfs: RootFS) -> dict[str, Node]:
    return dict(rootfs.nodes())


def group_names(nodes: dict[str, Node]) -> set[frozenset[str]]:
    groups: dict[tuple[int, int], set[str]] = {}
    for path, node in nodes.items():
        groups.setdefault((id(node.entry), node.layer), set()).add(path)
    return {frozenset(names) for names in groups.values()}


@settings(deadline=None)
@given(LAYERS, ENGINE)
def test_events_lead_from_each_view_to_the_next(layers, engine):
    indexes = index_all(layers)
    nodes: dict[str, Node] = {}
    refused = []
    for trace in trace_layers(indexes, engine=engine):
        for path, before, after, _cause, _by in trace.events:
            assert (path in nodes) == (before is not None)
            assert before is None or nodes[path].is_same(before)
            if after is None:
                del nodes[path]
            else:
                nodes[path] = after
        refused += trace.refused
        merged = merge_layers(indexes[: trace.layer + 1], engine=engine)
        assert nodes == nodes_of(merged)
        assert group_names(nodes) == group_names(nodes_of(merged))
        assert tuple(refused) == merged.refused


@settings(deadline=None)
@given(LAYERS, ENGINE)
def test_every_event_is_one_path_and_has_a_cause(layers, engine):
    for trace in trace_layers(index_all(layers), engine=engine):
        paths = [event.path for event in trace.events]
        assert paths == sorted(set(paths), key=path_key)
        for event in trace.events:
            assert event.before is not None or event.after is not None
            assert event.before is None or not event.before.is_same(event.after)
            assert event.path == event.by or event.path.startswith(event.by + "/")
            assert (event.cause == "entry") == (event.kind != "D")
            assert event.cause in ("entry", "whiteout", "opaque", "replaced")


BASE = (directory("d"), file("d/f", b"1"), directory("d/s"), file("d/s/g", b"2"), file("top", b"3"))

GONE = {
    "whiteout of a file": ([whiteout("d/f")], {"/d/f": ("whiteout", "/d/f")}),
    "whiteout of a directory takes what is below": (
        [whiteout("d/s")],
        {"/d/s": ("whiteout", "/d/s"), "/d/s/g": ("whiteout", "/d/s")},
    ),
    "opaque takes the children": (
        [directory("d"), opaque("d")],
        {"/d/f": ("opaque", "/d"), "/d/s": ("opaque", "/d"), "/d/s/g": ("opaque", "/d")},
    ),
    "opaque leaves what the layer has itself": (
        [directory("d"), opaque("d"), file("d/s/new")],
        {"/d/f": ("opaque", "/d"), "/d/s/g": ("opaque", "/d")},
    ),
    "a file where a directory was": (
        [file("d")],
        {"/d/f": ("replaced", "/d"), "/d/s": ("replaced", "/d"), "/d/s/g": ("replaced", "/d")},
    ),
    "a symlink where a directory was": ([symlink("d/s", "/")], {"/d/s/g": ("replaced", "/d/s")}),
    "a whiteout of what is not there": ([whiteout("nothing")], {}),
    "a directory over a file takes nothing": ([directory("top"), file("top/x")], {}),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("upper", "expected"), GONE.values(), ids=GONE)
def test_why_paths_are_gone(upper, expected, engine):
    *_, trace = trace_layers(index_all([layer(*BASE), layer(*upper)]), engine=engine)
    assert {e.path: (e.cause, e.by) for e in trace.events if e.after is None} == expected


@pytest.mark.parametrize(("engine", "cause"), [("containerd", "replaced"), ("oci", "whiteout")])
def test_a_whiteout_and_a_file_in_its_place(engine, cause):
    """On disk the file takes the place of the whiteout; in place the whiteout has deleted before the file comes."""
    *_, trace = trace_layers(index_all([layer(*BASE), layer(whiteout("d/s"), file("d/s"))]), engine=engine)
    assert [(e.path, e.kind, e.cause) for e in trace.events if e.path != "/d"] == [
        ("/d/s", "C", "entry"),
        ("/d/s/g", "D", cause),
    ]


REMADE = {
    "under an opaque marker": [directory("d"), opaque("d"), file("d/f", b"new")],
    "after a whiteout of the directory": [whiteout("d"), directory("d"), opaque("d"), file("d/f", b"new")],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("upper", REMADE.values(), ids=REMADE)
def test_what_goes_and_comes_in_one_layer_has_changed(upper, engine):
    *_, trace = trace_layers(index_all([layer(*BASE), layer(*upper)]), engine=engine)
    kinds = {event.path: event.kind for event in trace.events}
    assert kinds == {"/d": "C", "/d/f": "C", "/d/s": "D", "/d/s/g": "D"}


def test_a_refused_layer_is_traced_by_the_other_rule():
    upper = layer(hardlink("link", "d/f"), file("d/f", b"new"))
    *_, trace = trace_layers(index_all([layer(*BASE), upper]))
    assert [refusal.code for refusal in trace.refused] == ["not-found"]
    assert [(event.kind, event.path) for event in trace.events] == [("C", "/d/f"), ("A", "/link")]


def test_a_hard_links_own_header_changes_every_name():
    upper = layer(file("d/f", b"1", mode=0o600), hardlink("d/h", "d/f", mode=0o755))
    *_, trace = trace_layers(index_all([layer(*BASE), upper]))
    events = {event.path: event for event in trace.events}
    assert events["/d/f"].after.is_same(events["/d/h"].after)
    assert (events["/d/f"].kind, events["/d/f"].what) == ("C", ("mode",))
