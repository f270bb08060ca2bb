"""`tarlayers containers`, and the other commands on data roots, as they are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build import archive, device, directory, file, image, layer, sha256
from tests.dataroot import Root, container, docker_root, pack_root, write_root
from tests.run import run as run_command

APP = image(layer(directory("etc"), file("etc/x", b"1"), file("y", b"22")), names=("example.org/app:v1",))
WEB = container("web", APP, directory("etc"), device("etc/x", 0, 0), file("new\x1b", b"333"))
ROOT = docker_root([APP], [WEB, container("api", APP, Running=True)])

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call a command in a directory that holds `root.tar`: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.tar").write_bytes(pack_root(ROOT, "docker"))

    def call(*words: str) -> tuple[int, str, str]:
        ran = run_command(*words)
        return ran.code, ran.stdout.decode(), ran.stderr

    return call


def test_containers_are_one_line_each(run: Run) -> None:
    code, out, err = run("containers", "root.tar")
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split("  ")[0] == "CONTAINER ID"
    words = {row.split()[1]: row.split() for row in rows}
    assert words["web"][:5] == [WEB.id[:12], "web", "example.org/app:v1", "2024-06-01T12:00:00Z", "created"]
    assert words["api"][4] == "running"


def test_json_has_what_docker_inspect_has(run: Run) -> None:
    code, out, _ = run("containers", "root.tar", "-f", "json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "tarlayers.containers/1")
    web = next(each for each in document["containers"] if each["name"] == "web")
    assert {key: web[key] for key in ("id", "image_id", "created", "mount_id", "state")} == {
        "id": WEB.id,
        "image_id": f"sha256:{sha256(APP.config_bytes)}",
        "created": "2024-06-01T12:00:00.5Z",
        "mount_id": WEB.id,
        "state": "created",
    }
    assert web["UpperDir"] == f"/var/lib/docker/overlay2/{WEB.id}/diff"
    assert set(web) == {
        "id", "name", "image_id", "created", "mount_id", "state", "LowerDir", "UpperDir", "MergedDir", "WorkDir",
    }  # fmt: skip


def test_a_container_is_shown_by_the_reference_that_chose_it(run: Run) -> None:
    """`#@0` is the first image."""
    assert run("inspect", "root.tar#container:web")[1].splitlines()[2] == "#container:web"
    assert run("inspect", f"root.tar#container:{WEB.id}")[1].splitlines()[2] == "#container:web"
    assert run("inspect", "root.tar#v1")[1].splitlines()[2] == "#@0 example.org/app:v1"


def test_changes_of_a_container_are_its_own_layers(run: Run) -> None:
    assert run("changes", "--all", "root.tar#container:web") == (
        0,
        "C /etc\nD /etc/x\nA /new\\x1b\n",
        "",
    )
    assert run("changes", "root.tar#container:web", "--layer", "0")[1].splitlines() == ["A /etc", "A /etc/x", "A /y"]


CALLS = {
    "not a root": (("containers", "app.tar"), 3, "is no data root (docker-archive)"),
    "no such container": (("ls", "root.tar#container:nobody"), 2, "#container:web"),
    "no such image": (("ls", "root.tar#nothing"), 2, "example.org/app:v1"),
    "no such path": (("cat", "root.tar#container:web", "/etc/x"), 1, "not in the image"),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_wrong_call_says_what_is_there(what: str, run: Run) -> None:
    words, expected, reason = CALLS[what]
    Path("app.tar").write_bytes(archive("docker-20", APP))
    code, out, err = run(*words)
    assert (code, out) == (expected, "")
    assert reason in err
    assert err.count("\n") == 1


def test_layers_inspect_and_history_of_a_root(run: Run) -> None:
    (found,) = json.loads(run("layers", "root.tar#v1", "-f", "json")[1])["layers"]
    assert (found["role"], found.get("parent"), found["size"], found["content_size"]) == ("image", None, 3, 3)
    assert len(found["cache_id"]) == 64
    assert "(container layer)" in run("layers", "root.tar#container:web")[1]
    assert run("inspect", "root.tar")[1].splitlines()[0].endswith("1 image, 2 containers")
    assert run("history", "root.tar#container:web")[2] == ""


def spoil(root: Root) -> Root:
    place = next(path for path in root if path.endswith("/diff/y"))
    return {**root, place: file(place, b"23")}


def test_verify_ends_as_the_root_is(run: Run) -> None:
    code, out, _ = run("verify", "root.tar")
    assert (code, out.splitlines()[-1].endswith("everything is as claimed")) == (0, True)
    Path("bad.tar").write_bytes(pack_root(spoil(ROOT)))
    code, out, _ = run("verify", "bad.tar", "-f", "json")
    assert code == 1
    assert [f["code"] for f in json.loads(out)["findings"]] == ["V101", "V003"]


def test_what_a_copy_cannot_tell_is_a_warning(run: Run) -> None:
    bare = {path: member for path, member in ROOT.items() if not path.startswith("overlay2/")}
    write_root(bare, Path("copy"))
    code, out, err = run("changes", "copy#v1")
    assert (code, out.splitlines()) == (0, ["A /etc", "A /etc/x", "A /y"])
    assert err.endswith("app:v1: the copy lacks the files of 1 layer: contents are not known\n")
    assert run("changes", "copy#v1", "-q")[2] == ""


def test_faults_are_warned_of(run: Run) -> None:
    place = next(path for path in ROOT if path.endswith("repositories.json"))
    Path("bad.tar").write_bytes(pack_root({**ROOT, place: file(place, b"[]")}))
    code, _, err = run("inspect", "bad.tar")
    assert (code, "warning: image/overlay2/repositories.json" in err) == (0, True)
