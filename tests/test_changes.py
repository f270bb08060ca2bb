"""What each layer did: tables of upper layers over one base, Docker's own lists, and properties over random layers."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tarlayers.analysis.changes import Change, fold_events, list_changes
from tarlayers.analysis.log import trace_path
from tarlayers.entry import Entry
from tarlayers.errors import NoSuchPath, TarlayersError
from tarlayers.image import Image
from tarlayers.layer import LayerIndex, index_layer
from tarlayers.merging.engine import ENGINES, merge_layers
from tarlayers.opening import open_images
from tarlayers.trace import trace_layers
from tests.build import (
    Member,
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    symlink,
    whiteout,
    xattrs,
)
from tests.paths import CASES, SHARED, needs_shared
from tests.run import run
from tests.strategies import LAYERS, PATHS

BASE = layer(
    directory("d"),
    file("d/f", b"12345", uid=3),
    directory("d/s"),
    file("d/s/g", b"2"),
    file("d/s/h", b"3"),
    symlink("link", "d"),
    device("null", 1, 3),
    file("top", b"3"),
)


def open_built(*layers: bytes, flavour: str = "docker-25") -> Image:
    (built,) = open_images(io.BytesIO(archive(flavour, image(*layers))), contents=True).images
    return built


def changes_of(*upper: Member, path: str = "/", noise: bool = False, engine: str = "containerd") -> Sequence[Change]:
    answer = list_changes(open_built(BASE, layer(*upper)), layer=1, path=path, noise=noise, engine=engine)
    return answer.layers[0].changes


def letters(changes: Sequence[Change]) -> list[str]:
    return [f"{change.kind} {change.path}" for change in changes]


# -- what is listed --------------------------------------------------------------------------------

LISTED = {
    "a new file": ([file("new")], ["A /new"]),
    "a new directory and all in it": ([file("x/y/z")], ["A /x", "A /x/y", "A /x/y/z"]),
    "a directory listed for its child's sake is noise": ([directory("d", mtime=1), file("d/n")], ["A /d/n"]),
    "a directory that has another mode is none": ([directory("d", mode=0o700)], ["C /d"]),
    "a file written again as it was is noise": ([file("d/f", b"12345", uid=3)], []),
    "a file whose time alone differs is listed": ([file("d/f", b"12345", uid=3, mtime=1)], ["C /d/f"]),
    "a deleted file": ([whiteout("d/f")], ["D /d/f"]),
    "a deleted directory is one line": ([whiteout("d/s")], ["D /d/s"]),
    "an opaque directory loses its children one by one": ([directory("d"), opaque("d")], ["D /d/f", "D /d/s"]),
    "what an opaque directory gets again has changed": (
        [directory("d"), opaque("d"), file("d/f", b"new")],
        ["C /d/f", "D /d/s"],
    ),
    "a directory that an opaque one gets again keeps nothing": (
        [directory("d"), opaque("d"), directory("d/s"), file("d/s/new")],
        ["D /d/f", "D /d/s/g", "D /d/s/h", "A /d/s/new"],
    ),
    "a file in a directory's place is one line": ([file("d")], ["C /d"]),
    "a directory in a file's place": ([file("top/x")], ["C /top", "A /top/x"]),
    "a directory in a symlink's place: lower links are not followed": ([file("link/x")], ["C /link", "A /link/x"]),
    "a whiteout of nothing": ([whiteout("nothing"), whiteout("gone/too")], ["A /gone"]),
    "a character device 0:0 is a whiteout": ([device("top", 0, 0)], ["D /top"]),
    "an empty layer": ([], []),
}


@pytest.mark.parametrize(("upper", "expected"), LISTED.values(), ids=LISTED)
def test_what_is_listed(upper, expected):
    assert letters(changes_of(*upper)) == expected


def test_noise_is_listed_when_it_is_asked_for():
    upper = (directory("d", mtime=1), file("d/f", b"12345", uid=3), directory("d/s"))
    assert [(c.path, c.what) for c in changes_of(*upper, noise=True)] == [
        ("/d", ("mtime",)),
        ("/d/f", ()),
        ("/d/s", ()),
    ]


WHAT = {
    "content of another size": (file("d/f", b"1", uid=3), ("content",)),
    "content of the same size": (file("d/f", b"54321", uid=3), ("content",)),
    "mode": (file("d/f", b"12345", uid=3, mode=0o600), ("mode",)),
    "owner": (file("d/f", b"12345", uid=3, gid=4), ("owner",)),
    "mtime": (file("d/f", b"12345", uid=3, mtime=1.5), ("mtime",)),
    "several": (file("d/f", b"1", mode=0o755), ("content", "mode", "owner")),
    "xattrs": (xattrs(file("d/f", b"12345", uid=3), user_a=b"1"), ("xattrs",)),
    "trusted attributes are not applied": (xattrs(file("d/f", b"12345", uid=3), trusted_a=b"1"), ()),
    "a link's target": (symlink("link", "top"), ("link",)),
    "a link's mode is nothing": (symlink("link", "d", mode=0o700), ()),
    "a device's numbers": (device("null", 1, 5), ("rdev",)),
    "another kind of device": (device("null", 1, 3, "block"), ("type",)),
    "type, and nothing beside it": (fifo("d/f", mode=0o600), ("type",)),
}


@pytest.mark.parametrize(("member", "what"), WHAT.values(), ids=WHAT)
def test_what_changed(member, what):
    found = changes_of(member, path=member.name, noise=True)
    assert [change.what for change in found if change.kind == "C"] == [what]


GONE = {
    "a directory": ([whiteout("d")], ("D", "/d", "dir", "whiteout", 4)),
    "a directory in an opaque one": ([directory("d"), opaque("d"), file("d/f")], ("D", "/d/s", "dir", "opaque", 2)),
    "a directory that a file replaced": ([file("d/s", b"x")], ("C", "/d/s", "file", "entry", 2)),
    "a file": ([whiteout("d/s/g")], ("D", "/d/s/g", "file", "whiteout", 0)),
}


@pytest.mark.parametrize(("upper", "expected"), GONE.values(), ids=GONE)
def test_why_it_went_and_what_went_with_it(upper, expected):
    found = [(c.kind, c.path, c.type, c.cause, c.below) for c in changes_of(*upper)]
    assert expected in found


def test_a_path_below_what_is_gone_tells_who_took_it():
    (change,) = changes_of(whiteout("d"), path="/d/s/g")
    assert (change.kind, change.path, change.cause, change.by) == ("D", "/d/s/g", "whiteout", "/d")
    (change,) = changes_of(file("d"), path="d/s")
    assert (change.kind, change.cause, change.by, change.below) == ("D", "replaced", "/d", 2)


def test_path_takes_no_neighbours():
    assert letters(changes_of(file("d/s2"), file("d/s/n"), file("d"), path="/d/s")) == ["D /d/s"]
    assert letters(changes_of(file("dd"), file("d-"), directory("d", mode=0o1777), path="d/")) == ["C /d"]


def test_path_leads_where_symlinked_parents_do():
    assert letters(changes_of(file("d/f", b"new"), path="/link/f")) == ["C /d/f"]
    assert letters(changes_of(whiteout("d/s"), path="/link/s/g")) == ["D /d/s/g"]
    assert letters(changes_of(file("d/f", b"new"), path="/link")) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["/nowhere", "/link/nowhere", "/d/f/below"])
def test_a_path_that_never_was_is_an_error(path, engine):
    with pytest.raises(NoSuchPath, match="no layer ever had it"):
        changes_of(file("d/f", b"new"), path=path, engine=engine)


def test_a_path_that_was_there_once_has_nothing_to_tell_of_later_layers():
    built = open_built(BASE, layer(whiteout("d/s")), layer(file("new")))
    for path in ("/d/s/g", "/link/s/g", "/d/f", "/link"):
        assert not list_changes(built, layer=2, path=path).layers[0].changes


def test_of_a_lower_layer_only_what_is_at_and_below_it_is_known():
    built = open_built(BASE, layer(file("n/f")), layer(file("new")))
    with pytest.raises(NoSuchPath, match="no layer up to 1 ever had it"):
        list_changes(built, layer=1, path="/new")
    with pytest.raises(NoSuchPath, match=r"no layer ever had it; there is /d/f, /n/f$"):
        list_changes(built, path="/x/f")


@settings(max_examples=50)
@given(LAYERS, PATHS, st.sampled_from(ENGINES))
def test_a_path_that_never_was_is_the_same_to_log(layers: list[bytes], path: str, engine: str) -> None:
    found = open_built(*layers)
    said = []
    for ask in (list_changes, trace_path):
        try:
            ask(found, path=path, engine=engine)
        except NoSuchPath as error:
            said.append(str(error))
    assert not said or said == [said[0]] * 2


def test_a_path_that_never_was_is_exit_1_in_every_format(tmp_path):
    target = tmp_path / "app.tar"
    target.write_bytes(archive("docker-25", image(BASE, layer(file("new")))))
    for options in ((), ("-f", "json"), ("--layer", "1"), ("--all", "-l")):
        ran = run("changes", target, "/nowhere", *options)
        assert (ran.code, ran.stdout, ran.stderr) == (1, b"", "tarlayers: /nowhere: no layer ever had it\n")
    for path in ("/", "//", ".", "/d/f"):
        assert run("changes", target, path, "--layer", "1").code == 0


def test_everything_in_the_first_layer_is_new():
    (first,) = list_changes(open_built(BASE)).layers
    assert {change.kind for change in first.changes} == {"A"}
    assert (first.count("A"), first.count("C"), first.count("D"), first.content_size) == (8, 0, 0, 8)


def test_hard_linked_names_count_once():
    upper = layer(file("a", b"12345"), hardlink("b", "a"), file("c", b"1"))
    (_, second) = list_changes(open_built(BASE, upper)).layers
    assert letters(second.changes) == ["A /a", "A /b", "A /c"]
    assert second.content_size == 6


def test_engines_differ_where_the_rule_book_says_so():
    upper = (directory("usr"), file("link/x"))
    assert letters(changes_of(*upper)) == ["C /link", "A /link/x", "A /usr"]
    assert letters(changes_of(*upper, engine="oci")) == ["A /d/x", "A /usr"]


# -- Docker's own lists ----------------------------------------------------------------------------

OLD = 1_577_836_800
DOCKER_BASE = (
    *(directory(name, mtime=OLD) for name in ("d", "d/s", "e", "e/x", "f", "f/deep", "h", "k", "m", "n", "n/nn")),
    *(directory(name, mtime=OLD) for name in ("tofile", "tofile/sub", "modd", "ownd")),
    *(file(name, b"1", mtime=OLD) for name in ("d/f", "d/s/g", "e/one", "e/x/two", "f/deep/file", "f/other")),
    *(file(name, b"1", mtime=OLD) for name in ("h/a", "h/b", "m/keep", "n/nn/q", "tofile/sub/a", "todir", "top")),
    symlink("link", "d", mtime=OLD),
    fifo("fifo", mtime=OLD),
)
DOCKER_UPPER = (
    directory("brand"), directory("brand/new"), directory("d"), whiteout("d/f"), whiteout("d/s"),
    directory("e"), opaque("e"), file("e/one", b"new"),
    directory("f", mtime=OLD), directory("f/deep", mtime=OLD), file("f/deep/file", b"1more"),
    fifo("fifo", mode=0o600), directory("h"), file("h/a", b"1", mode=0o600, mtime=OLD), file("h/b", b"1", mtime=OLD),
    hardlink("h/b3", "h/b", mtime=OLD), directory("k"), symlink("link", "e"), directory("m", mtime=OLD),
    file("m/keep", b"1", mtime=OLD), directory("modd", mode=0o700, mtime=OLD), directory("n"),
    directory("n/moved", mtime=OLD), file("n/moved/q", b"1", mtime=OLD), whiteout("n/nn"),
    directory("ownd", uid=5, gid=6, mtime=OLD), directory("todir"), opaque("todir"), file("todir/y", b"y"),
    file("tofile", b"file"), file("top", b"1"),
)  # fmt: skip
# `docker diff` of a container that did these things, Docker 20.10.24 with overlay2; the layer is as it committed it.
DOCKER_LINES = """
A /brand;A /brand/new;C /d;D /d/f;D /d/s;C /e;C /e/one;D /e/x;C /f;C /f/deep;C /f/deep/file;C /fifo;C /h;C /h/a;A /h/b3
C /link;C /modd;C /n;A /n/moved;A /n/moved/q;D /n/nn;C /ownd;C /todir;A /todir/y;C /tofile;C /top
""".strip().replace("\n", ";").split(";")  # fmt: skip
# Written again as they were (a new name elsewhere, chmod to the same mode), and a directory that is as empty as before.
DOCKER_DOES_NOT_SEE = ["C /h/b", "C /k", "C /m", "C /m/keep"]


def test_a_committed_layer_has_the_lines_of_docker_diff():
    answer = list_changes(open_built(layer(*DOCKER_BASE), layer(*DOCKER_UPPER)), layer=1, noise=True)
    assert sorted(letters(answer.layers[0].changes)) == sorted(DOCKER_LINES + DOCKER_DOES_NOT_SEE)


def read_corpus(*names: str) -> dict[str, bytes]:
    with (
        zstandard.open(SHARED / "corpus" / "small.tar.zst", "rb") as plain,
        tarfile.open(fileobj=plain, mode="r|") as t,
    ):
        return {m.name: t.extractfile(m).read() for m in t if m.name.endswith(names)}


def overlay_layers(root: bytes, container: str) -> Iterator[bytes]:
    """A container's directories as the layers that they would be committed as, its own last."""
    with tarfile.open(fileobj=io.BytesIO(root)) as read:
        members = {m.name: m for m in read}
        content = {name: read.extractfile(m).read() for name, m in members.items() if m.isreg()}
    mounts = {name.split("/")[-2]: data.decode() for name, data in content.items() if name.endswith("/mount-id")}
    links = {f"l/{data.decode()}": name.rsplit("/", 1)[0] for name, data in content.items() if name.endswith("/link")}
    top = next(where for where in links.values() if where.endswith(mounts[container]))
    lower = content[f"{top}/lower"].decode().split(":")
    for where in (*(links[name] for name in reversed(lower)), top):
        prefix = f"{where}/diff/"
        yield layer(*(m for name, info in members.items() if name.startswith(prefix)
                      for m in as_committed(info, name.removeprefix(prefix), prefix, content)))  # fmt: skip


def as_committed(info: tarfile.TarInfo, name: str, prefix: str, content: dict[str, bytes]) -> Iterator[Member]:
    if info.ischr() and (info.devmajor, info.devminor) == (0, 0):
        yield whiteout(name)
        return
    link = info.linkname.removeprefix(prefix)
    data = content[info.name] if info.isreg() else b""
    kind = info.type.decode()
    yield Member(name, kind, data, info.mode, info.uid, info.gid, info.mtime, link, (info.devmajor, info.devminor))
    if "SCHILY.xattr.trusted.overlay.opaque" in info.pax_headers:
        yield opaque(name)


@needs_shared
@pytest.mark.conformance
@pytest.mark.parametrize("version", ["docker20", "docker28"])
def test_containers_of_a_data_root_have_the_lines_that_docker_recorded(version):
    root = f"h1-dataroot.{version}.tar"
    found = read_corpus(root, "-changed.txt.json", "-clean.txt.json", "-ran.txt.json", "containers.json")
    by_name = {name.rpartition("/")[2]: data for name, data in found.items()}
    containers = json.loads(by_name[f"h1-dataroot.{version}.containers.json"])
    assert len(containers) == 3
    for container in containers:
        which = container["Name"].rpartition("-")[2]
        recorded = json.loads(by_name[f"h1-dataroot.{version}.diff-{which}.txt.json"])["lines"]
        layers = list(overlay_layers(by_name[root], container["Id"]))
        answer = list_changes(open_built(*layers), layer=len(layers) - 1, noise=True)
        assert sorted(letters(answer.layers[0].changes)) == sorted(recorded)


# -- properties ------------------------------------------------------------------------------------

Listing = dict[str, Entry]
ASPECTS = {
    "content": lambda e: (e.size, e.sha256),
    "mode": lambda e: e.mode,
    "owner": lambda e: (e.uid, e.gid),
    "mtime": lambda e: e.mtime,
    "link": lambda e: e.link,
    "xattrs": lambda e: e.xattrs,
    "rdev": lambda e: e.rdev,
}


def facts(entry: Entry, *, but: Sequence[str] = ()) -> dict[str, object]:
    return {"type": entry.type} | {name: get(entry) for name, get in ASPECTS.items() if name not in but}


def remove_below(view: Listing, top: str) -> int:
    below = [path for path in view if path.startswith(top + "/")]
    for path in below:
        del view[path]
    return len(below)


def apply_change(view: Listing, change: Change) -> None:
    """Carry out a change as somebody would who has nothing but the list."""
    before = view.get(change.path)
    after = change.after.entry if change.after else None
    assert (before is None) == (change.kind == "A")
    assert (after is None) == (change.kind == "D")
    gone = before is not None and before.type == "dir" and (after is None or after.type != "dir")
    assert change.below == (remove_below(view, change.path) if gone else 0)
    if after is None:
        del view[change.path]
        return
    if before is not None and "type" not in change.what:
        assert facts(before, but=change.what) == facts(after, but=change.what)
        assert all(ASPECTS[aspect](before) != ASPECTS[aspect](after) for aspect in change.what)
    assert change.path.rpartition("/")[0] in {"", *view}
    view[change.path] = after


def check_each_step(indexes: Sequence[LayerIndex], engine: str) -> None:
    view: Listing = {}
    without_noise: Listing = {}
    for trace in trace_layers(indexes, engine=engine):
        for change in fold_events(trace.events):
            apply_change(view, change)
            if not change.is_noise:
                if change.below:
                    remove_below(without_noise, change.path)
                without_noise.pop(change.path, None)
                if change.after:
                    without_noise[change.path] = change.after.entry
        merged = merge_layers(indexes[: trace.layer + 1], engine=engine)
        assert {path: facts(e) for path, e in view.items()} == {path: facts(e) for path, e in merged.items()}
        assert {path: known(e) for path, e in without_noise.items()} == {path: known(e) for path, e in merged.items()}


@settings(deadline=None)
@given(LAYERS, st.sampled_from(ENGINES))
def test_changes_lead_from_each_listing_to_the_next(layers, engine):
    check_each_step([index_layer([plain], hashed=False, contents=True) for plain in layers], engine)


@needs_shared
@pytest.mark.conformance
@pytest.mark.parametrize("engine", ENGINES)
def test_changes_lead_from_each_listing_to_the_next_in_the_reference_cases(engine):
    checked = 0
    for path in sorted(CASES.glob("*.oci.tar")):
        try:
            indexes = [each.read(contents=True) for each in open_images(path).images[0].layers]
        except TarlayersError:
            continue
        check_each_step(indexes, engine)
        checked += 1
    assert checked > 150


def known(entry: Entry) -> dict[str, object]:
    return facts(entry, but=("mtime",) if entry.type == "dir" else ())


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    upper = layer(directory("d", mtime=1), whiteout("d/s"), file("d/\x1b[31m", b"1"), hardlink("bad", "nowhere"))
    path = tmp_path_factory.mktemp("changes") / "app.tar"
    path.write_bytes(archive("docker-25", image(BASE, upper)))
    return path


def test_one_layer_prints_changes_alone(saved):
    done = run("changes", saved, "--layer", "1", "--all", "-q")
    assert (done.code, done.stderr) == (0, "")
    assert done.lines == ["C /d", r"A /d/\x1b[31m", "D /d/s"]


def test_long_says_what_changed_and_why_it_is_gone(saved):
    assert run("changes", saved, "--layer", "1", "--all", "-l", "-q").lines == [
        "C mtime       /d", r"A 1B          /d/\x1b[31m", "D whiteout +2 /d/s",
    ]  # fmt: skip


def test_layers_that_have_nothing_to_do_with_a_path_are_left_out(saved):
    lines = run("changes", saved, "/d/f").lines
    assert [line.split()[2] for line in lines if line.startswith("#")] == ["0"]


def test_several_layers_are_headed(saved):
    done = run("changes", saved, "/d")
    heads = [line for line in done.lines if line.startswith("#")]
    assert [head.split()[:3] for head in heads] == [["#", "layer", "0"], ["#", "layer", "1"]]
    assert heads[1].endswith("(1 A, 0 C, 1 D, 1B) step 1")
    assert done.lines[-2:] == [r"A /d/\x1b[31m", "D /d/s"]
    assert "layer 1: /bad: engines refuse this layer" in done.stderr


def test_json(saved):
    done = run("changes", saved, "-f", "json", "--layer", "-1")
    document = done.json
    (found,) = document["layers"]
    assert document["schema"] == "tarlayers.changes/1"
    assert document["refused"][0]["code"] == "not-found"
    assert found["diff_id"].startswith("sha256:")
    assert {key: found[key] for key in ("index", "created_by", "added", "changed", "deleted", "bytes")} == {
        "index": 1, "created_by": "step 1", "added": 1, "changed": 0, "deleted": 1, "bytes": 1,
    }  # fmt: skip
    assert found["changes"] == [
        {"kind": "A", "path": "/d/\x1b[31m", "type": "file", "what": [], "size": 1, "cause": "entry"},
        {"kind": "D", "path": "/d/s", "type": "dir", "what": [], "cause": "whiteout", "below": 2},
    ]


@pytest.mark.parametrize("command", [("changes",), ("log", "/d/s"), ("blame",)], ids=" ".join)
def test_a_stream_gives_the_same(saved, command):
    name, *rest = command
    from_file = run(name, saved, *rest, "-f", "json")
    assert from_file.code == 0
    assert run(name, "-", *rest, "-f", "json", stdin=saved.read_bytes()).stdout == from_file.stdout


def test_a_bare_layer_in_a_stream_still_has_its_digest(tmp_path):
    (tmp_path / "layer.tar").write_bytes(BASE)
    from_file = run("changes", tmp_path / "layer.tar", "-f", "json")
    assert from_file.json["layers"][0]["diff_id"] == image(BASE).diff_ids[0]
    assert run("changes", "-", "-f", "json", stdin=BASE).stdout == from_file.stdout


def test_an_unknown_layer_is_a_wrong_call(saved):
    done = run("changes", saved, "--layer", "7")
    assert (done.code, done.stdout) == (2, b"")
    assert "no layer 7: the image has 2" in done.stderr
