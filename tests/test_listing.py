"""`ls` and `cat` of one layer: what is not in it is said, and long chains of hard links are followed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tarlayers import NoSuchPath, index_layer
from tarlayers.analysis.listing import find_in_layer
from tests.build import archive, file, hardlink, image, layer, whiteout
from tests.run import run

STACK = image(layer(file("a/b", b"1"), file("c")), layer(whiteout("a"), file("d/e")))


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(archive("oci-gzip", STACK))
    return path


@pytest.mark.parametrize("options", [(), ("-l",), ("--digests",), ("-f", "json"), ("-f", "ndjson")])
def test_a_path_that_a_layer_lacks_is_said(stack: Path, options: tuple[str, ...]) -> None:
    for at in ("/c", "/d/f", "/a/b"):
        ran = run("ls", "--only", "1", stack, at, *options)
        assert (ran.code, ran.stdout, ran.stderr) == (1, b"", f"tarlayers: {at}: not in this layer\n")
    assert run("ls", "--only", "1", stack, "/d", *options).code == 0
    assert run("ls", "--only", "1", stack, "/d", "--match", "nothing", *options).code == 0


def test_the_root_is_no_file(stack: Path) -> None:
    for path in ("", "/", "."):
        assert run("cat", stack, path).stderr == f"tarlayers: {path or '/'}: is a dir, not a file\n"


def test_a_chain_of_hard_links_is_followed_to_its_end() -> None:
    links = [hardlink(f"{i + 1}", f"./{i}") for i in range(2000)]
    entries = index_layer(io.BytesIO(layer(file("0", b"1"), *links, file("0", b"22"), file("1", b"333")))).entries
    assert find_in_layer(entries, "/2000").size == 1
    with pytest.raises(NoSuchPath, match="a hard link to /nowhere, which is not in this layer"):
        find_in_layer(index_layer(io.BytesIO(layer(hardlink("a", "nowhere")))).entries, "/a")
