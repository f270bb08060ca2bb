"""Files are compared by digests that are fetched when they are needed: few of them, and with the same answers."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarlayers.analysis.changes import list_changes
from tarlayers.analysis.log import trace_path
from tarlayers.errors import MalformedInput
from tarlayers.image import Image, Layer
from tarlayers.merging.engine import ENGINES
from tarlayers.opening import open_image, open_images
from tarlayers.render.changes import changes_document
from tarlayers.render.log import log_document
from tarlayers.rootfs import sort_paths
from tests import splits
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


@pytest.mark.parametrize("name", splits.TARS)
def test_files_of_a_plain_layer_are_read_where_they_stand_and_are_what_a_walk_gives(tmp_path: Path, name: str) -> None:
    plain, packed = (
        on_disk(tmp_path / flavour, [splits.TARS[name]], flavour).layers[0] for flavour in ("oci-none", "oci-gzip")
    )
    files = [entry for entry in plain.entries if entry.type == "file"]
    offsets = {entry.offset for entry in files}
    assert plain.hash_files(offsets) == packed.hash_files(offsets)
    for entry in files:
        assert b"".join(plain.open_content(entry)) == b"".join(packed.open_content(entry))


def test_a_file_behind_a_large_one_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = on_disk(tmp_path / "a", [layer(file("large", bytes(1 << 20)), file("small", b"1"))]).layers
    small = only.entries[1]
    counts: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda at, count, offset: counts.append(count) or pread(at, count, offset))
    assert b"".join(only.open_content(small)) == b"1"
    assert only.hash_files([small.offset]) == {small.offset: hashlib.sha256(b"1").digest()}
    assert sum(counts) < 1024


def test_where_no_file_starts_nothing_is_read(tmp_path: Path) -> None:
    (only,) = on_disk(tmp_path / "a", [LOWER]).layers
    with pytest.raises(MalformedInput, match="no member starts here"):
        only.hash_files([1])
    with pytest.raises(ValueError, match="is no entry of"):
        list(only.open_content(only.entries[0]._replace(offset=1)))


@given(st.lists(st.binary(min_size=1, max_size=4).map(os.fsdecode)))
def test_paths_sort_like_their_bytes(paths: list[str]) -> None:
    assert sort_paths(paths) == sorted(paths, key=os.fsencode)
