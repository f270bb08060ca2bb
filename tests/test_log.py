"""The life of one path: every way to come, change and go, by both engines' rules."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers import merge_layers
from tarlayers.analysis.log import PathLog, trace_path
from tarlayers.errors import NoSuchPath
from tarlayers.merging.engine import ENGINES
from tarlayers.opening import open_images
from tests.build import Member, archive, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.run import run
from tests.strategies import LAYERS

Layers = tuple[tuple[Member, ...], ...]


def log_of(path: str, *layers: tuple[Member, ...], engine: str = "containerd") -> PathLog:
    built = archive("docker-25", image(*(layer(*members) for members in layers)))
    return trace_path(open_images(io.BytesIO(built), contents=True).images[0], path, engine=engine)


def story(log: PathLog) -> list[str]:
    """Oldest first: `2 D opaque /d` is layer 2 taking it away by making /d opaque."""
    lines = []
    for event in reversed(log.events):
        detail = [event.cause, *([event.by] if event.by != log.path else [])] if event.kind == "D" else event.what
        lines.append(" ".join([str(event.layer.index), event.kind, *detail]))
    return lines


FILE = (directory("d"), file("d/f", b"1"))

LIVES = {
    "it came and stayed": ("/d/f", [FILE, (file("x"),)], ["0 A"]),
    "written anew": ("/d/f", [FILE, (file("d/f", b"22"),)], ["0 A", "1 C content"]),
    "written again as it was": ("/d/f", [FILE, (file("d/f", b"1"),)], ["0 A", "1 C"]),
    "other metadata": ("/d/f", [FILE, (file("d/f", b"1", mode=0o600, uid=5),)], ["0 A", "1 C mode owner"]),
    "whited out": ("/d/f", [FILE, (whiteout("d/f"),)], ["0 A", "1 D whiteout"]),
    "whited out with its directory": ("/d/f", [FILE, (whiteout("d"),)], ["0 A", "1 D whiteout /d"]),
    "hidden by an opaque directory": ("/d/f", [FILE, (opaque("d"),)], ["0 A", "1 D opaque /d"]),
    "hidden by an opaque directory above its own": (
        "/d/s/f",
        [(file("d/s/f"),), (directory("d"), opaque("d"))],
        ["0 A", "1 D opaque /d"],
    ),
    "its directory became a file": ("/d/f", [FILE, (file("d"),)], ["0 A", "1 D replaced /d"]),
    "gone and back": ("/d/f", [FILE, (whiteout("d/f"),), (file("d/f"),)], ["0 A", "1 D whiteout", "2 A"]),
    "gone and back in one layer": ("/d/f", [FILE, (opaque("d"), file("d/f", b"2"))], ["0 A", "1 C content"]),
    "whited out twice": ("/d/f", [FILE, (whiteout("d/f"),), (whiteout("d/f"),)], ["0 A", "1 D whiteout"]),
    "it became a directory, and then a link": (
        "/d/f",
        [FILE, (directory("d/f"),), (symlink("d/f", "x"),)],
        ["0 A", "1 C type", "2 C type"],
    ),
    "a lower link's other name is written": (
        "/a",
        [(file("a", b"1"), hardlink("b", "a")), (file("b", b"2"),)],
        ["0 A"],
    ),
    "a directory is written for what is below it": ("/d", [FILE, (file("d/n"),)], ["0 A", "1 C mtime"]),
}  # fmt: skip


@pytest.mark.parametrize(("path", "layers", "expected"), LIVES.values(), ids=LIVES)
def test_lives(path, layers, expected):
    log = log_of(path, *layers)
    assert story(log) == expected
    assert log.visible == (" D " not in expected[-1])
    assert (log.path, log.refused) == (path, ())


def test_another_names_header_changes_the_shared_inode():
    """The last link's mode and owner count for all names (H7)."""
    log = log_of("/a", (file("a", b"1"),), (file("a", b"1"), hardlink("b", "a", mode=0o755, uid=9)))
    assert story(log) == ["0 A", "1 C mode owner"]
    assert log.events[0].entry.mode == 0o755
    assert (log.events[0].links, log.events[1].links) == (("/b",), ())


def test_in_place_a_link_into_a_lower_layer_is_a_new_name_of_old_bytes():
    log = log_of("/b", (file("a", b"1", mode=0o600),), (hardlink("b", "a", mode=0o755),), engine="oci")
    assert story(log) == ["1 A"]
    (event,) = log.events
    assert (event.node.layer, event.entry.mode, event.links) == (0, 0o600, ("/a",))


def test_a_refused_layer_counts_as_the_other_rule_has_it():
    log = log_of("/b", (file("a", b"1"),), (hardlink("b", "a"),))
    assert story(log) == ["1 A"]
    assert [(refusal.layer, refusal.code) for refusal in log.refused] == [(1, "not-found")]


USRMERGED = ((symlink("lib", "usr/lib"), directory("usr/lib"), file("usr/lib/x"), file("usr/lib/s/y")),)

FOLLOWED = {
    "the parent is a link": ("/lib/x", USRMERGED, "/usr/lib/x", ["0 A"]),
    "what is gone is followed too": (
        "lib/x", (*USRMERGED, (whiteout("usr/lib/x"),)), "/usr/lib/x", ["0 A", "1 D whiteout"],
    ),
    "so is what went with its directory": (
        "/lib/s/y", (*USRMERGED, (whiteout("usr/lib/s"),)), "/usr/lib/s/y", ["0 A", "1 D whiteout /usr/lib/s"],
    ),
    "the link itself is not": ("/lib", USRMERGED, "/lib", ["0 A"]),
    "a path that once was is itself": (
        "/lib/x", ((file("lib/x"),), (symlink("lib", "usr/lib"), file("usr/lib/x"))),
        "/lib/x", ["0 A", "1 D replaced /lib"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "layers", "path", "expected"), FOLLOWED.values(), ids=FOLLOWED)
def test_symlinked_parents(asked, layers, path, expected):
    log = log_of(asked, *layers)
    assert (log.path, story(log)) == (path, expected)


NEVER = {
    "/nowhere": "no layer ever had it",
    "/lib/nowhere": "no layer ever had it",
    "y": "no layer ever had it; there is /usr/lib/s/y",
    "/lib/x/z": "no layer ever had it",
    "/": "the root directory has no history",
}


@pytest.mark.parametrize(("path", "message"), NEVER.items())
def test_what_never_was(path, message):
    with pytest.raises(NoSuchPath, match=message):
        log_of(path, *USRMERGED)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "app.tar"
    layers = FILE, (file("d/f", b"22", mode=0o4755),), (file("d"),)
    path.write_bytes(archive("oci-gzip", image(*(layer(*members) for members in layers))))
    return path


def test_text_is_a_table_newest_first(saved):
    done = run("log", saved, "/d/f")
    assert (done.code, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.lines] == ["LAYER", "2", "1", "0"]
    assert done.lines[1].split()[2:] == ["D", "replaced", "/d", "-", "-", "-", "-", "step", "2"]
    assert done.lines[2].split()[2:5] == ["C", "content,mode", "-rwsr-xr-x"]


def test_json_of_a_path_that_is_gone(saved):
    done = run("log", saved, "/d/f", "-f", "json")
    document = done.json
    assert (done.code, document["schema"], document["path"], document["visible"]) == (
        0, "tarlayers.log/1", "/d/f", False,
    )  # fmt: skip
    gone, changed, _ = document["events"]
    assert {**gone, "diff_id": ""} == {
        "layer": 2, "diff_id": "", "created_by": "step 2", "kind": "D", "what": [], "cause": "replaced", "by": "/d",
    }  # fmt: skip
    assert (changed["kind"], changed["what"], changed["cause"]) == ("C", ["content", "mode"], "entry")
    assert (changed["entry"]["mode"], changed["entry"]["layer"], changed["entry"]["size"]) == ("4755", 1, 2)
    assert changed["entry"]["sha256"].startswith("sha256:")


def test_never_was_is_the_answer_no(saved):
    done = run("log", saved, "f")
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == "tarlayers: f: no layer ever had it; there is /d/f\n"


@given(LAYERS, st.sampled_from(ENGINES))
def test_links_are_the_names_that_the_view_after_the_layer_shows(layers: list[bytes], engine: str) -> None:
    found = open_images(io.BytesIO(archive("docker-25", image(*layers))), contents=True).images[0]
    for path in {path for i in range(len(layers)) for path in merge_layers(found.layers[: i + 1], engine=engine)}:
        for event in trace_path(found, path, engine=engine).events:
            if event.node is not None:
                view = merge_layers(found.layers[: event.layer.index + 1], engine=engine)
                assert event.links == view.links_of(path)
