"""What differs between two images: tables of cases, properties against brute force, and the command."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tarlayers
from tarlayers import Image, diff_images, load_layers, merge_layers, open_images
from tarlayers.analysis.diff import ImageDiff
from tarlayers.analysis.filediff import FileChange
from tarlayers.cli import main
from tarlayers.entry import Entry
from tarlayers.errors import ContentAbsent, NoSuchPath
from tarlayers.render.diff_stat import group_changes
from tests import build
from tests.build import Member, device, directory, fifo, file, hardlink, layer, opaque, symlink, whiteout, xattrs
from tests.paths import BIG
from tests.run import run
from tests.strategies import PAIRS, STACKS

V1, V2 = "example.org/app:v1", "example.org/app:v2"


def opened(image: build.Image, flavour: str = "oci-none") -> Image:
    """The image as a stream leaves it, every file hashed in passing."""
    archive = io.BytesIO(build.archive(flavour, image))
    return open_images(archive, contents=True).images[0]


def on_disk(path: Path, image: build.Image, flavour: str = "oci-none") -> Image:
    path.write_bytes(build.archive(flavour, image))
    return tarlayers.open_image(path)


def diff_layers(old: Sequence[bytes], new: Sequence[bytes], **options: Any) -> ImageDiff:
    return diff_images(opened(build.image(*old)), opened(build.image(*new)), **options)


def brief(change: FileChange) -> str:
    """`C /path content mode`, or `D /path > /where/it/went`."""
    words = [change.kind, change.path, *change.what]
    words += [f"> {change.moved_to}"] if change.moved_to else []
    words += [f"< {change.moved_from}"] if change.moved_from else []
    return " ".join(words)


# -- files -----------------------------------------------------------------------------------------

BASE = layer(
    directory("etc"), file("etc/conf", b"one"), directory("srv"), file("srv/a", b"aaaa"), file("srv/b", b"bbbbbb"),
    symlink("link", "srv/a"), directory("data"), file("data/x", b"x" * 10), file("data/y", b"y" * 11),
)  # fmt: skip

CASES = {
    "content of another size": (file("etc/conf", b"longer"), ["C /etc/conf content"]),
    "content of one size": (file("etc/conf", b"two"), ["C /etc/conf content"]),
    "written again as it was: nothing": (file("etc/conf", b"one"), []),
    "time alone: nothing": (file("etc/conf", b"one", mtime=5), []),
    "mode": (file("etc/conf", b"one", mode=0o600), ["C /etc/conf mode"]),
    "owner": (file("etc/conf", b"one", uid=7), ["C /etc/conf owner"]),
    "group": (file("etc/conf", b"one", gid=7), ["C /etc/conf owner"]),
    "all at once": (file("etc/conf", b"two", mode=0o4755, uid=1), ["C /etc/conf content mode owner"]),
    "attributes": (xattrs(file("etc/conf", b"one"), user_k=b"v"), ["C /etc/conf xattrs"]),
    "a link's target": (symlink("link", "srv/b"), ["C /link link"]),
    "type": (directory("link"), ["C /link type"]),
    "a directory that became a file takes its files with it": (
        file("srv", b""),
        ["C /srv type", "D /srv/a", "D /srv/b"],
    ),
    "a directory listed again: nothing": (directory("srv", mtime=9), []),
    "a directory's mode": (directory("srv", mode=0o700), ["C /srv mode"]),
    "an implied directory is the one below": (file("srv/c", b"c"), ["A /srv/c"]),
    "whiteout of a file": (whiteout("srv/a"), ["D /srv/a"]),
    "whiteout of a directory": (whiteout("srv"), ["D /srv", "D /srv/a", "D /srv/b"]),
    "whiteout of nothing": (whiteout("srv/zzz"), []),
    "opaque": ([directory("srv"), opaque("srv"), file("srv/n", b"n")], ["D /srv/a", "D /srv/b", "A /srv/n"]),
    "a device": (device("dev", 1, 3), ["A /dev"]),
    "a fifo in place of a file": (fifo("etc/conf"), ["C /etc/conf type"]),
    "moved": ([whiteout("srv/b"), file("etc/b", b"bbbbbb")], ["A /etc/b < /srv/b", "D /srv/b > /etc/b"]),
    "moved and another mode": (
        [whiteout("srv/b"), file("etc/b", b"bbbbbb", mode=0o600)],
        ["A /etc/b mode < /srv/b", "D /srv/b mode > /etc/b"],
    ),
    "of one size but not moved": ([whiteout("srv/b"), file("etc/b", b"BBBBBB")], ["A /etc/b", "D /srv/b"]),
    "a copy is no move": (file("etc/b", b"bbbbbb"), ["A /etc/b"]),
    "a hard link to a new file": (
        [file("n", b"n"), hardlink("m", "n")],
        ["A /m", "A /n"],
    ),
    "a link in place of its file": ([file("k", b"one"), hardlink("etc/conf", "k")], ["A /k"]),
}


@pytest.mark.parametrize("engine", ["containerd", "oci"])
@pytest.mark.parametrize("case", CASES)
def test_files(case: str, engine: str) -> None:
    members, expected = CASES[case]
    upper = layer(*(members if isinstance(members, list) else [members]))
    diff = diff_layers([BASE], [BASE, upper], engine=engine, only=["files"])
    assert sorted(map(brief, diff.files)) == sorted(expected)
    assert diff.identical == (not expected)


def test_times_count_when_asked_for() -> None:
    upper = layer(file("etc/conf", b"one", mtime=5))
    assert [brief(c) for c in diff_layers([BASE], [BASE, upper], mtime=True).files] == [
        "C /etc mtime",  # the engine makes the directory of an entry anew, and it has no time of its own
        "C /etc/conf mtime",
    ]


def test_of_several_moved_files_the_same_names_go_together() -> None:
    old = [layer(file("a/one", b"same"), file("a/two", b"same"), file("a/three", b"same"))]
    new = [layer(file("b/three", b"same"), file("b/a", b"same"), file("b/one", b"same"))]
    moves = {c.path: c.moved_to for c in diff_layers(old, new).files if c.moved_to}
    assert moves == {"/a/one": "/b/one", "/a/three": "/b/three", "/a/two": "/b/a"}


def test_empty_files_do_not_move() -> None:
    diff = diff_layers([layer(file("a"))], [layer(file("b"))])
    assert [brief(c) for c in diff.files] == ["D /a", "A /b"]


def test_sides_say_layer_instruction_and_links() -> None:
    upper = layer(file("etc/conf", b"two"), hardlink("etc/same", "etc/conf"))
    change = next(c for c in diff_layers([BASE], [BASE, BASE, upper]).files if c.path == "/etc/conf")
    assert change.old is not None and (change.old.layer, change.old.created_by) == (0, "step 0")
    assert change.new is not None
    assert (change.new.layer, change.new.created_by, change.new.links) == (2, "step 2", ("/etc/same",))


def test_summary_counts_bytes_of_content_and_linked_names_once() -> None:
    upper = layer(file("n", b"123"), hardlink("m", "n"), whiteout("srv/b"), file("etc/conf", b"four"))
    summary = diff_layers([BASE], [BASE, upper]).summary
    assert summary == (2, 1, 1, 0, 3 + 4, 6 + 3)


# What has two names in one image (old, new), and the bytes that came and went.
NAMES: dict[str, tuple[list[Member], list[Member], tuple[int, int]]] = {
    "a name comes": ([file("a", b"123")], [file("a", b"123"), hardlink("b", "a")], (0, 0)),
    "a name goes": ([file("a", b"123"), hardlink("b", "a")], [file("a", b"123")], (0, 0)),
    "a name changes": ([file("a", b"123"), hardlink("b", "a")], [file("b", b"123"), hardlink("c", "b")], (0, 0)),
    "both come": ([], [file("a", b"123"), hardlink("b", "a")], (3, 0)),
    "both go": ([file("a", b"123"), hardlink("b", "a")], [], (0, 3)),
    "both change": (
        [file("a", b"123"), hardlink("b", "a")], [file("a", b"1234"), hardlink("b", "a")], (4, 3),
    ),
    "one of them becomes another file": (
        [file("a", b"123"), hardlink("b", "a")], [file("a", b"123"), file("b", b"12345")], (5, 0),
    ),
    "a file becomes a name of another": (
        [file("a", b"123"), file("b", b"12345")], [file("a", b"123"), hardlink("b", "a")], (0, 5),
    ),
    "all moves": ([file("a", b"123"), hardlink("b", "a")], [file("c", b"123"), hardlink("d", "c")], (3, 3)),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "sizes"), NAMES.values(), ids=NAMES)
def test_content_that_keeps_a_name_did_not_come_or_go(
    old: list[Member], new: list[Member], sizes: tuple[int, int]
) -> None:
    assert diff_layers([layer(*old)], [layer(*new)]).summary[-2:] == sizes


def test_names_that_do_not_count_keep_no_content() -> None:
    old, new = [layer(directory("d"))], [layer(directory("d"), file("a", b"123"), hardlink("d/b", "a"))]
    assert diff_layers(old, new, ignore=["/a"]).summary.bytes_added == 3
    assert diff_layers(old, new, path="/d").summary.bytes_added == 3


@pytest.mark.parametrize(
    ("pattern", "left"),
    {
        "conf": ["/opt/lib", "/opt/lib/conf.d", "/opt/lib/conf.d/x", "/top"],
        "/etc": ["/opt/lib", "/opt/lib/conf", "/opt/lib/conf.d", "/opt/lib/conf.d/x", "/top"],
        "/opt/lib/": ["/etc/conf", "/top"],
        "/opt/*/conf*": ["/etc/conf", "/opt/lib", "/top"],
        "**": [],
    }.items(),
)
def test_ignored_paths_take_what_is_below_with_them(pattern: str, left: list[str]) -> None:
    base = layer(directory("etc"), directory("opt"))
    upper = layer(
        file("etc/conf"), directory("opt/lib"), file("opt/lib/conf"), file("opt/lib/conf.d/x"), file("top"),
    )  # fmt: skip
    assert [c.path for c in diff_layers([base], [base, upper], ignore=[pattern]).files] == left


def test_path_narrows_it_and_symlinks_above_it_are_followed() -> None:
    base = layer(directory("usr/lib"), symlink("lib", "usr/lib"), file("top"))
    upper = layer(file("usr/lib/x"), whiteout("top"))
    for path, found in {"/lib/x": ["/usr/lib/x"], "usr": ["/usr/lib/x"], "/lib": [], "/top": ["/top"]}.items():
        assert [c.path for c in diff_layers([base], [base, upper], path=path).files] == found
    with pytest.raises(NoSuchPath):
        diff_layers([base], [base, upper], path="/nope")


def test_refused_layers_are_said_of_each_image() -> None:
    bad = layer(hardlink("x", "gone"))
    diff = diff_layers([BASE], [BASE, bad])
    assert [len(found) for found in diff.refused] == [0, 1]


# -- what is read, and what is trusted ----------------------------------------------------------------


def claiming(image: build.Image, *layers: bytes) -> build.Image:
    """The image with other layers than its configuration claims."""
    return replace(image, layers=layers)


def test_layers_in_common_are_trusted_and_their_contents_never_read(tmp_path: Path) -> None:
    honest = build.image(layer(file("a", b"true")), layer(file("b", b"1")))
    lying = claiming(
        build.image(*honest.layers[:1], layer(file("b", b"2"))), layer(file("a", b"lies")), layer(file("b", b"2"))
    )
    diff = diff_images(on_disk(tmp_path / "a", honest), on_disk(tmp_path / "b", lying))
    assert [brief(c) for c in diff.files] == ["C /b content"]
    assert diff.layers.common == 1


def test_plain_layers_of_two_sizes_are_not_the_same_whatever_they_claim(tmp_path: Path) -> None:
    honest = build.image(layer(file("a", b"true")))
    lying = claiming(honest, layer(file("a", b"true"), file("more")))
    diff = diff_images(on_disk(tmp_path / "a", honest), on_disk(tmp_path / "b", lying))
    assert ([brief(c) for c in diff.files], diff.layers.common) == (["A /more"], 0)


def test_identical_stacks_and_documents_are_compared_without_any_layer(tmp_path: Path) -> None:
    whole = build.image(layer(file("a")))
    files = build.oci([whole], "none")
    absent = {name: data for name, data in files.items() if not name.endswith(build.sha256(whole.layers[0]))}
    (tmp_path / "absent").write_bytes(build.pack(absent))
    gutted = tarlayers.open_image(tmp_path / "absent")
    assert diff_images(gutted, tarlayers.open_image(tmp_path / "absent")).identical
    assert diff_images(gutted, opened(whole)).identical
    other = opened(build.image(layer(file("b")), run={"User": "u"}))
    assert [c.key for c in diff_images(gutted, other, only=["config"]).config] == ["User"]
    with pytest.raises(ContentAbsent, match=r"old image example.org/app:v1: .*: layer 0 \(sha256:.*absent"):
        diff_images(gutted, other)


def test_a_common_layer_is_read_where_it_is_there(tmp_path: Path) -> None:
    old, new = build.image(BASE), build.image(BASE, layer(whiteout("srv/a")))
    files = build.oci([old], "none")
    absent = {name: data for name, data in files.items() if not name.endswith(build.sha256(BASE))}
    (tmp_path / "absent").write_bytes(build.pack(absent))
    diff = diff_images(tarlayers.open_image(tmp_path / "absent"), opened(new))
    assert [brief(c) for c in diff.files] == ["D /srv/a"]


def test_a_layer_at_another_position_is_indexed_once_and_not_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, first, second = layer(file("app", b"1234")), layer(file("x", b"1")), layer(file("y", b"22"))
    images = [build.image(first, app, names=[V1]), build.image(second, app, names=[V2])]
    (tmp_path / "both").write_bytes(build.archive("oci-none", *images))
    old, new = open_images(tmp_path / "both").images
    monkeypatch.setattr(tarlayers.Layer, "hash_files", lambda *_: pytest.fail("nothing has to be hashed"))
    assert [brief(c) for c in diff_images(old, new).files] == ["D /x", "A /y"]
    assert old.layers[1].read() is new.layers[1].read()


@pytest.mark.parametrize("flavour", ["oci-none", "oci-gzip", "oci-zstd", "docker-20", "docker-25-gzip"])
def test_what_may_be_equal_is_hashed_in_every_layer_that_has_it(flavour: str, tmp_path: Path) -> None:
    old = build.image(BASE, layer(file("own", b"1")), layer(file("srv/b", b"BBBBBB")))
    new = build.image(BASE, layer(file("etc/conf", b"two"), file("srv/a", b"aaaa"), file("own", b"1")))
    diff = diff_images(on_disk(tmp_path / "a", old, flavour), on_disk(tmp_path / "b", new, flavour))
    assert [brief(c) for c in diff.files] == ["C /etc/conf content", "C /srv/b content"]


def test_one_chain_that_an_engine_unpacks_in_one_archive_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build.image(layer(directory("usr/lib"), symlink("lib", "usr/lib")), layer(file("lib/x", b"x")))
    good = on_disk(tmp_path / "good", image, "oci-gzip")
    monkeypatch.setitem(build.SUFFIX, "gzip", "")  # containerd decompresses nothing of this media type
    diff = diff_images(good, on_disk(tmp_path / "bad", image, "oci-gzip"), only=["files"])
    assert (diff.layers.common, [len(found) for found in diff.refused]) == (2, [0, 2])
    assert [brief(c) for c in diff.files] == ["C /lib type", "D /lib/x > /usr/lib/x", "A /usr/lib/x < /lib/x"]


def test_a_broken_layer_is_named_with_its_image(tmp_path: Path) -> None:
    good, bad = build.image(BASE), claiming(build.image(BASE, names=[V2]), BASE[:700])
    with pytest.raises(tarlayers.TarlayersError, match=r"new image example.org/app:v2: .*: layer 0 \(sha256:"):
        diff_images(on_disk(tmp_path / "a", good), on_disk(tmp_path / "b", bad))


def test_layers_of_two_archives_are_loaded_together_though_their_blobs_are_named_alike(tmp_path: Path) -> None:
    whole = build.image(BASE)
    layers = [
        on_disk(tmp_path / name, claiming(whole, plain), "docker-20").layers[0]
        for name, plain in (("a", BASE), ("b", layer(file("other"))))
    ]
    assert layers[0].blob == layers[1].blob
    load_layers(layers)
    assert [len(each._store._indexes) for each in layers] == [1, 1]


def test_a_stream_that_was_not_hashed_says_so() -> None:
    images = [build.image(layer(file("a", content))) for content in (b"1", b"2")]
    old, new = (open_images(io.BytesIO(build.archive("oci-none", image))).images[0] for image in images)
    with pytest.raises(ContentAbsent, match="while the stream passed"):
        diff_images(old, new)


def test_bare_layers_are_images_of_one_layer() -> None:
    old, new = (open_images(io.BytesIO(plain), contents=True).images[0] for plain in (BASE, layer(file("z"))))
    assert diff_images(old, old).identical
    assert diff_images(old, opened(build.image(BASE))).layers.common == 1
    assert "A /z" in [brief(c) for c in diff_images(old, new).files]


# -- properties --------------------------------------------------------------------------------------

ENGINES = st.sampled_from(["containerd", "oci"])
ON_DISK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def listing(layers: Sequence[bytes], engine: str) -> dict[str, Entry]:
    """The merged tree by itself, every file hashed."""
    image = opened(build.image(*layers))
    load_layers(image.layers, contents=True)
    return dict(merge_layers(image.layers, engine=engine))


def differences(a: Entry, b: Entry) -> set[str]:
    if a.type != b.type:
        return {"type"}
    keys = {
        "mode": ("mode",),
        "owner": ("uid", "gid"),
        "link": ("link",),
        "content": ("sha256", "size"),
        "rdev": ("rdev",),
        "xattrs": ("xattrs",),
    }
    return {name for name, fields in keys.items() if any((getattr(a, f) or 0) != (getattr(b, f) or 0) for f in fields)}


@ON_DISK
@given(PAIRS, ENGINES, st.sampled_from(["oci-none", "oci-gzip"]))
def test_it_is_what_comparing_both_trees_path_by_path_finds(
    tmp_path: Path, pair: tuple[list[bytes], list[bytes]], engine: str, flavour: str
) -> None:
    old, new = (listing(layers, engine) for layers in pair)
    expected = {path: ("D", set()) for path in old.keys() - new.keys()}
    expected |= {path: ("A", set()) for path in new.keys() - old.keys()}
    both = {path: differences(old[path], new[path]) for path in old.keys() & new.keys()}
    expected |= {path: ("C", what) for path, what in both.items() if what}
    images = [on_disk(tmp_path / str(i), build.image(*layers), flavour) for i, layers in enumerate(pair)]
    found = diff_images(*images, engine=engine).files
    assert {c.path: (c.kind, set(c.what) if c.kind == "C" else set()) for c in found} == expected
    assert [c.path for c in found] == sorted(expected, key=str.encode)
    gone = {c.path: c.moved_to for c in found if c.moved_to}
    assert {to: path for path, to in gone.items()} == {c.path: c.moved_from for c in found if c.moved_from}
    assert all(old[path].sha256 == new[to].sha256 for path, to in gone.items())


@settings(deadline=None)
@given(PAIRS, ENGINES)
def test_applying_it_to_the_old_listing_gives_the_new_one(pair: tuple[list[bytes], list[bytes]], engine: str) -> None:
    old, new = (listing(layers, engine) for layers in pair)
    for change in diff_layers(*pair, engine=engine, mtime=True).files:
        if change.new is None:
            del old[change.path]
        else:
            old[change.path] = change.new.entry
    comparable = [
        {path: e._replace(path="", name=None, offset=0, typeflag="", sha256=None) for path, e in each.items()}
        for each in (old, new)
    ]
    assert comparable[0] == comparable[1]


@settings(deadline=None)
@given(STACKS, ENGINES)
def test_nothing_differs_from_itself(layers: list[bytes], engine: str) -> None:
    image = build.image(*layers)
    assert diff_images(opened(image), opened(image), engine=engine).identical
    again = build.image(*layers, layer())  # not the same layers any more, but the same files
    assert not diff_images(opened(image), opened(again), engine=engine).files
    # Bases that differ in nothing that counts: no layer is shared, and every path is compared.
    old, new = (opened(build.image(layer(directory("base", mtime=time)), *layers)) for time in (1, 2))
    assert not diff_images(old, new, engine=engine).files


def test_changes_are_a_sequence_that_is_made_when_it_is_asked_for() -> None:
    upper = layer(file("a", b"1"), file("b", b"2"), file("c", b"3"))
    files = diff_layers([BASE], [BASE, upper]).files
    whole = list(files)
    assert [change.path for change in whole] == ["/a", "/b", "/c"]
    assert (files[0], files[-1], files[1:]) == (whole[0], whole[2], tuple(whole[1:]))
    assert files == diff_layers([BASE], [BASE, upper]).files
    assert files != whole[:2]
    assert files != 3
    with pytest.raises(IndexError):
        files[3]


def mirrored(change: FileChange) -> FileChange:
    kind = {"A": "D", "D": "A", "C": "C"}[change.kind]
    return FileChange(kind, change.path, change.what, change.new, change.old, change.moved_from, change.moved_to)


STEPS = st.lists(
    st.sampled_from(["RUN a", "RUN b", "COPY file:" + "0" * 64 + " in /", "COPY file:" + "1" * 64 + " in /"])
)


@settings(deadline=None)
@given(PAIRS, STEPS, STEPS, ENGINES)
def test_the_mirrored_question_has_the_mirrored_answer(
    pair: tuple[list[bytes], list[bytes]], old_steps: list[str], new_steps: list[str], engine: str
) -> None:
    images = [
        opened(build.image(*layers, history=[{"created_by": step, "empty_layer": True} for step in steps]))
        for layers, steps in zip(pair, (old_steps, new_steps), strict=True)
    ]
    there, back = (diff_images(*each, engine=engine) for each in (images, images[::-1]))
    assert list(back.files) == list(map(mirrored, there.files))
    assert [(c.key, c.new, c.old) for c in back.config] == [tuple(c) for c in there.config]
    assert back.layers == (there.layers.common, there.layers.new, there.layers.old, there.layers.chain_ids[::-1])
    assert [(h.new, h.old) for h in back.history if h.kind in "=C"] == [
        (h.old, h.new) for h in there.history if h.kind in "=C"
    ]
    assert len(back.history) == len(there.history)


# -- configuration and history -----------------------------------------------------------------------

CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, tuple[Any, Any]]]] = {
    "variables one by one": (
        {"Env": ["A=1", "B=2", "C=3"]},
        {"Env": ["B=2", "A=0", "D=="]},
        {"Env.A": ("1", "0"), "Env.C": ("3", None), "Env.D": (None, "=")},
    ),
    "an empty variable is there": ({"Env": []}, {"Env": ["E="]}, {"Env.E": (None, "")}),
    "of a variable set twice the last counts": ({"Env": ["A=1", "A=2"]}, {"Env": ["A=2"]}, {}),
    "labels one by one": (
        {"Labels": {"k": "v", "l": ""}},
        {"Labels": {"k": "w"}},
        {"Labels.k": ("v", "w"), "Labels.l": ("", None)},
    ),
    "ports and volumes": (
        {"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/a": {}}},
        {"ExposedPorts": {"81/tcp": {}}, "Volumes": {"/a": {}}},
        {"ExposedPorts.80/tcp": ({}, None), "ExposedPorts.81/tcp": (None, {})},
    ),
    "commands whole": ({"Cmd": ["a", "b"]}, {"Cmd": ["a b"]}, {"Cmd": (["a", "b"], ["a b"])}),
    "what is empty is not there": (
        {"Entrypoint": None, "User": "", "OnBuild": [], "ArgsEscaped": False, "Volumes": {}},
        {},
        {},
    ),
    "zero is something": ({"StopTimeout": 0}, {}, {"StopTimeout": (0, None)}),
    "health check by key": (
        {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 1}},
        {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 2}},
        {"Healthcheck.Interval": (1, 2)},
    ),
    "keys that nobody knows": ({"X-New": [1]}, {"X-New": [2]}, {"X-New": ([1], [2])}),
    "what a build writes of itself": (
        {"Image": "sha256:a", "Hostname": "0123456789ab"},
        {"Image": "sha256:b", "Hostname": "ba9876543210"},
        {},
    ),
    "a host name that somebody gave": ({"Hostname": "web"}, {}, {"Hostname": ("web", None)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_config(case: str) -> None:
    old, new, expected = CONFIGS[case]
    images = [opened(build.image(run={"Env": None, "Cmd": None, **run})) for run in (old, new)]
    found = diff_images(*images).config
    assert {change.key: (change.old, change.new) for change in found} == expected


def test_a_key_of_the_document_is_none_of_the_run_time_part() -> None:
    inside, outside = opened(build.image(run={"User": "root"})), opened(build.image(User="root"))
    found = [tuple(change) for change in diff_images(outside, inside).config]
    assert found == [("User", "root", None), ("config.User", None, "root")]
    assert diff_images(outside, outside).config == ()


@pytest.mark.parametrize(("one", "other"), [(True, 1), (0, "0"), ([1], [True]), ({"a": 1.0}, {"a": True})])
def test_values_of_different_kinds_differ(one: Any, other: Any) -> None:
    images = [opened(build.image(x=value)) for value in (one, other)]
    assert [change.key for change in diff_images(*images).config] == ["x"]


def test_the_document_around_the_run_time_part_counts_too() -> None:
    old = build.image(author="a", docker_version="1", variant="v7", container_config={"Cmd": []}, created="2020")
    new = build.image(author="b", docker_version="2", x={"y": 1}, platform="linux/arm64", created="2021")
    found = {change.key: (change.old, change.new) for change in diff_images(opened(old), opened(new)).config}
    assert found == {
        "architecture": ("amd64", "arm64"),
        "author": ("a", "b"),
        "variant": ("v7", None),
        "x": (None, {"y": 1}),
    }


def steps(*lines: str) -> list[dict[str, Any]]:
    return [{"created_by": line, "empty_layer": True} for line in lines]


COPY = "/bin/sh -c #(nop) COPY file:{} in /app"

HISTORIES: dict[str, tuple[list[str], list[str], str]] = {
    "equal": (["a", "b"], ["a", "b"], "=a =b"),
    "one more": (["a", "b"], ["a", "x", "b"], "=a Ax =b"),
    "one less": (["a", "x", "b"], ["a", "b"], "=a Dx =b"),
    "one other": (["a", "x", "b"], ["a", "y", "b"], "=a Dx Ay =b"),
    "the same step twice": (["a", "a"], ["a"], "=a Da"),
    "none": ([], ["a"], "Aa"),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_history(case: str) -> None:
    old, new, expected = HISTORIES[case]
    images = [opened(build.image(history=steps(*lines))) for lines in (old, new)]
    found = diff_images(*images).history
    rows = [(change.kind, change.new or change.old) for change in found]
    assert " ".join(f"{kind}{row.step.created_by}" for kind, row in rows if row) == expected


def test_a_copy_of_other_content_is_the_same_step() -> None:
    images = [opened(build.image(history=steps("a", COPY.format(digit * 64)))) for digit in "12"]
    assert [change.kind for change in diff_images(*images).history] == ["=", "C"]


def test_very_long_histories_are_not_aligned_beyond_their_common_start() -> None:
    old, new = (opened(build.image(history=steps("from", word, *["run"] * 5000))) for word in ("a", "b"))
    kinds = [change.kind for change in diff_images(old, new).history]
    assert kinds == ["=", *["D"] * 5001, *["A"] * 5001]


# -- the command -------------------------------------------------------------------------------------


class Run(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Run]


@pytest.fixture
def diff(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Command]:
    """Run `tarlayers diff`; `stdin` is what standard input holds."""

    def run(*arguments: object, stdin: bytes = b"") -> Run:
        words = ["tarlayers", "diff", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsysbinary.readouterr()
        return Run(int(end.value.code or 0), out.decode(), err.decode())

    yield run


OLD = build.image(BASE, layer(file("gone", b"12345"), file("text", b"one\ntwo\n"), file("raw", b"\0\1")), names=[V1])
NEW = build.image(
    BASE,
    layer(
        file("come", b"12345"), file("text", b"one\n2\n", mode=0o600), file("raw", b"\0\2"), file("etc/\x1b[31m", b"x")
    ),
    names=[V2],
    run={"User": "app"},
    history=[{"created_by": "step 0"}, {"created_by": "COPY . /"}],
)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    path = tmp_path / "both.tar"
    path.write_bytes(build.archive("docker-25", OLD, NEW))
    return path


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    for name, image in (("old.tar", OLD), ("new.tar", NEW)):
        (tmp_path / name).write_bytes(build.archive("oci-gzip", image))
    return tmp_path / "old.tar", tmp_path / "new.tar"


def test_text(diff: Command, ends: tuple[Path, Path]) -> None:
    done = diff(*ends)
    files, config, history, layers, totals = done.out.split("\n\n")
    assert files.splitlines() == [
        "R /gone -> /come  5B                                   L1        COPY . /",
        "A /etc/\\x1b[31m   1B                                   L1        COPY . /",
        "C /raw            content 2B                           L1 -> L1  COPY . /",
        "C /text           content 8B -> 6B, mode 0644 -> 0600  L1 -> L1  COPY . /",
    ]
    assert config.splitlines() == ["config:", "A User  app"]
    assert history.splitlines() == ["history:", "  L0   step 0", "- L1   step 1", "+ L1   COPY . /"]
    assert [line[:5] for line in layers.splitlines()[1:]] == ["  1 i", "- L1 ", "+ L1 "]
    assert totals == "2 added, 2 changed, 1 deleted, 1 moved; +14B -15B\n"
    assert (done.code, done.err) == (0, "")


def test_steps_that_differ_are_shown_at_length(diff: Command, tmp_path: Path) -> None:
    start = "LABEL " + "x" * 200
    for name in "ab":
        image = build.image(BASE, history=[*steps(start, start + name), {"created_by": "COPY . /"}])
        (tmp_path / name).write_bytes(build.archive("oci-none", image))
    assert diff(tmp_path / "a", tmp_path / "b").out.splitlines()[1:3] == [
        f"       {start[:71]}…",
        f"-      {start}a",
    ]


def test_steps_that_differ_in_what_the_builder_wrote_around_them_show_it(diff: Command, tmp_path: Path) -> None:
    for name, step in {"a": '/bin/sh -c #(nop)  CMD ["x"]', "b": 'CMD ["x"]'}.items():
        (tmp_path / name).write_bytes(
            build.archive("oci-none", build.image(BASE, history=[*steps("COPY . /"), *steps(step)[:1]]))
        )
    out = diff(tmp_path / "a", tmp_path / "b", "--only", "history").out
    assert "/bin/sh -c #(nop) CMD" in out and '+      CMD ["x"]' in out


def test_json(diff: Command, ends: tuple[Path, Path]) -> None:
    document = diff(*ends, "-f", "json").json
    assert list(document) == ["schema", "identical", "layers", "config", "history", "files", "summary"]
    assert document["schema"] == "tarlayers.diff/1" and document["identical"] is False
    assert document["layers"]["common"] == 1
    first, second = NEW.diff_ids
    chain_id = f"sha256:{build.sha256(f'{first} {second}'.encode())}"
    assert [(each["index"], each["diff_id"], each["chain_id"]) for each in document["layers"]["new"]] == [
        (1, second, chain_id)
    ]
    assert document["config"] == [{"key": "User", "old": None, "new": "app"}]
    assert [step["kind"] for step in document["history"]] == ["=", "D", "A"]
    files = {each["path"]: each for each in document["files"]}
    assert (files["/gone"]["kind"], files["/gone"]["moved_to"], files["/gone"]["new"]) == ("D", "/come", None)
    assert (files["/come"]["kind"], files["/come"]["moved_from"], files["/come"]["old"]) == ("A", "/gone", None)
    assert files["/text"]["what"] == ["content", "mode"]
    assert files["/text"]["new"] == {
        "path": "/text", "type": "file", "mode": "0600", "uid": 0, "gid": 0, "size": 6,
        "mtime": "2023-11-14T22:13:20Z", "layer": 1, "created_by": "COPY . /",
    }  # fmt: skip
    assert document["summary"] == {
        "added": 2, "changed": 2, "deleted": 1, "moved": 1, "bytes_added": 14, "bytes_removed": 15,
    }  # fmt: skip


def test_two_images_of_one_archive_open_it_once(
    diff: Command, both: Path, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = diff(*ends, "--only", "files,config", "-f", "json").json
    calls: list[object] = []
    real = open_images
    monkeypatch.setattr("tarlayers.opening.open_images", lambda *a, **k: calls.append(a) or real(*a, **k))
    found = diff(f"{both}#v1", f"{both}#v2", "--only", "files,config", "-f", "json").json
    assert (found, len(calls)) == (expected, 1)


def test_standard_input(diff: Command, both: Path, ends: tuple[Path, Path]) -> None:
    expected = diff(*ends, "--only", "files").out
    assert diff("-", ends[1], "--only", "files", stdin=ends[0].read_bytes()).out == expected
    assert diff(ends[0], "-", "--only", "files", stdin=ends[1].read_bytes()).out == expected
    assert diff("--only", "files", "--", "-#v1", "-#v2", stdin=both.read_bytes()).out == expected
    done = diff("-", "-", stdin=both.read_bytes())
    assert done.code == 2 and "standard input can be one side alone" in done.err


def test_an_error_says_in_which_archive(diff: Command, both: Path, ends: tuple[Path, Path]) -> None:
    for arguments in ((ends[0], f"{both}#v3"), (f"{both}#v3", ends[0])):
        done = diff(*arguments)
        assert done.code == 2 and done.err.startswith(f"tarlayers: {both}: no image fits #v3")


def test_exit_code(diff: Command, ends: tuple[Path, Path]) -> None:
    assert diff(*ends, "--exit-code").code == 1
    assert diff(*ends, "--exit-code", "--only", "files", "/data").code == 0
    assert diff(ends[0], ends[0], "--exit-code").code == 0
    assert diff(ends[0], ends[0]).out == "identical: files config history layers (all 2 layers in common by diff ID)\n"


def test_the_same_files_from_other_layers_are_identical_and_say_so(diff: Command, tmp_path: Path) -> None:
    for name, image in (("a", build.image(BASE, history=[])), ("b", build.image(BASE, layer(), history=[]))):
        (tmp_path / name).write_bytes(build.archive("oci-none", image))
    done = diff(tmp_path / "a", tmp_path / "b", "--exit-code")
    assert (done.code, done.out) == (
        0,
        "identical: files config history layers (1 layer in common by diff ID, 0 of the old and 1 of the new not)\n",
    )
    assert diff(tmp_path / "a", tmp_path / "b", "--exit-code", "--only", "layers").code == 1


@pytest.mark.parametrize(
    ("section", "first"),
    {"files": "R /gone", "config": "A User  app", "history": "  L0   step 0", "layers": "  1 in common"}.items(),
)
def test_one_section_alone_has_no_title(diff: Command, ends: tuple[Path, Path], section: str, first: str) -> None:
    assert diff(*ends, "--only", section).out.startswith(first)
    keys = {section, "summary"} if section == "files" else {section}
    assert set(diff(*ends, "--only", section, "-f", "json").json) == {"schema", "identical"} | keys


def test_unknown_section(diff: Command, ends: tuple[Path, Path]) -> None:
    done = diff(*ends, "--only", "files,nope")
    assert done.code == 2 and "files,config,history,layers" in done.err


def test_ignore_mtime_path_and_engine(diff: Command, ends: tuple[Path, Path]) -> None:
    out = diff(*ends, "--only", "files", "--ignore", "/etc", "--ignore", "r?w", "--ignore", "text").out
    assert [line.split("  ")[0] for line in out.splitlines()] == ["R /gone -> /come"]
    assert diff(*ends, "--only", "files", "/text").out.startswith("C /text")
    assert "mtime" in diff(*ends, "--only", "files", "--mtime").out
    assert "mtime" not in diff(*ends, "--only", "files", "--ignore-mtime").out
    assert diff(*ends, "--engine", "oci", "--only", "files").out == diff(*ends, "--only", "files").out
    done = diff(*ends, "/nope")
    assert (done.code, done.out, done.err) == (1, "", "tarlayers: /nope: in neither image\n")
    assert diff(ends[0], ends[0], "/nope") == done
    assert diff(ends[0], ends[0], "/text").out.startswith("identical: ")


def test_platform(diff: Command, tmp_path: Path) -> None:
    amd, arm = (build.image(BASE, platform=f"linux/{word}", names=[]) for word in ("amd64", "arm64"))
    (tmp_path / "multi").write_bytes(build.archive("oci-none", amd, arm))
    assert diff(tmp_path / "multi", tmp_path / "multi").code == 2
    assert diff(tmp_path / "multi", tmp_path / "multi", "--platform", "linux/arm64").out.startswith("identical")


def test_stat(diff: Command, ends: tuple[Path, Path]) -> None:
    assert diff(*ends, "--stat").out.splitlines() == [
        " /come         | +5B     +++++++++++",
        " /etc/\\x1b[31m | +1B     ++",
        " /gone         |     -5B -----------",
        " /raw          | +2B -2B ++++----",
        " /text         | +6B -8B +++++++++++++-----------------",
        " 2 added, 2 changed, 1 deleted, 1 moved; +14B -15B",
    ]


def test_many_files_are_summed_up_by_directory() -> None:
    base = layer(directory("usr"), directory("usr/lib"), directory("usr/share"))
    upper = layer(
        *[file(f"usr/lib/{i}", b"x") for i in range(30)],
        *[file(f"usr/share/{i}", b"yy") for i in range(30)],
        file("top"),
    )
    rows = group_changes(diff_layers([base], [base, upper]).files)
    assert rows == [("/top", 1, 0, 0), ("/usr/lib/", 30, 30, 0), ("/usr/share/", 30, 60, 0)]


def test_markdown(diff: Command, ends: tuple[Path, Path]) -> None:
    out = diff(*ends, "-f", "markdown").out
    assert "| files added | 2 | +14B |" in out
    assert "| added | /etc/\\\\x1b\\[31m |" in out
    assert out.count("<details>") == out.count("</details>") == 4
    assert "| moved | `/gone` → `/come` |" in out
    assert "| `/come` | 1 |" in diff(*ends, "-f", "markdown", "--stat").out


def test_markdown_tells_no_secret(diff: Command, tmp_path: Path) -> None:
    token, password = "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789", "correct horse battery staple " * 20
    new = build.image(
        layer(file("a")),
        run={"Env": [f"NPM_TOKEN={token}", f"DB_PASSWORD={password}"], "Labels": {"url": f"https://u:{token}@host/"}},
        history=steps(f"RUN |1 NPM_TOKEN={token} npm ci"),
    )
    for name, image in (("a", build.image()), ("b", new)):
        (tmp_path / name).write_bytes(build.archive("oci-none", image))
    shown = {kind: diff(tmp_path / "a", tmp_path / "b", "-f", kind).out for kind in ("markdown", "text")}
    assert "`Env.NPM_TOKEN` |  | `npm_…(40)` |" in shown["markdown"]
    assert "`RUN |1 NPM_TOKEN=npm_…(40) npm ci`".replace("|1", "\\|1") in shown["markdown"]
    assert ("correct horse" in shown["markdown"], token in shown["markdown"]) == (False, False)
    assert token in shown["text"]


def test_markdown_cannot_be_broken_out_of(diff: Command, tmp_path: Path) -> None:
    evil = "</details>|`\n# <script>"
    images = (
        build.image(),
        build.image(layer(file(evil.replace("/", "_"))), run={"Labels": {evil: evil}}, history=steps(evil)),
    )
    for name, image in zip("ab", images, strict=True):
        (tmp_path / name).write_bytes(build.archive("oci-none", image))
    out = diff(tmp_path / "a", tmp_path / "b", "-f", "markdown").out
    assert (
        "<script" not in out.replace("\\<", "")
        and "\n#" not in out.replace("\n###", "")
        and out.count("</details>") == 4
    )


def test_patch(diff: Command, ends: tuple[Path, Path]) -> None:
    done = diff(*ends, "--patch", "/text", "--exit-code")
    assert done.code == 1
    assert done.out.splitlines() == [
        "diff --git a/text b/text", "old mode 100644", "new mode 100600", "--- a/text", "+++ b/text",
        "@@ -1,2 +1,2 @@", " one", "-two", "+2",
    ]  # fmt: skip
    assert diff(*ends, "--patch", "raw").out == "diff --git a/raw b/raw\nBinary files a/raw and b/raw differ\n"
    assert diff(*ends, "--patch", "/gone").out.splitlines()[1:4] == [
        "deleted file mode 100644", "--- a/gone", "+++ /dev/null",
    ]  # fmt: skip
    assert diff(*ends, "--patch", "/come").out.splitlines() == [
        "diff --git a/come b/come", "new file mode 100644", "--- /dev/null", "+++ b/come", "@@ -0,0 +1 @@",
        "+12345", "\\ No newline at end of file",
    ]  # fmt: skip
    same = diff(*ends, "--patch", "/link", "--exit-code")
    assert (same.code, same.out) == (0, "")
    for path, reason in {"/nope": "in neither image", "/srv": "is a dir, not a file"}.items():
        done = diff(*ends, "--patch", path)
        assert done.code == 1 and reason in done.err


def test_patch_of_what_is_no_content(diff: Command, tmp_path: Path) -> None:
    fenced = b"```\n````\n"
    old, new = (
        layer(file("m", b"same"), file("f", fenced)),
        layer(file("m", b"same", mode=0o755), file("f", fenced * 2)),
    )
    for name, plain in (("a", old), ("b", new)):
        (tmp_path / name).write_bytes(build.archive("oci-none", build.image(plain)))
    done = diff(tmp_path / "a", tmp_path / "b", "--patch", "m", "--exit-code")
    assert (done.code, done.out) == (1, "diff --git a/m b/m\nold mode 100644\nnew mode 100755\n")
    out = diff(tmp_path / "a", tmp_path / "b", "--patch", "f", "-f", "markdown").out
    assert out.startswith("`````diff\n") and out.endswith("\n`````\n")


APPLIED = {
    "plain": (file("n", b"one\ntwo\n"), file("n", b"one\n2\n")),
    "no line feed": (file("n", b"one\ntwo"), file("n", b"one\ntwo\n")),
    "mode alone": (file("n", b"same", mode=0o644), file("n", b"same", mode=0o755)),
    "mode too": (file("n", b"1\n", mode=0o755), file("n", b"2\n", mode=0o644)),
    "new": (directory("d"), file("n", b"1\n")),
    "new and empty": (directory("d"), file("n", b"")),
    "gone": (file("n", b"1\n"), directory("d")),
    "gone and empty": (file("n", b""), directory("d")),
}


NAMES = [b"n", b"a name", b"d/t\tb", b"l\nf", b'q"u', b"b\\s", "\u00e9".encode(), b"\xff\x80", b"\xe2\x80\xaeflip"]


def fill(root: Path, name: bytes, side: build.Member) -> None:
    """Lay a file into a directory."""
    target = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    target.parent.mkdir(parents=True)
    if side.type == "0":
        target.write_bytes(side.data)
        target.chmod(side.mode)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", APPLIED)
@pytest.mark.parametrize("tool", [["git", "apply", "-"], ["patch", "-p1", "-s"]], ids=["git", "patch"])
def test_patch_is_taken_by_git_and_patch(tmp_path: Path, tool: list[str], case: str, name: bytes) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    if tool[0] == "patch" and case == "gone and empty":
        pytest.skip("GNU patch takes the removal of an empty file for one that was made before, from git too")
    trees = tmp_path / "old", tmp_path / "new"
    for tree, side in zip(trees, APPLIED[case], strict=True):
        member = replace(side, name=os.fsdecode(name)) if side.type == "0" else side
        tree.with_suffix(".tar").write_bytes(build.archive("oci-none", build.image(layer(member))))
        fill(tree, name, side)
    made = run("diff", *(tree.with_suffix(".tar") for tree in trees), "--patch", os.fsdecode(name))
    done = subprocess.run(tool, cwd=trees[0], input=made.stdout, capture_output=True, check=False)
    assert done.returncode == 0, (done.stderr, made)
    found = [
        {(each.relative_to(tree), each.read_bytes(), each.stat().st_mode) for each in tree.rglob("*") if each.is_file()}
        for tree in trees
    ]
    assert found[0] == found[1]


def test_patch_of_a_stream_and_as_json_and_markdown(diff: Command, both: Path) -> None:
    images = ("--patch", "/text", "--", "-#v1", "-#v2")
    document = diff("-f", "json", *images, stdin=both.read_bytes()).json
    assert document["patch"].endswith("@@ -1,2 +1,2 @@\n one\n-two\n+2\n")
    assert (document["identical"], document["old"]["mode"], document["new"]["layer"]) == (False, "0644", 1)
    out = diff("-f", "markdown", *images, stdin=both.read_bytes()).out
    assert out.startswith("```diff\ndiff --git a/text b/text\nold mode") and out.endswith("+2\n```\n")


def test_patch_is_bounded(diff: Command, tmp_path: Path) -> None:
    for name, data in (("a", b"a\n" * 600_000), ("b", b"b\n" * 600_000)):
        (tmp_path / name).write_bytes(
            build.archive("oci-none", build.image(layer(file("big", data), file("many", data[:90_000]))))
        )
    for path in ("big", "many"):
        assert f"\nFiles a/{path} and b/{path} differ" in diff(tmp_path / "a", tmp_path / "b", "--patch", path).out
    assert diff(tmp_path / "a", tmp_path / "b", "--patch", "big", "-f", "json").json["reason"] == "too large"


@pytest.mark.conformance
@pytest.mark.skipif(not (BIG / "app-v2.docker.tar").exists(), reason="no big corpus (TARLAYERS_BIG_CORPUS)")
@pytest.mark.parametrize("flavour", ["oci-gzip", "oci-zstd"])
def test_big_images_differ_alike_in_every_flavour(flavour: str) -> None:
    plain, packed = (
        diff_images(*(tarlayers.open_image(BIG / f"app-{v}.{kind}.tar") for v in ("v1", "v2")))
        for kind in ("docker", flavour)
    )
    assert [brief(c) for c in plain.files] == [brief(c) for c in packed.files]
