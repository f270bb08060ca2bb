"""Whatever bytes come, every question returns or raises TarlayersError, in bounded time; nothing wrong is called right.

A few thousand damaged archives a run; `python -m tests.fuzz 100000` and `make fuzz` try more. What they found is kept
below by name.
"""

from __future__ import annotations

import faulthandler
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tarlayers import TarlayersError, open_images
from tarlayers.errors import LimitExceeded
from tarlayers.formats.json_text import measure_depth
from tarlayers.sources.names import known_among, merge_names
from tests.build import BLOCK, FLAVOURS, Link, archive, compact, docker_20, file, image, layer, pack
from tests.edit import edit_config
from tests.fuzz import go_reader
from tests.mutations import APP, BASE, BYTES, mutant, seeds
from tests.oci_flavours import oci_layout
from tests.questions import LIMITS, ask_everything, path_of
from tests.run import run

STEPS = (1, 3, 17, 64, 512, 4096, 1 << 18)
BATCH, BATCHES = 100, 20
PATIENCE = 120  # seconds for one batch of small archives, after which it counts as a hang


@pytest.fixture
def alarm() -> Iterator[None]:
    """End the run, with what every thread was doing, when something hangs."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of a few kilobytes are read sooner than threads start."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.mark.usefixtures("alarm", "one_thread")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_archives_are_answered_or_refused(batch: int) -> None:
    asked: Counter[str] = Counter()
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        seed, kind, data = mutant(number)
        try:
            asked += ask_everything(data, STEPS[number % len(STEPS)])
        except Exception as error:
            raise AssertionError(f"mutant {number} ({kind} of {seed})") from error
    # The damage is neither so slight that nothing is refused, nor so great that nothing is reached.
    assert asked["open"] > 0
    assert asked["merge"] > 0
    assert sum(count for what, count in asked.items() if what.endswith("refused")) > 0


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("flavour", ["docker-25", "oci-gzip", "oci-zstd"])
def test_cut_at_every_block(flavour: str) -> None:
    """Only the opening: the questions that follow are asked of the mutants above."""
    whole = archive(flavour, image(BASE, layer(file("x"))))
    for size in range(0, len(whole), BLOCK):
        for end in (size, size + 1, size + BLOCK - 1):
            with path_of(whole[:end]) as path:
                for source in (path, io.BytesIO(whole[:end])):
                    try:
                        found = open_images(source, limits=LIMITS)
                    except TarlayersError as error:
                        assert error.place, error
                        continue
                    # The last blocks are padding and the end mark, and a layer that has no end mark is one still.
                    assert found.kind == "layer" or end >= len(whole) - 20 * BLOCK, end


def test_every_seed_is_whole_until_it_is_damaged() -> None:
    for name, files in seeds().items():
        asked = ask_everything(pack(files), 4096)
        assert asked["open"] == 2, name
        assert not asked["merge: refused"] or name == "absent-platform", (name, asked)


def test_mutants_are_reproducible_and_differ() -> None:
    assert mutant(7) == mutant(7)
    assert len({mutant(number)[2] for number in range(60)}) > 55
    assert {mutant(number)[1] for number in range(300)} >= BYTES.keys() | {"documents", "layers", "blob"}


# -- what was found --------------------------------------------------------------------------------


def deep_config(depth: int) -> bytes:
    value: object = "x"
    for _ in range(depth):
        value = {"a": [value]}
    return pack(docker_20([image(layer(), run={"Labels": value})]))


FOUND: dict[str, Callable[[], tuple[list[str], bytes, int]]] = {
    # By what was wrong: a call, its standard input, and how it has to end.
    "a configuration that was read and could not be written": lambda: (
        ["inspect", "-", "-f", "json"], deep_config(300), 3
    ),
    "annotations nested deeper than the encoder goes": lambda: (
        ["inspect", "-"],
        pack(oci_layout({}, [{"digest": "sha256:" + "0" * 64, "annotations": {"a": [[[0]] * 1] * 1}}])),
        0,
    ),
    "an index of layouts side by side that is no JSON": lambda: (
        ["inspect", "-"], pack({"0/index.json": b"no JSON", "0/oci-layout": b"{}"}), 0
    ),
    "two names in a hundred thousand": lambda: (
        ["inspect", "-", "--limit", "names=1M"],
        pack(docker_20([image(layer(), names=[f"a:{i}" for i in range(30_000)])] * 2)),
        0,
    ),
    "a key whose header lines fit in two ways each": lambda: (
        ["hidden", "--secrets", "-"],
        archive("docker-25", image(layer(file("k", b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"A: b\r\n" * 64 + b"!")))),
        0,
    ),
}  # fmt: skip


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_stays_mended(what: str) -> None:
    words, data, code = FOUND[what]()
    ran = run(*words, stdin=data)
    assert ran.code == code, ran.stderr
    assert "internal error" not in ran.stderr
    assert "gave up" not in ran.stderr


def test_names_merge_as_they_did_one_by_one() -> None:
    assert merge_names(("v1", "app:v2"), ("reg/app:v1", "app:v2", "x:1")) == ("reg/app:v1", "app:v2", "x:1")
    assert known_among(("v1", "docker.io/library/a", "b:1"), ("x:v1", "a:latest")) == ["v1", "docker.io/library/a"]


def test_brackets_inside_strings_are_not_depth() -> None:
    assert measure_depth(compact({"a": "[" * 500}), 3) == 1
    assert measure_depth(compact({'a\\"': ["[\\", [[]]]}), 3) == 4
    assert measure_depth(b'"' + b'\\"' * 5000 + b"[" * 5000, 3) == 0


# -- claims that disagree --------------------------------------------------------------------------


def test_documents_are_not_parsed_again_for_each_name() -> None:
    """A large configuration that thousands of manifests name would cost the product of both."""
    big = image(layer(file("x")), run={"Labels": {"big": "x" * 100_000}})
    files = docker_20([big])
    item = compact({"Config": next(name for name in files if name.endswith(".json")), "Layers": [], "RepoTags": []})
    many = pack({**files, "manifest.json": b"[" + b",".join([item] * 4000) + b"]"})
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        open_images(io.BytesIO(many))


def test_a_layer_of_one_image_is_claimed_otherwise_by_another() -> None:
    """One blob, two configurations with different diff IDs for it: at most one of them can be right."""
    files = FLAVOURS["oci-gzip"]([APP])
    lie = edit_config(files, lambda config: config["rootfs"]["diff_ids"].reverse())
    ran = run("verify", "-", stdin=pack(lie))
    assert ran.code == 1
    assert "V003" in ran.stdout.decode()


def test_links_in_the_archive_do_not_leave_it() -> None:
    files = {**docker_20([image(layer(file("x")))])}
    name = next(name for name in files if name.endswith("layer.tar"))
    for target in ("/etc/passwd", "../../../../etc/passwd", "layer.tar", "."):
        data = pack({**files, name: Link(target)})
        for command in (["ls", "-"], ["verify", "-"]):
            ran = run(*command, stdin=data)
            assert ran.code in (1, 3)
            assert "root:" not in ran.stdout.decode()


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "etc/", "etc", "nowhere", "../../../etc/passwd", "/etc/passwd", "l"]
)
def test_what_a_manifest_names_has_to_be_a_member(name: str) -> None:
    """Directories, links to nowhere, names that climb: none of them is a layer, and nothing outside is opened."""
    files = {"etc/": b"", "l": Link("/etc/passwd"), **docker_20([image(layer(file("x")))])}
    config = next(each for each in files if each.endswith(".json") and each != "manifest.json")
    as_layer = pack({**files, "manifest.json": compact([{"Config": config, "RepoTags": None, "Layers": [name]}])})
    as_config = pack({**files, "manifest.json": compact([{"Config": name, "RepoTags": None, "Layers": []}])})
    for data in (as_layer, as_config):
        for words in (["ls", "-"], ["verify", "-"], ["cat", "-", "/x"]):
            ran = run(*words, stdin=data)
            assert ran.code in (1, 3), (words, ran)
            assert b"root:" not in ran.stdout


def test_two_documents_of_one_digest() -> None:
    """The same bytes as configuration and as manifest: they are read as each, and refused or shown as what they are."""
    files = FLAVOURS["oci-gzip"]([APP])
    blob = next(name for name, content in files.items() if name.startswith("blobs/") and b"diff_ids" in bytes(content))  # type: ignore[arg-type] # they are bytes
    entry = {"digest": f"sha256:{blob[-64:]}", "size": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    ran = run("verify", "-", stdin=pack({**files, "index.json": compact({"manifests": [entry, {**entry, "size": 2}]})}))
    assert ran.code in (1, 3)
    assert "V002" in ran.stdout.decode() or ran.code == 3


@pytest.mark.conformance
@pytest.mark.skipif(shutil.which("tar-split") is None, reason="no tar-split in PATH (Debian: tar-split)")
def test_go_reads_the_same_members() -> None:
    known = ("duplicates of file paths", "a size where there is no content", "the sparse map does not fit the stored")
    for number in range(150):
        _, data = go_reader.damaged(number)
        ours, go = go_reader.read_ours(data), go_reader.read_go(data)
        if ours[0] != go[0]:
            assert any(words in go_reader.explain(*ours, *go) for words in known), number
