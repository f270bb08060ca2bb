"""The library as its users meet it: the documented examples, types, and what the public names are."""

from __future__ import annotations

import copy
import doctest
import gzip
import io
import pickle
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import tarlayers
from tests.build import FLAVOURS, archive, extract_tar, file, image, layer, unpack
from tests.paths import ROOT, TESTDATA

SHOP = TESTDATA / "shop-v1.oci.tar"
USER_SCRIPT = """
import gzip
import io
import subprocess
import tempfile
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
saved = subprocess.Popen(["docker", "save", "app"], stdout=subprocess.PIPE).stdout
tarlayers.open_image(gzip.open("app.tar.gz"), contents=True)
tarlayers.open_image(io.BytesIO())
tarlayers.open_image(tempfile.SpooledTemporaryFile())
if saved is not None:
    tarlayers.open_image(saved)
def compare(old: Image, new: Image) -> tarlayers.ImageDiff:
    return tarlayers.diff_images(old, new)
try:
    changes = compare(image, image).files
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
    with pytest.raises(tarlayers.ContentAbsent, match=f"layer 0 .*: {absent}: No such file") as told:
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


def test_an_error_crosses_to_another_process() -> None:
    """What cannot be pickled there ends a pool of processes, and not the task alone."""
    for error in (
        tarlayers.MalformedInput("cut short", place="app.tar: layer 1", offset=512),
        tarlayers.LimitExceeded("too many", limit="entries", place="app.tar"),
        tarlayers.NoSuchImage("none"),
    ):
        for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # ours
            assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))


def test_errors_of_a_layer_name_the_archive(tmp_path: Path) -> None:
    data = archive("oci-gzip", image(layer(file("a", b"x" * 5000))))
    path = tmp_path / "app.tar"
    path.write_bytes(data.replace(b"\x1f\x8b\x08", b"\x1f\x8b\x09"))
    for opened, called in (
        (tarlayers.open_image(path), str(path)),
        (tarlayers.open_image(io.BytesIO(path.read_bytes())), "the stream"),
        (tarlayers.open_image(io.BytesIO(path.read_bytes()), keep=True), "the stream"),
    ):
        with pytest.raises(tarlayers.TarlayersError, match=f"^{called}: layer 0 "):
            tarlayers.merge_layers(opened.layers)


def test_a_reference_that_fits_nothing_names_the_archive() -> None:
    with pytest.raises(tarlayers.NoSuchImage, match=f"^{SHOP}: no image fits #v3"):
        tarlayers.open_image(SHOP, reference="v3")


def test_an_id_is_a_reference() -> None:
    image_id = tarlayers.open_image(SHOP).image_id
    assert tarlayers.open_image(SHOP, reference=image_id).image_id == image_id


def test_a_content_is_given_for_the_entries_of_the_layer_alone() -> None:
    layers = tarlayers.open_image(SHOP).layers
    rootfs = tarlayers.merge_layers(layers)
    asked = 0
    for path, entry in rootfs.items():
        if entry.type != "file":
            with pytest.raises(ValueError, match="is no file"):
                list(layers[rootfs.layer_of(path)].open_content(entry))
            continue
        for one in layers:
            if one.index == rootfs.layer_of(path):
                assert len(b"".join(one.open_content(entry))) == entry.size
            else:
                asked += 1
                with pytest.raises(ValueError, match="is no entry of"):
                    list(one.open_content(entry))
    assert asked > 20


def test_all_files_come_in_one_pass() -> None:
    layers = tarlayers.open_image(SHOP).layers
    rootfs = tarlayers.merge_layers(layers)
    contents = {names[0]: b"".join(content) for names, _, content in tarlayers.read_files(rootfs, layers)}
    assert contents["/srv/app/run.sh"] == b"".join(layers[3].open_content(rootfs["/srv/app/run.sh"]))
    assert sum(map(len, contents.values())) == sum(len(contents[names[0]]) for names in _files(rootfs))


def _files(rootfs: tarlayers.RootFS) -> set[tuple[str, ...]]:
    files = (path for path, entry in rootfs.items() if entry.type == "file")
    return {tuple(sorted((path, *rootfs.links_of(path)))) for path in files}


def test_layers_and_images_are_keys() -> None:
    opened = tarlayers.open_image(SHOP)
    assert {opened: 1, opened.layers[0]: 2}[tarlayers.open_image(SHOP)] == 1


@pytest.mark.parametrize("flavour", ["oci-dir", "docker-root"])
def test_a_directory_stays_where_it_was(flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, of which layers are read later, is one of then."""
    made = FLAVOURS["oci-gzip"]([image(layer(file("a")))])
    root = unpack(made, tmp_path / "root") if flavour == "oci-dir" else _unpack_shop_root(tmp_path)
    monkeypatch.chdir(root.parent)
    opened = tarlayers.open_image(root.name, reference=None if flavour == "oci-dir" else "@0")
    monkeypatch.chdir("/")
    assert len(tarlayers.merge_layers(opened.layers)) > 0


def _unpack_shop_root(tmp_path: Path) -> Path:
    with tarfile.open(TESTDATA / "shop.dataroot.tar") as root:
        return extract_tar(root, tmp_path / "root")


def test_a_compressed_archive_can_be_compared(tmp_path: Path) -> None:
    packed = tmp_path / "shop.tar.gz"
    packed.write_bytes(gzip.compress(SHOP.read_bytes()))
    other = tarlayers.open_image(TESTDATA / "shop-v2.oci.tar")
    with pytest.raises(tarlayers.ContentAbsent, match=r"\(contents=True computes them\)"):
        tarlayers.diff_images(tarlayers.open_image(packed), other)
    whole = tarlayers.diff_images(tarlayers.open_image(SHOP), other)
    compared = tarlayers.diff_images(tarlayers.open_image(packed, contents=True), other)
    assert [change.path for change in compared.files] == [change.path for change in whole.files]
    with gzip.open(packed) as stream:
        assert tarlayers.open_image(stream).layers[0].diff_id == tarlayers.open_image(SHOP).layers[0].diff_id


def test_a_stream_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    cut = io.BytesIO(gzip.compress(SHOP.read_bytes())[:-40])
    with pytest.raises(tarlayers.ReadFailed, match="cannot be read: Compressed file ended"):
        tarlayers.open_image(gzip.open(cut))  # noqa: SIM115 # over bytes
    halting = _Halting(SHOP.read_bytes())
    with pytest.raises(tarlayers.ReadFailed, match="does not wait"):
        tarlayers.open_image(halting)
    with (tmp_path / "out").open("wb") as output, pytest.raises(ValueError, match="not open for reading"):
        tarlayers.open_image(output)


class _Halting(io.BytesIO):
    """What a pipe that does not block is once nothing has come yet."""

    def read1(self, size: int | None = -1, /) -> bytes:
        found = super().read1(size if self.tell() == 0 and size is not None else 0)[:1024]
        return found or None  # type: ignore[return-value] # as a raw stream may


def test_one_glob_in_place_of_several_is_refused() -> None:
    image = tarlayers.open_image(SHOP)
    with pytest.raises(TypeError, match="are several texts"):
        tarlayers.diff_images(image, image, ignore="*.pyc")


@pytest.mark.parametrize("path", ["", "x" * 5000, "/etc/passwd/x"])
def test_a_path_that_no_file_can_have_is_no_file(path: str) -> None:
    with pytest.raises(tarlayers.MalformedInput):
        tarlayers.open_image(path)


def test_work_needs_a_worker() -> None:
    archive = tarlayers.open_images(SHOP)
    with pytest.raises(ValueError, match="at least one worker"):
        tarlayers.verify_archive(archive, workers=-1)
    with pytest.raises(ValueError, match="at least one worker"):
        tarlayers.load_layers(archive.images[0].layers, workers=-1)
