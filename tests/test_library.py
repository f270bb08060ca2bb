"""The library as its users meet it: the documented examples, types, and what the public names are."""

from __future__ import annotations

import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tarlayers
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


@pytest.mark.parametrize("name", tarlayers.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert getattr(tarlayers, name).__doc__.strip()


def test_limits_show_what_differs_from_the_defaults() -> None:
    assert repr(tarlayers.Limits()) == "Limits()"
    assert repr(tarlayers.Limits(layers=3)) == "Limits(layers=3)"
