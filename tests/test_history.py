"""Sizes of build steps, which are those of `docker history`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tarlayers
from tarlayers.entry import unpacked_size
from tarlayers.render.values import brief_time
from tests.build import archive, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.paths import needs_shared
from tests.run import run
from tests.test_corpus import corpus, list_archives  # noqa: F401 # a fixture

# Measured with dockerd 20.10 on overlay2, but for the double name, which its tar-split refuses.
SIZES = {
    "files": ([file("a", b"123"), file("b", b"4567")], 7),
    "no content": ([directory("d"), file("d/empty")], 0),
    "a symlink has the length of its target in bytes": ([symlink("link", "ü/ö")], 5),
    "names of one file count once": ([file("a", b"123"), hardlink("b", "a")], 3),
    "the last of one name counts": ([file("z", b"abc"), file("z", b"abcdefg")], 7),
    "markers are no content": ([file("d/new", b"12"), whiteout("d/old"), opaque("d")], 2),
}


@pytest.mark.parametrize(("members", "size"), SIZES.values(), ids=SIZES)
def test_size_is_what_docker_history_says(members: list, size: int, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("docker-20", image(layer(file("base")), layer(*members))))
    assert run("history", path, "-f", "json").json["history"][0]["size"] == size


@pytest.mark.conformance
@needs_shared
def test_size_is_what_docker_kept_of_every_layer(corpus: Path) -> None:  # noqa: F811 # the fixture
    """layerdb has a `size` file beside each layer that docker unpacked."""
    records = json.loads((corpus / "truth" / "layerdb.json").read_text()).values()
    kept = {record["diff"]: record["size"] for record in records}
    sizes: dict[str, int] = {}
    for name in list_archives():
        if (path := corpus / name).exists():
            for shown in tarlayers.open_images(path).images:
                sizes |= {
                    str(each.diff_id): unpacked_size(each.read().entries)
                    for each in shown.layers
                    if str(each.diff_id) in kept.keys() - sizes.keys() and not each.unreadable
                }
    assert len(sizes) > 100
    assert sizes == {diff_id: kept[diff_id] for diff_id in sizes}


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        ("2026-11-26T07:42:07.137356879Z", "2026-11-26T07:42:07Z"),
        ("2026-11-26T07:42:07Z", "2026-11-26T07:42:07Z"),
        ("2026-11-26T07:42:07.5+02:00", "2026-11-26T07:42:07+02:00"),
        ("2026-11-26T07:42:07", "2026-11-26T07:42:07"),
        ("yesterday, or the day before", "yesterday, or the d"),
    ],
)
def test_a_time_in_a_table_keeps_its_zone(text: str, brief: str) -> None:
    assert brief_time(text) == brief


def test_a_history_that_does_not_fit_is_told_in_whole_sentences() -> None:
    app = image(layer(file("a")), layer(file("b")))
    for steps, words in ((1, "1 step with a layer, the image has 2"), (3, "3 steps with a layer, the image has 2")):
        history = [{"created_by": "step"}] * steps
        packed = archive("oci-gzip", replace(app, config={**app.config, "history": history}))
        told = f"tarlayers: warning: {app.names[0]}: the history has {words}: not matched\n"
        assert run("history", "-", stdin=packed).stderr == told
        assert words in " ".join(run("verify", "-", stdin=packed).stdout.decode().split())
