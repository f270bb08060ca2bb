"""Streams: one pass and bounded memory, or a file without a name that is gone however a run ends."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarlayers.opening import open_images
from tests.build import (
    END,
    FLAVOURS,
    Member,
    archive,
    compact,
    directory,
    file,
    header,
    image,
    layer,
    member_blocks,
    pack,
    sha256,
)
from tests.edit import edit_config
from tests.flavours import PRODUCERS
from tests.paths import ROOT
from tests.run import run

APP = image(layer(file("app", b"x" * 5000)))


class Trickle:
    """A binary stream that gives a few bytes at a time, as pipes do."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int = -1) -> bytes:
        return next(self._chunks, b"")


def layer_stream(size: int) -> Iterator[bytes]:
    """A docker-archive of one layer with one file of zeros, made as it is read; the documents come last."""
    zeros = bytes(1 << 16)
    yield header(Member("0.tar"), b"0.tar", b"", size + 512 + len(END))
    yield header(Member("zeros"), b"zeros", b"", size)
    for _ in range(size // len(zeros)):
        yield zeros
    yield END
    manifest = compact([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["0.tar"]}])
    yield member_blocks(file("c.json", b"{}")) + member_blocks(file("manifest.json", manifest)) + END


def test_one_pass_needs_memory_for_its_index_alone() -> None:
    tracemalloc.start()
    try:
        (found,) = open_images(Trickle(layer_stream(64 << 20))).images  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(entry.path, entry.size) for entry in found.layers[0].entries] == [("/zeros", 64 << 20)]
    assert peak < 4 << 20


@pytest.mark.parametrize("flavour", ["docker-1.0", "podman skopeo", "rules_oci", "oci-zstd"])
def test_a_stream_that_trickles(flavour: str) -> None:
    packed = pack(PRODUCERS[flavour].make([APP]))
    pieces = (packed[i : i + 7] for i in range(0, len(packed), 7))
    (found,) = open_images(Trickle(pieces)).images  # type: ignore[arg-type]
    assert [entry.path for entry in found.layers[0].entries] == ["/app"]


@pytest.mark.parametrize("flavour", ["docker-1.0", "unclaimed none", "unclaimed gzip"])
@pytest.mark.parametrize("words", [["blame"], ["changes"], ["log", "/app"], ["layers"], ["ls", "-lR"], ["waste"]])
def test_what_nothing_claims_is_computed_of_a_stream_too(flavour: str, words: list[str], tmp_path: Path) -> None:
    name, _, kind = flavour.partition(" ")
    packed = (
        pack(PRODUCERS[name].make([APP]))
        if not kind
        else pack(edit_config(FLAVOURS[f"oci-{kind}"]([APP]), lambda config: config.pop("rootfs")))
    )
    (tmp_path / "app.tar").write_bytes(packed)
    told = [run(words[0], at, *words[1:], "-f", "json", stdin=packed) for at in (tmp_path / "app.tar", "-")]
    assert (told[0].code, told[0].stdout) == (told[1].code, told[1].stdout)
    assert told[0].code == 0


@pytest.mark.parametrize("words", [["layers"], ["history"], ["ls", "-R"]])
def test_a_packed_bare_layer_is_told_alike_however_it_is_kept(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "layer.tar.gz").write_bytes(gzip.compress(layer(file("a", b"x" * 3000))))
    told = [run(*words, tmp_path / "layer.tar.gz", "-f", "json", how) for how in ("--no-cache", "--cache")]
    assert told[0].stdout == told[1].stdout
    assert told[0].code == 0


def test_verbose_says_how_a_stream_is_read() -> None:
    packed = archive("docker-20", APP)
    assert run("cat", "-", "/app", stdin=packed).stderr == ""
    assert run("cat", "-", "/app", "-v", stdin=packed).stderr.startswith(
        "tarlayers: standard input is spooled to an unnamed file in "
    )
    assert "one pass" in run("ls", "-", "-v", stdin=packed).stderr


def test_a_stream_that_is_cut_short(tmp_path: Path) -> None:
    packed = archive("docker-20", APP)
    ran = run("ls", "-", stdin=packed[:2000])
    assert (ran.code, ran.stderr.startswith("tarlayers: standard input")) == (3, True)
    assert run("ls", "-").stderr == "tarlayers: standard input: the input is empty\n"
    path = tmp_path / "empty.tar"
    path.touch()
    assert run("ls", path).stderr == f"tarlayers: {path}: the file is empty\n"
    path.write_text("hello")
    assert run("ls", path).stderr.startswith(f"tarlayers: {path}")
    assert run("ls", path).code == run("ls", "-", stdin=b"hello").code == 3


def test_a_stream_that_cannot_be_spooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    ran = run("cat", "-", "/app", stdin=archive("docker-20", APP))
    assert (ran.code, "set TMPDIR" in ran.stderr) == (3, True)
    assert run("ls", "-", stdin=archive("docker-20", APP)).stdout == b"/app\n"


def start_cat(tmp: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tarlayers", "cat", "-v", "-", "/app"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp)},
        # A suite that a shell runs in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 # no threads here
    )  # fmt: skip


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_is_left_of_a_spooled_stream(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    """The run is stopped in the middle of the stream, when the spool has been written to."""
    with start_cat(tmp_path) as running:
        assert running.stdin is not None and running.stderr is not None
        running.stdin.write(archive("docker-20", APP)[:3000])
        running.stdin.flush()
        said = running.stderr.readline()
        assert str(tmp_path).encode() in said
        running.send_signal(sent)
        assert running.wait(20) == code
        assert running.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


WAITS = """
import signal, sys, threading
from tarlayers.cli.outcome import Terminated, heed_signals
heed_signals()
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the other thread gets it, and nothing wakes this one
try:
    print("waits", flush=True)
    sys.stdin.buffer.read(1)
except Terminated as error:
    print("ended by", error.number)
"""


def test_a_signal_that_does_not_interrupt_the_reading_ends_the_run_all_the_same() -> None:
    """As one that comes just before a pipe is waited for."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"waits\n"
        time.sleep(0.1)  # until it does; a signal that comes before is no test, but no failure either
        running.send_signal(signal.SIGTERM)
        try:
            assert running.wait(20) == 0
        finally:
            running.kill()
        assert running.stdout.read() == b"ended by 15\n"


def test_no_alarm_is_left_when_the_interpreter_ends() -> None:
    """It gives up its handlers then, and an alarm would kill the process: exit code 142 instead of the answer's."""
    ask = "import signal; from tarlayers.cli import _run; _run(['--version']); print(signal.getitimer(0))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == b"(0.0, 0.0)"


def test_nothing_is_left_of_a_stream_that_was_read(tmp_path: Path) -> None:
    with start_cat(tmp_path) as running:
        out, _ = running.communicate(archive("docker-20", APP), timeout=20)
    assert out == b"x" * 5000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ab" * 32 + "-license.txt", "ab" * 32 + "/x", "oci-layout", "blobs/sha256/x"])
def test_a_file_system_may_have_names_like_those_of_images(name: str, tmp_path: Path) -> None:
    plain = layer(directory(name.rpartition("/")[0] or "d"), file(name, b"x"))
    path = tmp_path / "root.tar"
    path.write_bytes(plain)
    wanted = run("layers", path, "-f", "json")
    assert (wanted.code, wanted.json["layers"][0]["diff_id"]) == (0, f"sha256:{sha256(plain)}")
    for packed in (plain, gzip.compress(plain)):
        assert run("layers", "-", "-f", "json", stdin=packed).stdout == wanted.stdout


def test_a_layer_that_lies_deep_is_no_layer_that_is_wrong(tmp_path: Path) -> None:
    manifest = compact([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a/b/c/layer.tar"]}])
    plain = layer(file("x"))
    config = compact({"rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(plain)}"]}})
    data = pack({"a/b/c/layer.tar": plain, "c.json": config, "manifest.json": manifest})
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    assert run("verify", path).code == run("ls", path).code == 0
    for command in ("verify", "ls"):
        found = run(command, "-", stdin=data)
        assert (found.code, "a/b/c/layer.tar: nobody looks this deep" in found.stderr) == (3, True)
    assert run("inspect", "-", stdin=data).code == 0
