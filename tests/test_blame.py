"""Who wrote what is visible: tables, and the agreement of blame, log and ls on random and on real layers."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers.analysis.blame import blame_paths
from tarlayers.analysis.listing import parse_selection
from tarlayers.analysis.log import trace_path
from tarlayers.errors import NoSuchPath
from tarlayers.image import Image, load_layers
from tarlayers.merging.engine import ENGINES, merge_layers
from tarlayers.opening import open_images
from tests.build import archive, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.paths import CASES, needs_shared
from tests.run import run
from tests.strategies import LAYERS


def open_built(*layers: bytes) -> Image:
    return open_images(io.BytesIO(archive("docker-25", image(*layers))), contents=True).images[0]


def blame(image: Image, path: str = "/", engine: str = "containerd") -> dict[str, tuple[int, int]]:
    answer = blame_paths(image, path, engine=engine)
    return {row.path: (row.layer.index, row.introduced.index) for row in answer.paths}


BASE = layer(directory("d"), file("d/f"), file("d/g"), symlink("l", "d"))

WRITTEN = {
    "nobody touched it": ([], "/d/f", (0, 0)),
    "written anew": ([layer(file("d/f", b"1"))], "/d/f", (1, 0)),
    "written again as it was": ([layer(file("d/f"))], "/d/f", (1, 0)),
    "a directory is written with what is below it": ([layer(file("d/n"))], "/d", (1, 0)),
    "gone and back": ([layer(whiteout("d/f")), layer(file("d/f"))], "/d/f", (2, 2)),
    "gone and back in one layer is no break": ([layer(directory("d"), opaque("d"), file("d/f"))], "/d/f", (1, 0)),
    "another type is no break": ([layer(directory("d/f"))], "/d/f", (1, 0)),
    "gone with its directory and back": ([layer(whiteout("d")), layer(file("d/f"))], "/d/f", (2, 2)),
    "a hard link is written where it is made": ([layer(file("x"), hardlink("h", "x"))], "/h", (1, 1)),
    "a neighbour's deletion is not the file's": ([layer(whiteout("d/g"))], "/d/f", (0, 0)),
}


@pytest.mark.parametrize(("upper", "path", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_who_wrote_it(upper, path, expected):
    assert blame(open_built(BASE, *upper))[path] == expected


def test_in_place_a_link_into_a_lower_layer_is_written_by_the_layer_that_makes_it():
    linked = open_built(BASE, layer(hardlink("h", "d/f")))
    assert blame(linked, engine="oci")["/h"] == (1, 1)


def test_path_narrows():
    built = open_built(BASE, layer(file("dd"), whiteout("d/g")))
    assert list(blame(built, "/d")) == ["/d", "/d/f"]
    assert list(blame(built, "d/f")) == ["/d/f"]
    assert list(blame(built, "/l")) == ["/l"]
    assert list(blame(built, "/l/f")) == ["/d/f"]
    with pytest.raises(NoSuchPath, match="not in the image"):
        blame(built, "/d/g")


# -- blame, log and ls agree -----------------------------------------------------------------------


def check_agreement(built: Image, engine: str) -> None:
    load_layers(built.layers, contents=True)
    rootfs = merge_layers(built.layers, engine=engine)
    blamed = blame(built, engine=engine)
    rows = list(parse_selection("/", recursive=True, match=None, types=None).select(rootfs))
    assert list(blamed) == [row.path for row in rows]
    for path, entry, layer_index, _links in rows:
        log = trace_path(built, path, engine=engine)
        last = log.events[0]
        assert log.visible
        assert last.entry == entry
        assert (last.layer.index, last.node.layer) == (blamed[path][0], layer_index)
        came = next(event for event in log.events if event.kind == "A")
        assert came.layer.index == blamed[path][1]
        check_life([event.kind for event in reversed(log.events)])


def check_life(kinds: list[str]) -> None:
    there = False
    for kind in kinds:
        assert there == (kind != "A")
        there = kind != "D"


@settings(deadline=None, max_examples=50)
@given(LAYERS, st.sampled_from(ENGINES))
def test_blame_log_and_ls_agree(layers, engine):
    check_agreement(open_built(*layers), engine)


@settings(deadline=None, max_examples=50)
@given(LAYERS, st.sampled_from(ENGINES))
def test_what_is_not_visible_ended_or_never_was(layers, engine):
    built = open_built(*layers)
    rootfs = merge_layers(built.layers, engine=engine)
    for path in ("/a", "/a/b", "/b/a/c", "/c/c"):
        try:
            log = trace_path(built, path, engine=engine)
        except NoSuchPath:
            assert path not in rootfs
            continue
        assert log.visible == (log.path in rootfs)
        assert log.visible == (log.events[0].kind != "D")


@needs_shared
@pytest.mark.conformance
@pytest.mark.parametrize("engine", ENGINES)
def test_blame_log_and_ls_agree_on_the_reference_cases(engine):
    checked = 0
    for path in sorted(CASES.glob("*.oci.tar")):
        expected = json.loads((CASES / "expected" / path.name.replace(".oci.tar", ".json")).read_bytes())
        readable = expected["reference"]["outcome"] == "ok" and len(expected["reference"]["entries"]) < 50
        if readable and expected["layers"] > 1:
            check_agreement(open_images(path).images[0], engine)
            checked += 1
    assert checked > 50


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("blame") / "app.tar"
    path.write_bytes(archive("docker-20", image(BASE, layer(file("d/f", b"1"), hardlink("bad", "nowhere")))))
    return path


def test_text_is_aligned(saved):
    done = run("blame", saved, "/d", "-q")
    first, second = image(BASE, layer(file("d/f", b"1"), hardlink("bad", "nowhere"))).diff_ids
    assert (done.code, done.stderr) == (0, "")
    assert done.lines == [
        f"L0 {first[:19]} L0 /d",
        f"L1 {second[:19]} L0 /d/f",
        f"L0 {first[:19]} L0 /d/g",
    ]
    assert run("blame", "--long", saved, "/d/f", "-q").lines == [f"L1 {second[:19]} L0 step 1 /d/f"]


def test_json(saved):
    done = run("blame", saved, "/d/f", "-f", "json")
    document = done.json
    (entry,) = document["entries"]
    assert document["schema"] == "tarlayers.blame/1"
    assert {key: entry[key] for key in ("path", "layer", "introduced", "created_by")} == {
        "path": "/d/f", "layer": 1, "introduced": 0, "created_by": "step 1",
    }  # fmt: skip
    assert document["refused"][0]["layer"] == 1
    assert "engines refuse this layer" in done.stderr


def test_what_is_not_there_is_the_answer_no(saved):
    done = run("blame", saved, "/nowhere")
    assert (done.code, done.stdout) == (1, b"")
    assert "/nowhere: not in the image" in done.stderr


def test_ndjson_is_the_entries_of_json_one_a_line(saved):
    lines = run("blame", saved, "-f", "ndjson").lines
    assert [json.loads(line) for line in lines] == run("blame", saved, "-f", "json").json["entries"] != []
