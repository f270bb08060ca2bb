"""Files that a command writes: whole or not at all, under the name that was given."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tarlayers.cli.output import write_file
from tarlayers.errors import MalformedInput
from tests.paths import TESTDATA
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
