"""The library as its users meet it: the documented examples, types, and what the public names are."""

from __future__ import annotations

import doctest
import io
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import tarlayers
from tests.build import FLAVOURS, file, image, layer, unpack
from tests.paths import ROOT, TESTDATA

SHOP = TESTDATA / "shop-v1.oci.tar"
USER_SCRIPT = """
from pathlib import Path
from typing import assert_type

import tarlayers
from tarlayers import Entry, Image, RootFS

image = tarlayers.open_image(Path("app.tar"), reference="app:1", platform="linux/arm64")
assert_type(image, Image)
assert_type(image.layers[0].diff_id, tarlayers.Digest | None)
rootfs = tarlayers.merge_layers(image.layers)
assert_type(rootfs, RootFS)
for path, entry in rootfs.items():
    assert_type(path, str)
    assert_type(entry, Entry)
try:
    changes = tarlayers.diff_images(image, image).files
except tarlayers.NoSuchPath as error:
    assert_type(error.offset, int | None)
"""


def test_documented_examples_give_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TESTDATA)
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/library.md", None, 0)
    said: list[str] = []
    assert len(test.examples) > 20
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_a_users_script_passes_a_strict_type_check(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "user.py"
    script.write_text(USER_SCRIPT)
    words = ["--strict", "--no-error-summary", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--follow-imports=silent", str(script)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("", 0)


def test_opens_paths_and_binary_streams_alike(capfd: pytest.CaptureFixture[str]) -> None:
    data = SHOP.read_bytes()
    with SHOP.open("rb") as stream:
        opened = [tarlayers.open_image(source) for source in (SHOP, str(SHOP), stream, io.BytesIO(data))]
    assert len({(image.image_id, image.chain_ids, image.names) for image in opened}) == 1
    assert len({tuple(sorted(tarlayers.merge_layers(image.layers))) for image in opened}) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("source", [5, b"path", io.StringIO("text")])
def test_anything_else_is_wrong_use(source: object) -> None:
    with pytest.raises(TypeError, match="a path or a binary stream is needed"):
        tarlayers.open_image(source)  # type: ignore[arg-type] # on purpose


def test_results_are_frozen() -> None:
    image = tarlayers.open_image(SHOP)
    entry = tarlayers.merge_layers(image.layers)["/etc/passwd"]
    for value, name in ((image, "names"), (image.layers[0], "index"), (image.history[0], "layer")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    with pytest.raises(AttributeError):
        entry.size = 0  # type: ignore[misc] # on purpose


def test_a_missing_path_is_named_itself() -> None:
    rootfs = tarlayers.merge_layers(tarlayers.open_image(SHOP).layers)
    for path in ("/nowhere", "/no/where"):
        with pytest.raises(KeyError, match=f"^'{path}'$"):
            rootfs[path]


def test_a_stream_is_called_what_it_was_opened_as() -> None:
    cut = SHOP.read_bytes()[:-1024]
    for called in ("the stream", "app from CI"):
        archive = tarlayers.open_images(io.BytesIO(cut), called=called)
        assert (archive.path, archive.name) == ("-", called)
        with pytest.raises(tarlayers.MalformedInput, match=f"^{called}: ends without"):
            tarlayers.verify_archive(archive)


def test_the_causes_of_an_error_come_to_an_end(tmp_path: Path) -> None:
    root = unpack(FLAVOURS["oci-gzip"]([image(layer(file("a")))]), tmp_path)
    read = tarlayers.open_image(root).layers[0]
    assert read.blob is not None
    (root / read.blob).unlink()
    absent = re.escape(str(root / read.blob))
    with pytest.raises(tarlayers.ContentAbsent, match=f"^layer 0 .*: {absent}: No such file") as told:
        read.read()
    seen: list[BaseException] = []
    error: BaseException | None = told.value
    while error is not None:
        assert error not in seen
        seen.append(error)
        error = error.__cause__


@pytest.mark.parametrize("name", tarlayers.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert getattr(tarlayers, name).__doc__.strip()


def test_limits_show_what_differs_from_the_defaults() -> None:
    assert repr(tarlayers.Limits()) == "Limits()"
    assert repr(tarlayers.Limits(layers=3)) == "Limits(layers=3)"


# -- what cannot be meant ----------------------------------------------------------------------------


@pytest.fixture
def shop() -> tarlayers.Image:
    return tarlayers.open_image(TESTDATA / "shop.docker.tar", reference="v2")


@pytest.mark.parametrize("only", [("foo",), ("files", "layer"), "files"])
def test_sections_that_there_are_not(shop: tarlayers.Image, only: Any) -> None:
    with pytest.raises(ValueError, match="some of files, config, history, layers, not "):
        tarlayers.diff_images(shop, shop, only=only)


@pytest.mark.parametrize("index", [9, -1])
def test_changes_of_a_layer_that_is_not_there(shop: tarlayers.Image, index: int) -> None:
    with pytest.raises(tarlayers.NoSuchLayer, match=f"no layer {index}: the image has {len(shop.layers)}"):
        tarlayers.list_changes(shop, layer=index)


def test_a_layer_by_a_number(shop: tarlayers.Image) -> None:
    assert tarlayers.find_layer(shop, 1) is tarlayers.find_layer(shop, "1") is shop.layers[1]
    assert tarlayers.find_layer(shop, -1) is shop.layers[-1]
    with pytest.raises(tarlayers.NoSuchLayer):
        tarlayers.find_layer(shop, 9)


def test_children_of_paths_as_people_write_them(shop: tarlayers.Image) -> None:
    rootfs = tarlayers.merge_layers(shop.layers)
    assert rootfs.children("/") == rootfs.children("") != []
    assert rootfs.children("/etc/") == rootfs.children("etc") == rootfs.children("/etc") != []
    assert rootfs.children("/nothing/") == []


@pytest.mark.parametrize("value", [-3, "3", 2.5, None])
def test_limits_that_are_none(value: Any) -> None:
    limits = tarlayers.Limits(entries=value)
    for read in (
        lambda: tarlayers.open_image(TESTDATA / "shop.docker.tar", reference="v2", limits=limits),
        lambda: tarlayers.index_layer(io.BytesIO(bytes(1024)), limits=limits),
    ):
        with pytest.raises(ValueError, match="the limit entries is a whole number of 0 or more, not "):
            read()


def test_an_empty_stream_is_no_standard_input() -> None:
    with pytest.raises(tarlayers.MalformedInput) as caught:
        tarlayers.open_image(io.BytesIO())
    assert str(caught.value) == "the stream: the input is empty"


def test_the_version() -> None:
    assert tarlayers.__version__ == version("tarlayers")
