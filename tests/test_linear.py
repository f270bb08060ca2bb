"""Traps that would cost the square of their size: twice the trap is twice the work, counted in lines of our code that
run, so that no clock is asked.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tarlayers
from tarlayers import merge_layers, open_images
from tarlayers.analysis.diff import diff_images
from tarlayers.analysis.dive import score_image
from tarlayers.analysis.listing import find_in_layer, parse_selection, select_below
from tarlayers.analysis.usage import measure_usage
from tarlayers.analysis.verify import verify_archive
from tarlayers.analysis.waste import measure_waste
from tarlayers.errors import NoSuchImage
from tarlayers.export import distinct_inodes
from tarlayers.formats.compression import open_plain
from tarlayers.formats.tar import ChunkFeed, Walker
from tarlayers.image import Image
from tarlayers.layer import Demand
from tarlayers.reference import choose_image
from tarlayers.render.listing import list_long, list_tree
from tests.build import (
    FLAVOURS,
    Member,
    archive,
    compact,
    directory,
    docker_20,
    file,
    hardlink,
    image,
    layer,
    oci,
    opaque,
    pack,
    symlink,
    whiteout,
)
from tests.edit import drop


def count_lines(work: Callable[[], object]) -> int:
    """How many lines of the package run; the tests' own are not counted."""
    lines = 0

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        return count if "/tarlayers/" in frame.f_code.co_filename else None

    def count(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def read_tar(data: bytes) -> object:
    return list(Walker(ChunkFeed((data,))))


def opened(*layers: bytes) -> Image:
    return open_images(io.BytesIO(archive("docker-25", image(*layers))), contents=True).images[0]


Layers = Callable[[int], Sequence[bytes]]


def one(members: Callable[[int], Sequence[Member]]) -> Layers:
    return lambda size: [layer(*members(size))]


FILES = [file(f"d/{i}") for i in range(400)]
MERGES: dict[str, Layers] = {
    "empty members": one(lambda n: [file(f"{i}") for i in range(n)]),
    "one name again and again": one(lambda n: [file("x")] * n),
    "directories inside each other": one(lambda n: [file("d/" * (n // 8) + str(i)) for i in range(8)]),
    "a whiteout for each name": lambda n: [layer(*(file(f"d/{i}") for i in range(n))),
                                           layer(*(whiteout(f"d/{i}") for i in range(n)))],
    "whiteouts inside each other": lambda n: [
        layer(*(file("d/" * 20 + f"{i}") for i in range(n // 8))),
        layer(
            *(whiteout("d/" * (i % 20) + f"d{i}") for i in range(n // 2)),
            *(whiteout("d/" * i + "d") for i in range(20, 0, -1)),
        ),
    ],
    "a link to the one before": one(lambda n: [file("0"), *(hardlink(f"{i}", f"{i - 1}") for i in range(1, n))]),
    "chains of links": one(lambda n: [directory("t"), *(symlink(f"l{i}", f"l{i + 1}") for i in range(200)),
                                      symlink("l200", "t"), *(file(f"l0/{i}") for i in range(n // 4))]),
    "links behind links": one(lambda n: [directory("t"), *(symlink(f"l{i}", f"/l{i + 1}") for i in range(200)),
                                         symlink("l200", "t"), *(file(f"l0/{'d/' * 20}{i}") for i in range(n // 8))]),
    "names that differ at their end": one(lambda n: [file("n" * 90 + f"{i:09}") for i in range(n)]),
    "a directory and a file in turn": one(lambda n: [directory("d"), file("d")] * (n // 2)),
    "markers in a large directory": lambda n: [layer(*FILES), layer(file("d/y"), *(opaque("d") for _ in range(n)))],
    "a name of many less in each layer": lambda n: [
        layer(directory("d"), file("a"), *(hardlink(f"{i}", "a") for i in range(n))),
        *(layer(directory("d", mode=0o700 + i % 8), whiteout(f"{i}")) for i in range(n // 8)),
    ],
    "layers": lambda n: [layer(file(f"{i}")) for i in range(n // 4)],
}  # fmt: skip

LISTING = parse_selection("/", recursive=True, match=None, types=None)
EMPTY = opened(layer())
QUESTIONS: dict[str, Callable[[Image], object]] = {
    "merge": lambda each: merge_layers(each.layers),
    "merge as the image-spec says": lambda each: merge_layers(each.layers, engine="oci"),
    "changes": tarlayers.list_changes,
    "blame": tarlayers.blame_paths,
    "log": lambda each: tarlayers.trace_path(each, each.layers[0].entries[0].path),
    "hidden": tarlayers.list_hidden,
    "waste": measure_waste,
    "dive": score_image,
    "lint": tarlayers.lint_image,
    "usage": lambda each: measure_usage(merge_layers(each.layers), ["", "/d"]),
    "long listing": lambda each: list(list_long(LISTING.select(merge_layers(each.layers)))),
    "tree": lambda each: list(list_tree(LISTING.select_tree(merge_layers(each.layers)))),
    "selection": lambda each: select_below(merge_layers(each.layers), ["*", "/*"]),
    "inodes": lambda each: list(distinct_inodes(merge_layers(each.layers))),
    "diff": lambda each: list(diff_images(each, EMPTY).files),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("trap", MERGES)
def test_merging_is_linear(trap: str, question: str) -> None:
    images = [opened(*MERGES[trap](size)) for size in (400, 800)]
    for each in images:
        for part in each.layers:
            part.read()
    small, large = (count_lines(lambda each=each: QUESTIONS[question](each)) for each in images)
    assert large < 2.6 * small + 5000, (small, large)


def records(size: int) -> bytes:
    return layer(file("x", pax={f"k{i}": "v" for i in range(size)}))


def search(members: Sequence[Member], path: str) -> Callable[[], object]:
    entries = tarlayers.index_layer(io.BytesIO(layer(*members))).entries
    return lambda: find_in_layer(entries, path)


def without_layers(count: int) -> bytes:
    """An archive of images whose layers are not there."""
    files = FLAVOURS["oci-none"]([image(*ABSENT, author=f"{i}") for i in range(count)])
    return pack(drop(files, lambda _, content: content in ABSENT))


ABSENT = [layer(file(f"{i}")) for i in range(10)]
READS: dict[str, Callable[[int], Callable[[], object]]] = {
    "PAX records": lambda n: lambda: read_tar(records(n)),
    "extended headers": lambda n: lambda: read_tar(layer(*(file(f"{i}", pax={"k": "v"}) for i in range(n)))),
    "headers in pieces of a byte": lambda n: lambda: list(
        Walker(ChunkFeed(bytes([byte]) for byte in layer(file("x", b"x" * n))))
    ),
    "gzip members": lambda n: lambda: [0 for _ in open_plain((gzip.compress(b"x", mtime=0) * n,))],
    "names of one image": lambda n: lambda: open_images(
        io.BytesIO(pack(docker_20([image(layer(), names=[f"a:{i}" for i in range(n)])] * 2)))
    ),
    "manifests": lambda n: lambda: open_images(
        io.BytesIO(pack(oci([image(layer(), names=[f"a:{i}"], author=f"{i}") for i in range(n // 4)])))
    ),
    "layers that are not there": lambda n: lambda: verify_archive(open_images(io.BytesIO(without_layers(n // 10)))),
    "links of one name": lambda n: search([file("y"), *(hardlink("x", "y") for _ in range(n))], "/x"),
    "a chain of hard links": lambda n: search([file("0"), *(hardlink(f"{i + 1}", f"{i}") for i in range(n))], f"/{n}"),
    "brackets": lambda n: lambda: tarlayers.formats.json_text.measure_depth(compact([[]] * n), 3),
}  # fmt: skip


@pytest.mark.parametrize("trap", READS)
def test_reading_is_linear(trap: str) -> None:
    small, large = (count_lines(READS[trap](size)) for size in (500, 1000))
    assert large < 2.6 * small + 5000, (small, large)


def test_choosing_an_image_is_linear() -> None:
    def choose(images: Sequence[Image]) -> None:
        with pytest.raises(NoSuchImage, match="no image fits"):
            choose_image(images, "none")

    opened = (
        open_images(io.BytesIO(pack(oci([image(layer(), names=[f"a/{i}:1"], author=f"{i}") for i in range(size)]))))
        for size in (100, 200)
    )
    small, large = (count_lines(lambda each=each: choose(each.images)) for each in opened)
    assert large < 2.6 * small + 5000, (small, large)


@pytest.mark.parametrize("hashed", [True, False])
def test_many_compressed_layers_of_a_file_are_read_in_linear_time(hashed: bool, tmp_path: Path) -> None:
    def read(size: int) -> Callable[[], object]:
        path = tmp_path / f"{size}.tar"
        path.write_bytes(archive("oci-gzip", image(*(layer(file(f"{i}")) for i in range(size)))))
        found = open_images(path)
        blobs = [part.blob or "" for part in found.images[0].layers]
        return lambda: [found.store.index(blob, Demand(hashed=hashed)) for blob in blobs]

    small, large = (count_lines(read(size)) for size in (200, 400))
    assert large < 2.6 * small + 5000, (small, large)


def test_names_cannot_be_made_to_collide() -> None:
    """They are keys as text, whose hash Python seeds anew in each process; offsets are numbers, all different."""
    assert sys.hash_info.algorithm.startswith("siphash")
