"""Disks that fail, files that shrink, pipes that close, signals: an error that says so, and nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import tarlayers
from tarlayers.cli.outcome import Terminated, run_app
from tarlayers.errors import MalformedInput, TarlayersError
from tarlayers.opening import open_images
from tests.build import BLOCK, FLAVOURS, archive, directory, file, image, layer, unpack
from tests.paths import ROOT
from tests.run import run

PROGRAM = [sys.executable, "-m", "tarlayers"]
# Warnings are none: a file that a signal left unclosed while it was being opened would be told on standard error.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "LC_ALL": "C.UTF-8"}
NOISE = random.Random(1).randbytes(1 << 20)
SMALL = archive("oci-gzip", image(layer(directory("etc"), file("etc/x", NOISE[:5000])), layer(file("y", b"y" * 900))))
PLAIN = archive("docker-25", image(layer(directory("etc"), file("etc/x", NOISE[:5000])), layer(file("y", b"y" * 900))))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that takes a second or so to write."""
    path = tmp_path_factory.mktemp("large") / "large.tar"
    path.write_bytes(archive("oci-zstd", image(*(layer(file(f"big{i}", NOISE * 40)) for i in range(4)))))
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.tar"
    path.write_bytes(SMALL)
    return path


def run_program(*words: str | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *map(str, words)], env=ENVIRONMENT, capture_output=True, timeout=120, check=False, **more  # type: ignore[call-overload] # what a test gives
    )  # fmt: skip


def no_more_than(size: int) -> Callable[[], None]:
    """A disk that is full after so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# -- reading ---------------------------------------------------------------------------------------


def ask(source: str | io.RawIOBase) -> object:
    """Open, list, verify: what is answered, or None where it is refused."""
    try:
        opened = open_images(source)  # type: ignore[arg-type] # a raw stream is one
        names = list(tarlayers.merge_layers(opened.images[0].layers))
        return names, tarlayers.verify_archive(opened).ok
    except TarlayersError:
        return None


class Failing(io.RawIOBase):
    """A stream that fails after so many bytes."""

    def __init__(self, data: bytes, after: int) -> None:
        self._stream = io.BytesIO(data[:after])

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if chunk := self._stream.read(size):
            return chunk
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("data", [SMALL, PLAIN])
def test_a_stream_that_fails_half_way_is_an_error(data: bytes) -> None:
    for after in range(0, len(data), 700):
        with pytest.raises(TarlayersError, match="Input/output error"):
            open_images(Failing(data, after))  # type: ignore[arg-type] # a raw stream is one


@pytest.mark.parametrize("data", [SMALL, PLAIN])
def test_a_disk_that_fails_at_any_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(data)
    whole = ask(str(path))
    pread, reads = os.pread, 0

    def counting(descriptor: int, count: int, offset: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads > allowed:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", counting)
    for allowed in range(1, 200):  # the first read looks for a magic before anything is opened
        reads = 0
        answer = ask(str(path))
        assert answer in (None, whole, (whole[0], False)), allowed  # type: ignore[index] # it is answered
        if reads <= allowed:
            assert answer == whole
            return
    raise AssertionError("more reads than are believable")


@pytest.mark.parametrize("data", [SMALL, PLAIN])
def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.tar"
    whole_at = data.index(b"index.json\0") - BLOCK  # somewhere in the padding of the last blob
    for size in range(0, len(data), 256):
        path.write_bytes(data)
        opened = open_images(str(path))
        with path.open("r+b") as stream:
            stream.truncate(size)
        layers = opened.images[0].layers
        with suppress(TarlayersError):
            assert set(tarlayers.merge_layers(layers)) == {"/etc", "/etc/x", "/y"}, size
        with suppress(TarlayersError):
            assert b"".join(layers[0].open_content(layers[0].entries[1])) == NOISE[:5000]
        with suppress(TarlayersError):
            assert not tarlayers.verify_archive(opened).ok or size > whole_at


@pytest.mark.parametrize("ask", [tarlayers.verify_archive, lambda opened: tarlayers.lint_image(opened.images[0])])
@pytest.mark.parametrize("data", [SMALL, PLAIN])
def test_a_file_that_shrinks_is_no_finding_of_a_layer(
    tmp_path: Path, data: bytes, ask: Callable[[tarlayers.ImageArchive], object]
) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(data)
    opened = open_images(str(path))
    with path.open("r+b") as stream:
        stream.truncate(0)
    with pytest.raises(MalformedInput, match=f"{path}|blobs/sha256/.*: the source ends before"):
        ask(opened)


def test_verify_names_the_archive_and_the_blob_that_shrank(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(PLAIN)
    opened = open_images(str(path))
    with path.open("r+b") as stream:
        stream.truncate(0)
    with pytest.raises(MalformedInput, match=f"^{path}: blobs/sha256/[0-9a-f]{{64}} at offset 0: the source ends"):
        tarlayers.verify_archive(opened)
    root = unpack(FLAVOURS["oci-gzip"]([image(layer(file("a")))]), tmp_path / "image")
    opened = open_images(root)
    for blob in (root / "blobs/sha256").iterdir():
        blob.unlink()
    with pytest.raises(TarlayersError, match=f"^{root}/blobs/sha256/[0-9a-f]{{64}}: No such file"):
        tarlayers.verify_archive(opened)


@pytest.mark.parametrize("at", ["", "blobs", "blobs/sha256"])
def test_a_directory_that_may_not_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    root = unpack(FLAVOURS["oci-gzip"]([image(layer(file("a")))]), tmp_path / "image")
    forbidden, scandir = str(root / at), os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == forbidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(MalformedInput, match=f"^{forbidden}: .*Permission denied$"):
        open_images(root)
    (root / "anybody").mkdir()
    forbidden = str(root / "anybody")
    assert open_images(root).images


def test_a_blob_that_may_not_be_looked_at_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = unpack(FLAVOURS["oci-gzip"]([image(layer(file("a")))]), tmp_path / "image")
    stat = Path.stat

    def refuse(path: Path, **how: Any) -> os.stat_result:
        if path.parent.name == "sha256":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(MalformedInput, match=f"^{root}/blobs/sha256/.*: cannot be read: Permission denied$"):
        open_images(root)


def test_a_bare_layer_that_shrinks_has_no_fewer_files(tmp_path: Path) -> None:
    """At a block boundary the shorter file is a whole tar: without care it would be taken for one."""
    data = layer(*(file(f"{i:04}", b"x") for i in range(2000)))
    path = tmp_path / "layer.tar"
    path.write_bytes(data)
    opened = open_images(str(path))
    with path.open("r+b") as stream:
        stream.truncate(1024 * 700)
    with pytest.raises(TarlayersError, match="shorter"):
        tarlayers.merge_layers(opened.images[0].layers)


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["ls", "-R"], ["export"], ["inspect", "-f", "json"], ["cat", "/etc/x"], ["diff"]])
def test_a_full_standard_output_is_one_line(small: Path, words: list[str]) -> None:
    arguments = [words[0], small, *([small] if words[0] == "diff" else []), *words[1:]]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*PROGRAM, *map(str, arguments)], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60,
            check=False,
        )  # fmt: skip
    assert ran.returncode == 3
    assert ran.stderr.decode() == "tarlayers: output: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("words", "code"), [(["ls", "nope"], 3), (["ls", "--bad"], 2), (["ls", "-v"], 0), ([], 2), (["ls", "/nope"], 1)]
)
def test_a_full_standard_error_changes_no_exit_code(small: Path, words: list[str], code: int) -> None:
    """1 would be the answer of `verify` and of `diff --exit-code`."""
    arguments = [*words[:1], small, *words[1:]] if words and "nope" not in words else words
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*PROGRAM, *map(str, arguments)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=full, timeout=60,
            check=False,
        )  # fmt: skip
    assert (ran.returncode, bool(ran.stdout)) == (code, code == 0)


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000, 20 << 20])
def test_a_full_disk_leaves_no_half_export(large: Path, tmp_path: Path, size: int) -> None:
    target = tmp_path / "out.tar"
    ran = run_program("export", large, "-o", target, preexec_fn=no_more_than(size))
    assert (ran.returncode, ran.stdout) == (3, b"")
    assert ran.stderr.decode().startswith(f"tarlayers: {target}: File too large")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    target.write_bytes(b"before")
    assert run_program("export", large, "-o", target, preexec_fn=no_more_than(5000)).returncode == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tar": b"before"}


def test_a_full_disk_leaves_no_half_file_extracted(large: Path, tmp_path: Path) -> None:
    ran = run_program("extract", large, tmp_path / "dest", preexec_fn=no_more_than(1 << 20))
    assert ran.returncode == 3
    assert ran.stderr.decode() == f"tarlayers: {tmp_path}/dest/big0: File too large\n"
    assert list((tmp_path / "dest").iterdir()) == []


def test_a_full_disk_for_spooling_is_told(large: Path, tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    with large.open("rb") as stream:
        ran = subprocess.run(
            [*PROGRAM, "cat", "-", "/big0"], env=environment, stdin=stream, capture_output=True, timeout=60,
            check=False, preexec_fn=no_more_than(1 << 20),
        )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (3, b"")
    assert f"cannot be spooled to {tmp_path} (File too large): set TMPDIR" in ran.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_tar_split(large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gz"
    ran = run_program("tarsplit", "disasm", large, "--output", target, "--no-stdout", preexec_fn=no_more_than(10))
    assert ran.returncode == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["ls", "-R"], ["export"], ["cat", "/big0"], ["changes"], ["inspect", "-f", "json"]])
def test_a_closed_pipe_ends_quietly(large: Path, words: list[str]) -> None:
    command = [*PROGRAM, words[0], str(large), *words[1:]]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_all_of_it(unbuffered: str, tmp_path: Path) -> None:
    """Of a write that a signal ends, as our alarm does twice a second, Python writes the rest only if it buffers."""
    path = tmp_path / "names.tar"
    path.write_bytes(archive("docker-25", image(layer(*(file(f"{number:0100}") for number in range(4000))))))
    expected = run_program("ls", path).stdout
    assert expected.count(b"\n") == 4000
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen([*PROGRAM, "ls", str(path)], env=environment, stdout=subprocess.PIPE)
    time.sleep(1.5)  # the pipe is full soon, and the alarm comes
    assert process.communicate(timeout=60)[0] == expected
    assert process.returncode == 0


def test_closed_standard_streams_are_errors_and_no_tracebacks(small: Path) -> None:
    for closing in (">&-", "<&-", "2>&-"):
        ran = subprocess.run(
            ["sh", "-c", f'exec "$@" {closing}', "sh", *PROGRAM, "ls", str(small)],
            env=ENVIRONMENT, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == (3 if closing == ">&-" else 0)
        assert ran.stderr == (b"tarlayers: output: it is closed\n" if closing == ">&-" else b"")


# -- signals ---------------------------------------------------------------------------------------

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.005)
    process.kill()
    raise AssertionError("it never began")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_file_is_written_leaves_none(large: Path, tmp_path: Path, number: signal.Signals) -> None:
    for words in (["export", large, "-o", tmp_path / "out.tar"], ["tarsplit", "disasm", large, "--output",
                  tmp_path / "out.gz", "--no-stdout"]):  # fmt: skip
        process = subprocess.Popen([*PROGRAM, *map(str, words)], env=ENVIRONMENT, stderr=subprocess.PIPE)
        wait_until(lambda: list(tmp_path.iterdir()), process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (SIGNALS[number], b"")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_files_are_extracted_leaves_whole_ones(
    large: Path, tmp_path: Path, number: signal.Signals
) -> None:
    dest = tmp_path / "dest"
    process = subprocess.Popen([*PROGRAM, "extract", str(large), str(dest)], env=ENVIRONMENT, stderr=subprocess.PIPE)
    wait_until(lambda: dest.exists() and list(dest.iterdir()), process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (SIGNALS[number], b"")
    assert {path.stat().st_size for path in dest.iterdir()} <= {40 << 20}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_standard_input_is_awaited(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*PROGRAM, "cat", "-v", "-", "/x"], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(PLAIN[:4096])
    process.stdin.flush()
    assert b"spooled" in process.stderr.readline()
    process.send_signal(number)
    assert process.wait(60) == SIGNALS[number]
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()
    assert list(tmp_path.iterdir()) == []


def test_who_was_started_to_ignore_a_signal_ignores_it(small: Path) -> None:
    """As nohup does."""
    script = 'trap "" HUP; "$@" & kill -HUP $!; wait $!'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", *PROGRAM, "ls", str(small)], env=ENVIRONMENT, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, b"/etc\n/y\n")


def test_ctrl_c_among_threads_ends_the_process(large: Path) -> None:
    """Four layers are hashed; the call ends although none of them is through."""
    process = subprocess.Popen([*PROGRAM, "verify", str(large)], env=ENVIRONMENT, stderr=subprocess.PIPE)
    tasks = Path(f"/proc/{process.pid}/task")
    wait_until(lambda: tasks.exists() and len(list(tasks.iterdir())) > 1, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"")


def test_in_process_interrupts_have_their_code(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tarlayers.opening.open_images", interrupt)
    assert run("ls", small).code == 130


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
@pytest.mark.parametrize(
    ("words", "work", "place"),
    [
        (["ls"], "tarlayers.merging.engine.unpack_layer", r": layer 0 \(sha256:\w+\)"),
        (["ls"], "tarlayers.stores.store.hop_layer", r": layer 0 \(sha256:\w+\): blobs/sha256/\w+"),
        (["ls"], "tarlayers.imagearchive.locate_images", ""),
    ],
)
def test_what_does_not_fit_into_memory_is_named(
    words: list[str], work: str, place: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "a.tar"
    path.write_bytes(archive("oci-none", image(layer(file("a")))))
    monkeypatch.setattr(work, give_up)
    ran = run(*words, path)
    assert (ran.code, ran.stdout) == (3, b"")
    assert re.fullmatch(rf"tarlayers: {re.escape(str(path))}{place}: gave up: {error.__name__}\n", ran.stderr)


@pytest.mark.parametrize(("signalled", "code"), [(KeyboardInterrupt(), 130), (Terminated(15), 143)])
def test_a_lock_that_a_signal_leaves_half_taken_is_no_bug_of_ours(signalled: BaseException, code: int) -> None:
    """What `with` of a lock raises where the signal came before the lock was taken again."""

    def run(**_: object) -> None:
        try:
            raise signalled
        finally:
            threading.Lock().release()

    assert run_app(run, ["ls"]) == code  # type: ignore[arg-type] # all that is asked of an application
