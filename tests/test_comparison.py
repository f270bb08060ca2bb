"""Files are compared by digests that are fetched when they are needed: few of them, and with the same answers."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarlayers.analysis.changes import list_changes
from tarlayers.analysis.log import trace_path
from tarlayers.image import Image, Layer
from tarlayers.imagearchive import open_image, open_images
from tarlayers.render.changes import changes_document
from tarlayers.render.log import log_document
from tarlayers.rootfs import ENGINES
from tests.build import archive, file, image, layer
from tests.strategies import LAYERS

LOWER = layer(file("same", b"one"), file("other", b"one"), file("longer", b"one"), file("alone", b"1"), file("empty"))
UPPER = layer(file("same", b"one", mode=0o600), file("other", b"two"), file("longer", b"three"), file("empty"))
FLAVOURS = ["oci-none", "oci-gzip", "oci-zstd", "docker-20", "docker-25-gzip"]


def on_disk(path: Path, layers: Sequence[bytes], flavour: str = "oci-none") -> Image:
    path.write_bytes(archive(flavour, image(*layers)))
    return open_image(path)


def passed(layers: Sequence[bytes]) -> Image:
    """The image as a stream leaves it, every file hashed in passing."""
    return open_images(io.BytesIO(archive("oci-none", image(*layers))), contents=True).images[0]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The files that are hashed, by layer and path."""
    found: list[tuple[int, str]] = []
    hash_files = Layer.hash_files

    def listen(layer: Layer, offsets: Collection[int]) -> Mapping[int, bytes]:
        found.extend((layer.index, entry.path) for entry in layer.entries if entry.offset in offsets)
        return hash_files(layer, offsets)

    monkeypatch.setattr(Layer, "hash_files", listen)
    return found


def test_changes_hash_what_was_written_again_with_the_same_size(tmp_path: Path, hashed: list[tuple[int, str]]) -> None:
    (_, upper) = list_changes(on_disk(tmp_path / "a", [LOWER, UPPER])).layers
    assert {change.path: change.what for change in upper.changes} == {
        "/longer": ("content",), "/other": ("content",), "/same": ("mode",),
    }  # fmt: skip
    assert sorted(hashed) == [(0, "/other"), (0, "/same"), (1, "/other"), (1, "/same")]


def test_log_hashes_what_the_path_ever_was(tmp_path: Path, hashed: list[tuple[int, str]]) -> None:
    log = trace_path(on_disk(tmp_path / "a", [LOWER, UPPER]), "/longer")
    assert all(event.entry is not None and event.entry.sha256 is not None for event in log.events)
    assert sorted(hashed) == [(0, "/longer"), (1, "/longer")]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_all_flavours_give_the_same_answers(flavour: str, tmp_path: Path) -> None:
    ours, theirs = on_disk(tmp_path / "a", [LOWER, UPPER], flavour), passed([LOWER, UPPER])
    assert changes_document(list_changes(ours, noise=True)) == changes_document(list_changes(theirs, noise=True))
    assert log_document(trace_path(ours, "/same")) == log_document(trace_path(theirs, "/same"))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LAYERS, st.sampled_from(ENGINES), st.sampled_from(["oci-none", "oci-gzip"]))
def test_answers_are_those_of_files_that_are_all_hashed(
    tmp_path: Path, layers: list[bytes], engine: str, flavour: str
) -> None:
    ours, theirs = on_disk(tmp_path / "a", layers, flavour), passed(layers)
    found = list_changes(ours, noise=True, engine=engine)
    assert changes_document(found) == changes_document(list_changes(theirs, noise=True, engine=engine))
    for path in sorted({change.path for each in found.layers for change in each.changes})[:3]:
        logs = [log_document(trace_path(each, path, engine=engine)) for each in (ours, theirs)]
        assert logs[0] == logs[1]
