"""What is hidden, by whom and how, and that each hidden file can be read back from its layer."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import tarlayers
from tarlayers.analysis.hidden import HiddenFile, list_hidden
from tarlayers.analysis.listing import find_in_layer
from tarlayers.errors import NoSuchPath
from tarlayers.image import Image
from tarlayers.shipped import NO_DIRECTORIES, trace_files
from tests.build import archive, device, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.paths import CASES, needs_shared
from tests.strategies import LAYERS
from tests.test_waste import images_of

BASE = layer(directory("d"), file("d/x", b"old x"), file("d/y", b"old y!"), file("a", b"old"))


def opened(*layers: bytes) -> Image:
    return tarlayers.open_images(io.BytesIO(archive("docker-25", image(*layers))), keep=True).images[0]


def hidden_of(stack: Image, **options: Any) -> tuple[HiddenFile, ...]:
    return list_hidden(stack, trace_files(stack.layers, **options).files)


def read_back(stack: Image, row: HiddenFile) -> bytes:
    """As `cat --only LAYER --offset OFFSET` does."""
    held = stack.layers[row.layer]
    return b"".join(held.open_content(find_in_layer(held.entries, row.stored_as, row.offset)))


def read_apart(plain: bytes, offset: int) -> bytes:
    """The content behind a header, as CPython's reader has it."""
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        found = next(member for member in tar if member.offset_data == offset + 512)
        return tar.extractfile(found).read()


def test_without_files_they_are_asked_for() -> None:
    stack = opened(BASE, layer(whiteout("a"), file("d/.env", b"TOKEN=abcdefgh12345"), file("empty")))
    assert tarlayers.list_hidden(stack) == hidden_of(stack) != ()
    files = trace_files(stack.layers).files
    assert tarlayers.find_secrets(stack) == tarlayers.find_secrets(stack, files) != ()


# What hides (layers above BASE) and what it leaves hidden: (path, layer, hidden by, cause, how, by).
HIDING: dict[str, tuple[list[bytes], list[tuple[str, int, int, str, str, str]]]] = {
    "nothing": ([layer(file("b", b"1"))], []),
    "a new version": ([layer(file("a", b"2"))], [("/a", 0, 1, "overwritten", "entry", "/a")]),
    "a whiteout": ([layer(whiteout("a"))], [("/a", 0, 1, "deleted_file", "whiteout", "/a")]),
    "a whiteout of the directory": (
        [layer(whiteout("d"))],
        [("/d/y", 0, 1, "deleted_dir", "whiteout", "/d"), ("/d/x", 0, 1, "deleted_dir", "whiteout", "/d")],
    ),
    "an opaque marker": (
        [layer(opaque("d"))],
        [("/d/y", 0, 1, "deleted_dir", "opaque", "/d"), ("/d/x", 0, 1, "deleted_dir", "opaque", "/d")],
    ),
    "an opaque marker, one name written again": (
        [layer(opaque("d"), file("d/x", b"2"))],
        [("/d/y", 0, 1, "deleted_dir", "opaque", "/d"), ("/d/x", 0, 1, "overwritten", "entry", "/d/x")],
    ),
    "a file in the place of the directory": (
        [layer(file("d", b"2"))],
        [("/d/y", 0, 1, "deleted_dir", "replaced", "/d"), ("/d/x", 0, 1, "deleted_dir", "replaced", "/d")],
    ),
    "a symlink in its place": ([layer(symlink("a", "d/x"))], [("/a", 0, 1, "overwritten", "entry", "/a")]),
    "a device 0:0, which is a whiteout": (
        [layer(device("a", 0, 0))],
        [("/a", 0, 1, "deleted_file", "whiteout", "/a")],
    ),
    "one layer after another": (
        [layer(file("a", b"newer")), layer(whiteout("a"))],
        [("/a", 1, 2, "deleted_file", "whiteout", "/a"), ("/a", 0, 1, "overwritten", "entry", "/a")],
    ),
    "its own layer": (
        [layer(file("n", b"first"), file("n", b"second"))],
        [("/n", 1, 1, "overwritten", "entry", "/n")],
    ),
    "its own layer, read by the image-spec's rule because it is refused": (
        [layer(file("n", b"first"), whiteout("m"), whiteout("m"), file("n", b"second"))],
        [("/n", 1, 1, "overwritten", "entry", "/n")],
    ),
    "a refusal": (
        [layer(file("b" * 256, b"2"))],
        [("/" + "b" * 256, 1, 1, "not_unpacked", "refused", "/" + "b" * 256)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HIDING)
def test_who_hid_it_and_how(case: str) -> None:
    layers, expected = HIDING[case]
    rows = hidden_of(opened(BASE, *layers))
    assert [(r.path, r.layer, r.hidden_by, r.cause, r.how, r.by) for r in rows] == expected


def test_a_refused_layer_is_told_by_the_rule_that_it_is_shown_by() -> None:
    """In place a whiteout spares its own layer's file; the first layer on its own would have deleted it."""
    (row, _) = hidden_of(opened(layer(file("a", b"old"), whiteout("a"), file("a", b"n"), file("b" * 256, b""))))
    assert (row.path, row.cause) == ("/a", "overwritten")


@pytest.mark.parametrize("case", HIDING)
def test_each_can_be_read_back(case: str) -> None:
    plain = [BASE, *HIDING[case][0]]
    stack = opened(*plain)
    for row in hidden_of(stack):
        assert read_back(stack, row) == read_apart(plain[row.layer], row.offset)


def test_a_hard_linked_file_is_hidden_when_its_last_name_is() -> None:
    linked = layer(file("a", b"123"), hardlink("b", "a"), hardlink("c", "a"))
    one = opened(linked, layer(whiteout("a"), whiteout("b")))
    assert hidden_of(one) == ()
    all_gone = opened(linked, layer(whiteout("a")), layer(whiteout("b"), whiteout("c")))
    (row,) = hidden_of(all_gone)
    assert (row.path, row.links, row.stored_as, row.hidden_by) == ("/b", ("/c",), "/a", 2)
    assert read_back(all_gone, row) == b"123"


def test_what_a_symlink_moved_says_both_names() -> None:
    first = layer(directory("usr"), symlink("lib", "usr"), file("lib/x", b"content"))
    stack = opened(first, layer(whiteout("usr/x")))
    (row,) = hidden_of(stack)
    assert (row.path, row.stored_as) == ("/usr/x", "/lib/x")
    assert read_back(stack, row) == b"content"


def test_other_types_are_there_on_demand() -> None:
    stack = opened(layer(symlink("l", "x"), device("n", 1, 3), file("e")), layer(*map(whiteout, "lne")))
    assert [row.path for row in hidden_of(stack)] == ["/e"]
    assert [(row.path, row.type) for row in hidden_of(stack, types=NO_DIRECTORIES)] == [
        ("/e", "file"),
        ("/l", "symlink"),
        ("/n", "char"),
    ]


@pytest.mark.parametrize(
    ("below", "engine", "device_00", "said"),
    [
        ([], "containerd", "3", ""),
        ([], "oci", "3", "/a"),
        ([layer()], "containerd", "3", ""),
        ([layer()], "oci", "3", "/a"),
        ([], "containerd", "4", "/a"),
    ],
)
@pytest.mark.parametrize("major", [0, 4096])
def test_a_device_0_0_is_shipped_where_it_is_no_whiteout(
    below: list[bytes], engine: str, device_00: str, said: str, major: int
) -> None:
    made = replace(device("a", major, 0), type=device_00)
    stack = opened(*below, layer(made), layer(whiteout("a")))
    shipment = trace_files(stack.layers, engine=engine, types=NO_DIRECTORIES)
    assert [(row.path, row.cause) for row in shipment.hidden] == ([(said, "deleted_file")] if said else [])
    assert [row.path for row in trace_files(stack.layers[:-1], engine=engine, types=NO_DIRECTORIES).files] == list(
        filter(None, [said])
    )


def test_a_device_0_0_of_a_layer_that_containerd_refuses_is_shipped() -> None:
    refused = layer(device("a", 0, 0), file("x"), whiteout("x"))
    stack = opened(layer(), refused, layer(whiteout("a")))
    rows = [(row.path, row.type) for row in hidden_of(stack, types=NO_DIRECTORIES)]
    assert rows == [("/a", "char")]


def test_of_several_copies_in_a_layer_the_offset_tells() -> None:
    entries = opened(layer(file("a", b"1"), file("a", b"22"))).layers[0].entries
    assert [find_in_layer(entries, "/a", offset).size for offset in (None, 0, 1024)] == [2, 1, 2]
    with pytest.raises(NoSuchPath):
        find_in_layer(entries, "/a", 512)


@given(layers=LAYERS)
@settings(max_examples=60, deadline=None)
def test_random_layers_hide_what_can_be_read_back(layers: list[bytes]) -> None:
    stack = opened(*layers)
    visible = {(f.layer, f.entry.offset) for f in trace_files(stack.layers).files if f.cause is None}
    rows = hidden_of(stack)
    assert not visible & {(row.layer, row.offset) for row in rows}
    for row in rows:
        assert read_back(stack, row) == read_apart(layers[row.layer], row.offset)


@pytest.mark.conformance
@needs_shared
def test_all_that_the_cases_hide_can_be_read_back() -> None:
    count = 0
    for path in sorted(CASES.glob("*.oci.tar")):
        for each in images_of(path):
            for row in hidden_of(each):
                assert len(read_back(each, row)) == row.size, (path, row)
                count += 1
    assert count > 100


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("docker-25", image(BASE, layer(whiteout("d"), file("a", b"new")))))
    return path


def test_json_says_what_the_contract_says(app: Path, run: Any) -> None:
    document = json.loads(run("hidden", app, "-f", "json"))
    assert document["total"] == {"files": 3, "bytes": 14}
    assert document["hidden"][0] == {
        "path": "/d/y",
        "type": "file",
        "size": 6,
        "layer": 0,
        "hidden_by": 1,
        "cause": "deleted_dir",
        "how": "whiteout",
        "by": "/d",
        "created_by": "step 0",
        "hidden_by_step": "step 1",
        "offset": 1536,
    }
    assert "secrets" not in document
    assert json.loads(run("hidden", app, "-f", "json", "--top", "1"))["hidden"] == document["hidden"][:1]


def test_text_is_largest_first(app: Path, run: Any) -> None:
    assert run("hidden", app).decode().splitlines() == [
        "SIZE  LAYER  PATH  CAUSE        HIDDEN BY",
        "  6B      0  /d/y  deleted dir  1 step 1",
        "  5B      0  /d/x  deleted dir  1 step 1",
        "  3B      0  /a    overwritten  1 step 1",
        "",
        "3 hidden files, 14B; read one with cat --only LAYER",
    ]


def test_cat_reads_what_hidden_lists(app: Path, run: Any) -> None:
    for row in json.loads(run("hidden", app, "-f", "json"))["hidden"]:
        content = run("cat", app, row["path"], "--only", str(row["layer"]), "--offset", str(row["offset"]))
        assert len(content) == row["size"]


def test_nothing_hidden_is_said(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("docker-25", image(BASE)))
    assert run("hidden", path).decode() == "0 hidden files, 0B\n"
