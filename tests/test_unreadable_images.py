"""A document that cannot be parsed fails the images that it is of, and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tarlayers.opening import open_images
from tests.build import FLAVOURS, Files, Image, compact, file, image, layer, pack
from tests.flavours import PRODUCERS
from tests.run import run
from tests.test_content_store import CONTENT, store_files, write

GOOD = image(layer(file("good")), names=("example.org/app:good",))
BAD = image(layer(file("bad")), names=("example.org/app:bad",), run={"Labels": {"bad": ""}})
IN_THE_CONFIGURATION = b'"Labels":{"bad"'

FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    # What is done to the configuration of BAD: what is said of it.
    "no JSON": (lambda _: b"x", "the configuration is no JSON document"),
    "cut short": (lambda raw: raw[:-1], "not JSON: "),
    "of another type": (lambda _: compact({"created": 5}), "created: expected a string"),
    "of another digest": (
        lambda raw: raw.replace(b"sha256:", b"sha256:z"),
        "rootfs.diff_ids[0]: 'sha256:z",
    ),
}


def damage(files: Files, fault: Callable[[bytes], bytes]) -> Files:
    """Change the configuration of BAD, whatever it is called."""
    changed = {
        name: fault(content) if isinstance(content, bytes) and IN_THE_CONFIGURATION in content else content
        for name, content in files.items()
    }
    assert changed != files
    return changed


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("flavour", ["oci-gzip", "docker-25", "docker-20"])
@pytest.mark.parametrize("images", [[GOOD, BAD], [BAD, GOOD]], ids=["behind", "before"])
def test_other_images_are_read(flavour: str, fault: str, images: Sequence[Image], tmp_path: Path) -> None:
    how, said = FAULTS[fault]
    path = tmp_path / "app.tar"
    path.write_bytes(pack(damage(FLAVOURS[flavour](images), how)))
    assert run("ls", f"{path}#good").stdout == b"/good\n"
    assert run("ls", "-#good", stdin=path.read_bytes()).stdout == b"/good\n"
    bad = run("ls", f"{path}#bad")
    assert (bad.code, said in bad.stderr) == (3, True), bad.stderr
    any_of_them = run("ls", path)
    assert (any_of_them.stdout, said in any_of_them.stderr) == (b"/good\n", True)
    inspected = run("inspect", path, "-f", "json")
    assert (inspected.code, said in inspected.stderr) == (0, True)
    assert [each["names"][0].rpartition(":")[2] for each in inspected.json["images"]] == ["good"]
    (other,) = inspected.json["others"]
    assert (other["kind"], other["names"][0].rpartition(":")[2], said in other["fault"]) == ("unreadable", "bad", True)
    verified = run("verify", path, "-f", "json")
    (finding,) = [each for each in verified.json["findings"] if each["code"] == "V029"]
    assert (verified.code, finding["severity"], said in finding["message"]) == (1, "error", True)
    assert finding["place"].partition(": ")[0].endswith("bad")


def test_one_old_image_without_a_parent(tmp_path: Path) -> None:
    """Of docker before 1.10 each layer has a document, which names its parent."""
    files = PRODUCERS["docker-1.0"].make([GOOD, BAD])
    (tmp_path / "app.tar").write_bytes(pack(damage(files, lambda _: b"{")))
    assert run("ls", f"{tmp_path}/app.tar#good").stdout == b"/good\n"
    assert run("ls", f"{tmp_path}/app.tar#bad").code == 3


def test_where_no_image_is_left_the_archive_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(pack(damage(FLAVOURS["docker-25"]([BAD]), lambda _: b"x")))
    for question in ("inspect", "verify", "ls"):
        ran = run(question, path)
        assert (ran.code, "the configuration is no JSON document" in ran.stderr) == (3, True)


def test_a_stale_blob_of_a_content_store(tmp_path: Path) -> None:
    files = store_files()
    stale = damage(FLAVOURS["oci-gzip"]([BAD]), lambda _: compact({"created": 5}))
    files |= {f"{CONTENT}/{name}": content for name, content in stale.items() if name.startswith("blobs/")}
    found = open_images(write(files, tmp_path))
    assert [each.names for each in found.images] == [("a:1", "b:2"), ()]
    assert [(each.kind, each.names) for each in found.others] == [("unreadable", ())]
