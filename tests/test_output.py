"""Files that a command writes: whole or not at all, under the name that was given."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tarlayers.cli.output import write_file
from tarlayers.errors import MalformedInput
from tests.build import archive, file, image, layer
from tests.paths import ROOT, TESTDATA
from tests.run import run


def failing() -> Iterator[bytes]:
    yield b"half"
    raise MalformedInput("damaged", place="layer 1")


def test_a_symlink_stays_and_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "link").symlink_to("releases/current")
    for content in (b"of a link that led nowhere yet", b"once more"):
        write_file(str(tmp_path / "link"), [content])
        assert (tmp_path / "link").readlink() == Path("releases/current")
        assert (tmp_path / "releases/current").read_bytes() == content
    assert [each.name for each in (tmp_path / "releases").iterdir()] == ["current"]


def test_a_mode_is_kept_and_a_new_files_is_the_umasks(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "new"), [b"1"])
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o604)
        write_file(str(tmp_path / "new"), [b"2"])
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize("there", [b"", b"what was there"])
def test_a_failure_leaves_what_was_there(there: bytes, tmp_path: Path) -> None:
    if there:
        (tmp_path / "out").write_bytes(there)
    with pytest.raises(MalformedInput):
        write_file(str(tmp_path / "out"), failing())
    assert [each.name for each in tmp_path.iterdir()] == (["out"] if there else [])
    assert not there or (tmp_path / "out").read_bytes() == there


FAULTS = {
    "no such directory": ("nowhere/out", None, errno.ENOENT),
    "a disk that is full": ("out", "write", errno.ENOSPC),
    "a disk that is full when the last bytes come": ("out", "close", errno.ENOSPC),
    "a name that cannot be taken": ("out", "replace", errno.EBUSY),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_name_what_was_asked_for(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, step, number = FAULTS[fault]
    path = str(tmp_path / name)
    real = Path.open

    class Full:
        def __init__(self, path: Path, mode: str) -> None:
            self._file = real(path, mode)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def write(self, data: bytes) -> int:
            if step == "write":
                raise OSError(number, os.strerror(number))
            return self._file.write(data)

        def close(self) -> None:
            self._file.close()
            if step == "close":
                raise OSError(number, os.strerror(number))

    def replace(source: Path, _: Path) -> None:
        raise OSError(number, os.strerror(number), str(source))

    def open_full(path: Path, mode: str) -> Full:
        return Full(path, mode)

    monkeypatch.setattr(Path, "open", open_full)
    if step == "replace":
        monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write_file(path, [b"content"])
    assert (caught.value.errno, caught.value.filename) == (number, path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    write_file(str(tmp_path / ("n" * 255)), [b"1"])
    assert (tmp_path / ("n" * 255)).read_bytes() == b"1"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an archive under three names, a layer, and a policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A").write_bytes(archive("docker-25", image(layer(file("a", b"1" * 100)))))
    (tmp_path / "soft").symlink_to("A")
    (tmp_path / "hard").hardlink_to("A")
    (tmp_path / "layer").write_bytes(layer(file("a", b"1" * 100)))
    (tmp_path / "P").write_text("max_layers = 5\n")
    return tmp_path


OVER_INPUTS = [
    *(f"index A -o {name}" for name in ("A", "./A", "soft", "hard")),
    "index soft -o A",
    "index A#@0 -o A",
    "index - -o A",
    "export A -o hard",
    "check A -p P -f json -o A",
    "check soft -p P -f json -o hard",
    "check A -p P -f json -o P",
    "check layer --baseline A -p P -f json -o A",
    "tarsplit disasm layer --output layer --no-stdout",
    "tarsplit asm --input S --layer layer --output layer",
    "tarsplit asm --input S --layer layer --output S",
]


@pytest.mark.parametrize("words", OVER_INPUTS)
def test_an_input_is_never_written_over(here: Path, words: str) -> None:
    assert run("tarsplit", "disasm", "layer", "--output", "S", "--no-stdout").code == 0
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    with (here / "A").open("rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "tarlayers", *words.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    output = words.split()[words.split().index("--output" if "tarsplit" in words else "-o") + 1]
    assert f"for --output: {output}: input file is output file" in done.stderr
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_standard_output_may_not_be_the_input_either(here: Path) -> None:
    before = (here / "A").read_bytes()
    with (here / "A").open("ab") as out:
        words = [sys.executable, "-m", "tarlayers", "export", "A"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, env=env, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "standard output: input file is output file" in done.stderr
    assert (here / "A").read_bytes() == before


@pytest.mark.usefixtures("here")
def test_what_loses_nothing_may_be_written_to() -> None:
    reports = ["-f", "json", "-o", "/dev/null", "-f", "sarif", "-o", "/dev/null"]
    assert run("check", "A", "-p", "P", *reports).code == 0
    assert run("index", "A", "-o", "B").code == run("index", "A", "-o", "B").code == 0
    assert run("export", "A", "-o", "/dev/null").code == 0


@pytest.mark.usefixtures("here")
def test_a_pipe_that_has_no_name_is_written_to() -> None:
    """As bash makes one for -o >(program)."""
    whole = run("export", "A").stdout
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "tarlayers", "export", "A", "-o", f"/dev/fd/{writer}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        pass_fds=[writer],
        check=False,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert (done.returncode, stream.read()) == (0, whole)


@pytest.mark.parametrize("name", ["x", "./x", "link"])
def test_a_report_does_not_replace_another(here: Path, name: str) -> None:
    (here / "link").symlink_to("x")
    done = run("check", "A", "-p", "P", "-f", "json", "-o", "x", "-f", "sarif", "-o", name)
    assert (done.code, done.stdout) == (2, b"")
    assert f"for --output: {name}: two reports cannot go to one file" in done.stderr
    assert not (here / "x").exists()


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("no/such/x", "No such file or directory"),
        ("A/x", "Not a directory"),
        (".", "Is a directory"),
        ("ro/x", "Permission denied"),
        ("link", "No such file or directory"),
    ],
)
def test_an_output_that_cannot_be_made_is_said_before_the_archive_is_read(
    here: Path, output: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "ro").mkdir()
    (here / "link").symlink_to("no/such")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "ro" and real(path, mode))
    for words in (
        "check nowhere -p P -f json -o",
        "export nowhere -o",
        "index nowhere -o",
        "tarsplit disasm nowhere --output",
    ):
        ran = run(*words.split(), output, *(["--no-stdout"] if "disasm" in words else []))
        assert (ran.code, ran.stdout, ran.stderr) == (3, b"", f"tarlayers: {output}: {reason}\n")


def test_a_layer_that_fails_in_the_middle_leaves_no_export(tmp_path: Path) -> None:
    data = (TESTDATA / "shop.docker.tar").read_bytes()
    whole = run("export", TESTDATA / "shop.docker.tar#v2", "-o", tmp_path / "whole.tar")
    assert whole.code == 0
    (tmp_path / "whole.tar").unlink()
    (tmp_path / "cut.tar").write_bytes(data[: len(data) // 2])
    ran = run("export", tmp_path / "cut.tar#v2", "-o", tmp_path / "out.tar")
    assert ran.code == 3
    assert ran.stderr.startswith("tarlayers: ")
    assert ran.stderr.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["cut.tar"]
