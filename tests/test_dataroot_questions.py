"""A data root answers every question as the archive that the same daemon saved of it; every command, both images."""

from __future__ import annotations

import errno
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.build import directory, extract_tar, file, image, layer, whiteout
from tests.dataroot import Root, container, docker_root, podman_root, write_root
from tests.paths import TESTDATA
from tests.run import run

ROOT, SAVED = TESTDATA / "shop.dataroot.tar", TESTDATA / "shop.docker.tar"
IMAGES = ("example.org/shop:v1", "example.org/shop:v2")

# What says where layers lie, not what they are: as on disk in a root, as stored in an archive.
PLACES = {"archive", "cache_id", "parent", "role", "compression", "size_on_disk", "checked"}

QUESTIONS = (
    "inspect",
    "layers",
    "history",
    "history --no-size",
    "history --no-trunc",
    "ls",
    "ls -R --digests",
    "ls -lR --at 1",
    "ls --tree",
    "ls --du",
    "ls --only 0 --digests",
    "ls --only 1 --digests",
    "ls --only 2 --digests",
    "ls --type file --match *.py",
    "ls /nowhere",
    "cat /srv/app/run.sh",
    "cat /etc/passwd --only 0",
    "cat /nowhere",
    "changes",
    "changes --all",
    "changes --layer 1",
    "log /etc/passwd",
    "log /nowhere",
    "blame",
    "blame -l",
    "waste",
    "waste --digests",
    "hidden",
    "hidden --secrets",
    "lint",
    "verify",
    "export",
    "export --at 0",
)


def ask(archive: Path, name: str, words: Sequence[str], *more: str) -> tuple[int, bytes, str]:
    command, *options = words
    ran = run(command, f"{archive}#{name}", *options, *more)
    return ran.code, ran.stdout, ran.stderr.replace(str(archive), "ARCHIVE")


def without_places(value: object) -> object:
    """A layer has in a root the size of its files on disk, and no digest; in an archive those of its tar."""
    if isinstance(value, dict):
        left_out = PLACES | ({"size", "digest"} if "chain_id" in value else set())
        return {key: without_places(each) for key, each in value.items() if key not in left_out}
    return [without_places(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_root_answers_as_the_archive_that_was_saved_of_it(question: str, name: str) -> None:
    words = question.split()
    raw = words[0] in ("cat", "export")
    here, there = (ask(archive, name, words, *() if raw else ("-f", "json")) for archive in (ROOT, SAVED))
    assert (here[0], here[2]) == (there[0], there[2])
    if raw or not here[1]:
        assert here[1] == there[1]
    else:
        assert without_places(json.loads(here[1])) == without_places(json.loads(there[1]))


@pytest.mark.parametrize("name", IMAGES)
def test_a_root_does_not_differ_from_what_was_saved_of_it(name: str) -> None:
    ran = run("diff", f"{ROOT}#{name}", f"{SAVED}#{name}", "--exit-code", "--mtime", "-f", "json")
    assert ran.code == 0 and ran.json["identical"] is True


@pytest.mark.parametrize("name", IMAGES)
def test_a_root_is_held_to_a_policy_as_the_archive_is(name: str) -> None:
    verdicts = []
    for archive in (ROOT, SAVED):
        words = (
            "--policy",
            TESTDATA / "shop-policy.toml",
            "--baseline",
            f"{archive}#example.org/shop:v1",
            "-f",
            "json",
        )
        ran = run("check", f"{archive}#{name}", *words)
        verdicts.append((ran.code, [{**rule, "image": ""} for rule in ran.json["rules"]]))
    assert verdicts[0] == verdicts[1]


def test_no_command_writes_to_a_root(tmp_path: Path) -> None:
    """Nor through what is made beside a file: not one time of an inode or directory changes."""
    with tarfile.open(ROOT) as packed:
        extract_tar(packed, tmp_path / "root", [member for member in packed if not member.isdev()])
    before = look(tmp_path)
    for question in QUESTIONS:
        ask(tmp_path / "root", IMAGES[1], question.split())
    assert run("containers", tmp_path / "root").code == 0
    assert run("changes", "--all", f"{tmp_path / 'root'}#container:web").code == 0
    assert look(tmp_path) == before


def look(where: Path) -> dict[Path, tuple[int, ...]]:
    found = ((path, path.lstat()) for path in sorted(where.rglob("*")))
    return {path: (s.st_ino, s.st_mode, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found}


def test_a_container_whose_files_were_not_copied_is_said_to_lack_them(tmp_path: Path) -> None:
    with tarfile.open(ROOT) as packed:
        kept = [member for member in packed if not member.name.startswith("docker/overlay2/")]
        extract_tar(packed, tmp_path / "root", kept)
    ran = run("changes", f"{tmp_path / 'root'}#container:web")
    assert ran.code == 3 and "the copy lacks the files of this" in ran.stderr and "/diff)" in ran.stderr


def test_a_container_of_vfs_is_said_not_to_be_kept_apart(tmp_path: Path) -> None:
    with tarfile.open(ROOT) as packed:
        kept = [member for member in packed if not member.name.startswith("docker/overlay2/")]
        extract_tar(packed, tmp_path, kept)
    (tmp_path / "docker/image/overlay2").rename(tmp_path / "docker/image/vfs")
    for config in tmp_path.glob("docker/containers/*/config.v2.json"):
        config.write_bytes(config.read_bytes().replace(b"overlay2", b"vfs"))
    ran = run("changes", f"{tmp_path}#container:web")
    assert ran.code == 3 and "vfs does not keep the files of this init layer apart" in ran.stderr


APP = image(layer(directory("etc"), file("etc/a", b"1"), file("etc/b")), layer(whiteout("etc/b")), names=("app:v1",))
WEB = container("web", APP, directory("etc"), file("etc/new", b"1"))


@pytest.mark.parametrize(
    ("build", "driver"), [(docker_root, "overlay2"), (podman_root, "overlay")], ids=["docker", "podman"]
)
def test_only_what_needs_the_unpacked_files_fails_where_they_may_not_be_read(
    build: Callable[..., Root], driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_root(build([APP], [WEB]), tmp_path / "root")
    asked = ("inspect -f json {}", "containers -f json {}", "ls -R {}#app:v1", "blame {}#app:v1", "waste {}#app:v1")
    refused = ("cat {}#app:v1 /etc/a", "changes {}#app:v1", "ls {}#container:web", "export {}#app:v1 -o -")

    def answer(question: str) -> tuple[int, bytes, str]:
        return run(*question.replace("{}", str(root)).split())

    wanted = [answer(question) for question in asked]
    forbidden = f"{root / driver}/"
    for name in ("lstat", "listdir", "readlink", "open"):
        plain = getattr(os, name)

        def refuse(path: Any, *more: Any, _plain: Any = plain, **how: Any) -> Any:
            if str(path).startswith(forbidden):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return _plain(path, *more, **how)

        monkeypatch.setattr(os, name, refuse)
    assert [answer(question) for question in asked] == wanted
    for question in refused:
        code, _, said = answer(question)
        assert code == 3, question
        assert forbidden in said
        assert said.endswith(": Permission denied\n")
