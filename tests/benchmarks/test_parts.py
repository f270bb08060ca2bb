"""The parts by themselves: per-entry and per-byte work."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tarlayers.analysis.diff import diff_images
from tarlayers.formats import tar
from tarlayers.formats.compression import Decompressor
from tarlayers.layer import LayerIndex, index_layer
from tarlayers.merging.engine import merge_layers
from tarlayers.opening import open_image
from tarlayers.render.values import dump_json, entry_dict
from tests.benchmarks.images import small_files, text
from tests.build import Image, archive

ENTRIES = 20_000

Benchmark = Callable[..., Any]


def chunks(data: bytes, size: int = 1 << 18) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.fixture(scope="module")
def small() -> Image:
    return small_files(random.Random(1), ENTRIES, 100)


@pytest.fixture(scope="module")
def plain(small: Image) -> bytes:
    return small.layers[0]


@pytest.fixture(scope="module")
def indexes(small: Image) -> list[LayerIndex]:
    return [index_layer([plain]) for plain in small.layers]


def test_walk_a_stream(benchmark: Benchmark, plain: bytes) -> None:
    count = benchmark(lambda: sum(1 for _ in tar.Walker(tar.ChunkFeed(chunks(plain)))))
    assert count > ENTRIES / 2


def test_walk_by_hopping(benchmark: Benchmark, plain: bytes) -> None:
    def read_at(offset: int, size: int) -> bytes:
        return plain[offset : offset + size]

    assert benchmark(lambda: sum(1 for _ in tar.Walker(tar.SeekFeed(read_at, len(plain))))) > ENTRIES / 2


def test_index_a_layer(benchmark: Benchmark, plain: bytes) -> None:
    assert len(benchmark(lambda: index_layer(chunks(plain))).entries) > ENTRIES / 2


def test_index_with_contents(benchmark: Benchmark, plain: bytes) -> None:
    assert benchmark(lambda: index_layer(chunks(plain), contents=True)).contents


@pytest.mark.parametrize("engine", ["containerd", "oci"])
def test_merge(benchmark: Benchmark, indexes: list[LayerIndex], engine: str) -> None:
    assert len(benchmark(lambda: merge_layers(indexes, engine=engine))) > ENTRIES / 2


def test_entries_as_json(benchmark: Benchmark, indexes: list[LayerIndex]) -> None:
    entries = indexes[0].entries
    assert benchmark(lambda: dump_json({"entries": [entry_dict(entry, layer=0) for entry in entries]}))


def test_diff(benchmark: Benchmark, small: Image, tmp_path: Path) -> None:
    path = tmp_path / "small.tar"
    path.write_bytes(archive("docker-20", small, small_files(random.Random(3), ENTRIES, 100)))
    assert benchmark.pedantic(lambda: diff_both(str(path)), rounds=3)


def diff_both(path: str) -> bool:
    from tarlayers.opening import open_images  # noqa: PLC0415 # as a user's program would

    old, new = open_images(path).images
    return bool(diff_images(old, new).files)


COMPRESS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("compression", COMPRESS)
def test_decompress(benchmark: Benchmark, compression: str) -> None:
    made = text(random.Random(2), 16 << 20)
    stored = COMPRESS[compression](made)
    assert benchmark(lambda: sum(map(len, Decompressor(compression).run(chunks(stored))))) == len(made)


def test_open_an_archive(benchmark: Benchmark, small: Image, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("oci-gzip", small))
    assert benchmark(lambda: open_image(path)).layers
