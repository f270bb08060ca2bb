"""What every command has in common: help, usage errors, and how words are read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tarlayers.cli.app import COMMANDS
from tarlayers.cli.words import find_joined_help, spell_help
from tests.build import directory, file, layer
from tests.paths import ROOT, TESTDATA
from tests.run import run

SHOP = TESTDATA / "shop.docker.tar"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_calls_the_command(name: str) -> None:
    shown = run(name, "--help").stdout.decode()
    assert shown.startswith(f"Usage: tarlayers {name} ")
    assert "{" not in shown.splitlines()[0]
    assert f"Example: tarlayers {name} " in shown
    if name not in ("tarsplit", "cache"):  # groups
        assert re.search(r"\[default:\s+\(?text\)?\]", shown) or "--format" not in shown


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["help"], ["--help"]),
        (["help", "ls"], ["ls", "--help"]),
        (["ls", "help"], ["ls", "help"]),
        ([], []),
    ],
)
def test_help_is_a_command_too(words: list[str], meant: list[str]) -> None:
    assert spell_help(words) == meant


@pytest.mark.parametrize("words", [[], ["tarsplit"]])
def test_no_command_at_all_is_a_wrong_call_that_shows_the_help(words: list[str]) -> None:
    done = run(*words)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith("Usage: tarlayers")
    assert "\nCommands:\n" in done.stderr


WRONG = {
    "an unknown command": (["layrs", SHOP], "No such command 'layrs'. Did you mean 'layers'?"),
    "no image": (["ls"], "Missing argument 'IMAGE'."),
    "an unknown option": (["ls", "--nope", SHOP], "No such option: --nope"),
    "an unknown format": (["layers", "-f", "yaml", SHOP], "Invalid value for '--format' / '-f': 'yaml'"),
    "an empty path": (["inspect", ""], "Invalid value for IMAGE: names no path"),
    "a reference without a path": (["inspect", "#app"], "Invalid value for IMAGE: names no path"),
    "a view of one layer": (
        ["ls", "--at", "1", "--only", "1", SHOP],
        "Invalid value for --at: is about the merged view",
    ),
    "a tree of one layer": (
        ["ls", "--tree", "--only", "1", SHOP],
        "Invalid value for --tree: is about the merged view",
    ),
    "a file of two views": (
        ["cat", "--at", "1", "--only", "1", SHOP, "/x"],
        "Invalid value for --at: is about the merged view",
    ),
    "a tree with sizes": (["ls", "--du", "--tree", SHOP], "Invalid value for --tree: does not go with --du"),
    "a tree with digests": (
        ["ls", "--tree", "--digests", SHOP],
        "Invalid value for --digests: does not go with --tree",
    ),
    "sizes with digests": (["ls", "--du", "--digests", SHOP], "Invalid value for --digests: does not go with --du"),
    **{
        f"{option} of no files": (
            ["diff", "--only", "config,layers", f"{SHOP}#v1", f"{SHOP}#v2", *words],
            f"Invalid value for {option}: is about files, which --only leaves out",
        )
        for option, words in {
            "PATH": ["/srv"],
            "--stat": ["--stat"],
            "--ignore": ["--ignore", "x"],
            "--mtime": ["--mtime"],
        }.items()
    },
    "a patch of times": (
        ["diff", "--patch", "/x", "--mtime", SHOP, SHOP],
        "Invalid value for --mtime: does not go with --patch",
    ),
    "a long tree": (["ls", "--tree", "-l", SHOP], "Invalid value for --long: does not go with --tree"),
    "long sizes": (["ls", "-l", "--du", SHOP], "Invalid value for --long: does not go with --du"),
    "a patch of a directory": (
        ["diff", SHOP, SHOP, "/etc", "--patch", "/x"],
        "Invalid value for PATH: does not go with --patch",
    ),
    "a patch summed up": (
        ["diff", "--stat", "--patch", "/x", SHOP, SHOP],
        "Invalid value for --stat: does not go with --patch",
    ),
    "a patch of layers": (
        ["diff", "--only", "layers", "--patch", "/x", SHOP, SHOP],
        "Invalid value for --only: does not go with --patch",
    ),
    "a patch without files": (
        ["diff", "--ignore", "*.pyc", "--patch", "/x", SHOP, SHOP],
        "Invalid value for --ignore: does not go with --patch",
    ),
    "the containers of an image": (
        ["containers", f"{TESTDATA}/shop.dataroot.tar#shop"],
        "Invalid value for ROOT: all containers are listed: give it without #REF",
    ),
    "hard links of a merged view": (
        ["ls", "--type", "file,hardlink", SHOP],
        "Invalid value for --type: no such type: hardlink (there are block, char, dir, fifo, file, symlink; layers",
    ),
    "a type that does not exist": (
        ["ls", "--only", "0", "--type", "link", SHOP],
        "Invalid value for --type: no such type: link (there are block, char, dir, fifo, file, hardlink, symlink, unk",
    ),
    "a limit that is misspelled": (
        ["ls", "--limit", "entires=3", SHOP],
        "Invalid value for --limit: no limit is called 'entires'; did you mean entries?",
    ),
    "a limit that is like no other": (
        ["ls", "--limit", "xyz=3", SHOP],
        "Invalid value for --limit: no limit is called 'xyz'; there are document_bytes ",
    ),
    "an empty output": (["export", SHOP, "-o", ""], "Invalid value for --output: names no file"),
    "an empty destination": (["extract", SHOP, ""], "Invalid value for DEST: names no directory"),
    "one argument too many": (["inspect", SHOP, "x"], "Got unexpected extra argument"),
}


@pytest.mark.parametrize(("words", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_one_line_and_exit_2(words: list, reason: str) -> None:
    done = run(*words)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"tarlayers: {reason}")
    assert re.search(r"\(see tarlayers( [a-z]+)? --help\)\n$", done.stderr)
    assert done.stderr.count("\n") == 1


IMAGE = f"{SHOP}#v2"
PIPED = [
    ["ls", "-R", IMAGE],
    ["ls", "-R", "-f", "json", IMAGE],
    ["inspect", IMAGE],
    ["history", IMAGE],
    ["cache", "info"],
    ["tarsplit", "--help"],
    ["ls", "--help"],
    ["--help"],
    ["--version"],
]


@pytest.mark.parametrize("words", PIPED, ids=lambda words: " ".join(words[:2]))
def test_a_closed_pipe_ends_quietly(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "tarlayers", *words],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_version_of_code_that_is_not_installed_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> str:
        raise PackageNotFoundError(name)

    assert re.fullmatch(rb"tarlayers \d+\.\d+\.\d+\n", run("--version").stdout)
    monkeypatch.setattr("tarlayers.version.version", fail)
    assert run("--version").stdout == b"tarlayers unknown\n"


DOTS = "names that begin with a dot are always listed"
SIZES = "-l has sizes in bytes, --du rounds them"
HABITS = {
    "ls -la": f"No such option: -a; {DOTS} (see tarlayers ls --help)",
    "ls --all": f"No such option: --all; {DOTS} (Possible options: --at) (see tarlayers ls --help)",
    "ls -lh": f"-lh: -h is --help and stands alone; {SIZES} (see tarlayers ls --help)",
    "changes -hl": "-hl: -h is --help and stands alone (see tarlayers changes --help)",
    "diff -u": "No such option: -u; --patch PATH has the lines of a file (see tarlayers diff --help)",
    "tarsplit ls -a": "No such option: -a (see tarlayers tarsplit ls --help)",
}


@pytest.mark.parametrize(("words", "said"), HABITS.items(), ids=HABITS)
def test_an_option_of_a_program_of_the_same_name_gets_a_hint(words: str, said: str) -> None:
    done = run(*words.split(), SHOP, SHOP)
    assert (done.code, done.stdout, done.stderr) == (2, b"", f"tarlayers: {said}\n")


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("-h", None),
        ("--help", None),
        ("-lh", "-lh"),
        ("x -hR y", "-hR"),
        ("-oh", None),
        ("-loh", None),
        ("-hol", "-hol"),
        ("-o -lh", None),
        ("-- -lh", None),
        ("--match", None),
        ("-1h", None),
        ("-", None),
        ("-ll", None),
    ],
)
def test_help_is_joined_with_nothing(words: str, joined: str | None) -> None:
    assert find_joined_help(words.split(), {"-o", "--output"}) == joined


@pytest.mark.parametrize("words", ["ls", "check", "cache info", "tarsplit ls"])
def test_an_option_without_its_value_names_the_command(words: str) -> None:
    done = run(*words.split(), "x", "-f")
    assert (done.code, done.stderr) == (
        2,
        f"tarlayers: Option '-f' requires an argument. (see tarlayers {words} --help)\n",
    )


def test_a_current_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for words in (["check", SHOP], ["export", f"{SHOP}#v1", "-o", "x"]):
        done = run(*words)
        assert (done.code, done.stderr) == (3, "tarlayers: current directory: No such file or directory\n")


def test_what_has_no_name_is_listed_without_one(tmp_path: Path) -> None:
    (tmp_path / "bare.tar").write_bytes(layer(file("a")))
    done = run("ls", f"{tmp_path}/bare.tar#v9")
    assert (done.code, done.stderr) == (2, f"tarlayers: {tmp_path}/bare.tar: no image fits #v9; there are #@0\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "notes.txt",
            " at offset 0: the archive ends inside a header: it is cut short, or not a tar archive, compressed or not",
        ),
        ("index.json", ": a document of an image, not an archive: give the directory that it is in"),
        ("manifest.json", ": a document of an image, not an archive: give the directory that it is in"),
        ("oci-layout", ": a document of an image, not an archive: give the directory that it is in"),
    ],
)
def test_a_small_file_that_is_no_archive(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"schemaVersion":2}')
    done = run("inspect", tmp_path / name)
    assert (done.code, done.stderr) == (3, f"tarlayers: {tmp_path / name}{reason}\n")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("alpine:3.20", "an archive is needed, as of: docker save alpine:3.20 -o app.tar)"),
        ("docker://ghcr.io/a/b@sha256:" + "0" * 64, "an archive is needed, as of: docker save ghcr.io/a/b@sha256:"),
        ("app.tar:v1", "an image in an archive is named app.tar#v1)"),
        ("docker-archive:app.tar:v1", "an image in an archive is named app.tar#v1)"),
        ("app.tar@0", "an image in an archive is named app.tar#@0)"),
        ("oci-archive:app.tar", "the path alone is its name: app.tar)"),
        ("nowhere.tar", None),
        ("nowhere.tar.gz:v1", None),
        ("some/where", None),
    ],
)
def test_names_as_other_tools_have_them_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, hint: str | None
) -> None:
    (tmp_path / "app.tar").write_bytes(layer(file("a")))
    monkeypatch.chdir(tmp_path)
    for words in (["ls", path], ["verify", path], ["diff", "app.tar", path]):
        ran = run(*words)
        wanted = f"tarlayers: {path}: No such file or directory"
        assert (ran.code, ran.stdout) == (3, b"")
        assert ran.stderr.startswith(f"{wanted} ({hint}") if hint else ran.stderr == f"{wanted}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    "name",
    [
        "\udcff",
        "\udcffb",
        "new\nline",
        "\x1b[2J",
        "\x7f",
        "\u0085c1",
        "\u00ad",
        "\u202ertl",
        "\U000e0001t",
        "it's\udcfe",
        "a\\b\udcff",
        "\t'\\",
    ],
)
def test_a_path_that_was_copied_as_it_was_printed_gets_a_hint_with_which_it_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(layer(directory("d"), file(f"d/{name}", b"found")))
    printed = run("ls", path, "/d").stdout.decode().removesuffix("\n")
    for words in (["ls", path], ["cat", path], ["log", path], ["blame", path], ["changes", path], ["diff", path, path]):
        ran = run(*words, printed)
        assert (ran.code, ran.stdout) == (1, b"")
        assert ran.stderr.startswith(f"tarlayers: {printed}: ")
    (word,) = re.findall(r" \(if it was printed like this, a shell writes it (\$'.*')\)\n", ran.stderr)
    given = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True
    )
    assert run("cat", path, os.fsdecode(given.stdout)).stdout == b"found"


@pytest.mark.parametrize("path", ["/nowhere", "/with\\backslash", "/\\xZZ", "/\udcff", "/\\u12"])
def test_other_paths_that_are_not_there_get_no_hint(path: str) -> None:
    assert "shell" not in run("ls", f"{SHOP}#v1", path).stderr
