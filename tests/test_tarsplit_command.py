"""`tarlayers tarsplit` as it is called, and against the reference `tar-split`."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tarlayers.formats.assembly import disassemble
from tarlayers.formats.tarsplit import decode_records, encode_record
from tarlayers.opening import open_images
from tests.build import END, directory, extract_tar, file, layer, sha256, symlink
from tests.paths import SHARED
from tests.run import run as run_command
from tests.splits import CONTENT, REGIONS, TARS, pax_sparse

PLAIN = layer(
    directory("etc"), file("etc/a", b"hello", mode=0o640, uid=5, mtime=0), symlink("etc/l", "a"),
    pax_sparse("etc/sparse", REGIONS, 8192, CONTENT, "1.0"), file("bad\udcff\n", b"1"),
)  # fmt: skip

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call a command in an empty directory: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    return lambda *words, stdin=b"": run_command("tarsplit", *words, stdin=stdin)


def unpack(plain: bytes, where: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(plain)) as packed:
        return extract_tar(packed, where)


@pytest.fixture
def made(run: Run) -> Run:
    """The same, with layer.tar, its tar-split file and its unpacked files there."""
    Path("layer.tar").write_bytes(PLAIN)
    assert run("disasm", "layer.tar", "--output", "split.gz", "--no-stdout") == (0, b"", "")
    unpack(PLAIN, Path("diff"))
    return run


# -- each command --------------------------------------------------------------------------------------


def test_ls_gives_paths_long_lines_and_json(made: Run) -> None:
    assert made("ls", "split.gz")[1].decode().splitlines() == [
        "/etc", "/etc/a", "/etc/l", "/etc/sparse", "/bad\\xff\\x0a",
    ]  # fmt: skip
    long = made("ls", "-l", "split.gz")[1].decode().splitlines()
    assert long[1] == "-rw-r----- 5 0    5 1970-01-01T00:00:00Z 3c3eeee2d8100000 /etc/a"
    assert long[2].split()[-4:] == ["-", "/etc/l", "->", "a"]
    document = json.loads(made("ls", "split.gz", "--format", "json")[1])
    assert document["schema"] == "tarlayers.tarsplit/1"
    assert document["members"][1] == {
        "path": "/etc/a", "type": "file", "mode": "0640", "uid": 5, "gid": 0, "size": 5,
        "mtime": "1970-01-01T00:00:00Z", "name": "etc/a", "offset": 512, "role": "entry", "crc64": "3c3eeee2d8100000",
    }  # fmt: skip
    assert "crc64" not in document["members"][2]
    assert document["members"][3]["size"] == 8192
    lines = made("ls", "-", "-f", "ndjson", stdin=Path("split.gz").read_bytes())[1].splitlines()
    assert [json.loads(line) for line in lines] == document["members"]


def test_disasm_passes_the_tar_on(run: Run) -> None:
    for name, stored in {"plain": PLAIN, "gz": gzip.compress(PLAIN), "zst": zstandard.compress(PLAIN)}.items():
        Path(name).write_bytes(stored)
        assert run("disasm", name, "--output", f"{name}.json.gz") == (0, PLAIN, "")
    assert Path("plain.json.gz").read_bytes() == Path("gz.json.gz").read_bytes() == Path("zst.json.gz").read_bytes()
    assert run("disasm", "-", stdin=PLAIN) == (0, PLAIN, "")
    assert Path("tar-data.json.gz").read_bytes() == Path("plain.json.gz").read_bytes()
    code, out, _ = run("disasm", "plain", "--no-stdout", "--output", "-")
    assert (code, gzip.decompress(out)) == (0, gzip.decompress(Path("gz.json.gz").read_bytes()))


@pytest.mark.parametrize("source", [("--path", "diff"), ("--layer", "layer.tar")])
def test_asm_gives_the_tar_back(made: Run, source: tuple[str, str]) -> None:
    assert made("asm", "--input", "split.gz", *source) == (0, PLAIN, "")
    assert made("asm", "--input", "split.gz", *source, "--output", "out.tar") == (0, b"", "")
    assert Path("out.tar").read_bytes() == PLAIN
    code, out, _ = made("asm", "--input", "split.gz", *source, "--compress")
    assert (code, gzip.decompress(out)) == (0, PLAIN)


@pytest.mark.parametrize("source", [("--path", "diff"), ("--layer", "layer.tar")])
def test_verify_says_the_diff_id(made: Run, source: tuple[str, str]) -> None:
    code, out, err = made("verify", "split.gz", *source)
    assert (code, err) == (0, "")
    assert out.decode() == f"verified 3 files, 8.2kB: as recorded\ndiff ID sha256:{sha256(PLAIN)}\n"
    document = json.loads(made("verify", "split.gz", *source, "-f", "json")[1])
    assert document == {
        "schema": "tarlayers.tarsplit-verify/1", "ok": True, "checked": {"files": 3, "bytes": 8198},
        "diff_id": f"sha256:{sha256(PLAIN)}", "findings": [],
    }  # fmt: skip


def test_verify_names_what_is_wrong(made: Run) -> None:
    Path("diff/etc/a").write_bytes(b"hellp")
    Path("diff/etc/sparse").unlink()
    code, out, _ = made("verify", "split.gz", "--path", "diff")
    assert code == 1
    assert out.decode().splitlines() == [
        "error V022 etc/a: has CRC-64 2eaeeee2d8100000, not the recorded 3c3eeee2d8100000",
        "error V020 etc/sparse: cannot be read: No such file or directory",
        "verified 3 files, 6B: 2 not as recorded",
    ]
    code, out, _ = made("verify", "split.gz", "--path", "diff", "--format", "json")
    findings = json.loads(out)["findings"]
    assert (code, json.loads(out)["ok"], json.loads(out)["diff_id"]) == (1, False, None)
    assert findings[0] == {
        "code": "V022", "severity": "error", "place": "etc/a", "claimed": "crc64:3c3eeee2d8100000",
        "computed": "crc64:2eaeeee2d8100000",
        "message": "has CRC-64 2eaeeee2d8100000, not the recorded 3c3eeee2d8100000",
    }  # fmt: skip


# -- calls and inputs that are wrong --------------------------------------------------------------------


def test_a_failure_leaves_what_was_there(made: Run) -> None:
    Path("diff/etc/a").write_bytes(b"hellp")
    Path("out.tar").write_bytes(b"before")
    before = set(Path().iterdir())
    code, out, err = made("asm", "--input", "split.gz", "--path", "diff", "--output", "out.tar")
    assert (code, out) == (3, b"")
    assert err == "tarlayers: split.gz: etc/a: has CRC-64 2eaeeee2d8100000, not the recorded 3c3eeee2d8100000\n"
    Path("cut.tar").write_bytes(PLAIN[:1000])
    code, out, err = made("disasm", "cut.tar", "--output", "split.gz", "--no-stdout")
    assert (code, err) == (3, "tarlayers: cut.tar at offset 512: the archive ends inside a header\n")
    assert Path("out.tar").read_bytes() == b"before"
    assert set(Path().iterdir()) == before | {Path("cut.tar")}
    assert made("verify", "split.gz", "--layer", "layer.tar")[0] == 0


def test_output_may_be_no_ordinary_file(made: Run) -> None:
    assert made("asm", "--input", "split.gz", "--path", "diff", "--output", "/dev/null")[0] == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("asm", "--input", "split.gz"), 2, "give one of them"),
        (("asm", "--input", "split.gz", "--path", "diff", "--layer", "layer.tar"), 2, "give one of them"),
        (("verify", "split.gz"), 2, "give one of them"),
        (("disasm", "layer.tar", "--output", "-"), 2, "cannot both go to standard output"),
        (("disasm",), 2, "Missing argument"),
        (("frobnicate",), 2, "No such command"),
        (("ls", "nowhere.gz"), 3, "tarlayers: nowhere.gz: No such file or directory\n"),
        (("asm", "--path", "diff"), 3, "tarlayers: tar-data.json.gz: No such file or directory\n"),
        (("verify", "split.gz", "--path", "nowhere"), 3, "tarlayers: nowhere: No such file or directory\n"),
        (("verify", "split.gz", "--layer", "split.gz"), 3, "tarlayers: split.gz at offset 0: "),
        (
            ("disasm", "layer.tar", "--no-stdout", "--output", "nowhere/x.gz"),
            3,
            ": No such file or directory\n",
        ),
        (("ls", "layer.tar"), 3, "tarlayers: layer.tar: record 0: not a tar-split record: "),
        (("ls", "/dev/null"), 3, "tarlayers: /dev/null: the file is empty\n"),
    ],
)
def test_a_wrong_call_or_input_is_one_line(made: Run, words: tuple[str, ...], code: int, reason: str) -> None:
    found, out, err = made(*words)
    assert (found, out) == (code, b"")
    assert reason in err
    assert "Traceback" not in err
    if code == 3:
        assert err.count("\n") == 1


def test_a_name_that_occurs_twice_is_a_warning(run: Run) -> None:
    Path("twice.tar").write_bytes(TARS["a name twice"])
    code, _, err = run("disasm", "twice.tar", "--no-stdout")
    assert (code, err) == (
        0,
        "tarlayers: warning: 2 names found again: the reference tar-split refuses to read this\n",
    )
    assert run("asm", "--layer", "twice.tar") == (0, TARS["a name twice"], "")
    assert run("disasm", "twice.tar", "--no-stdout", "--quiet") == (0, b"", "")


# -- the reference -------------------------------------------------------------------------------------

REFERENCE = shutil.which("tar-split")
needs_reference = pytest.mark.skipif(REFERENCE is None, reason="tar-split is not installed")
# It computes the checksum of 60 GB of zeros in each of them, which takes minutes.
HUGE = {"gnu-sparse-big.tar", "pax-sparse-big.tar"}
# It loses the maps of PAX 1.0 sparse files, and padding that is cut short.
NOT_REASSEMBLED = {"pax-nil-sparse-data.tar", "pax-nil-sparse-hole.tar", "sparse-formats.tar"}


def reference(*words: str) -> bool:
    return subprocess.run([REFERENCE or "", *words], capture_output=True, check=False).returncode == 0


def shared_tars() -> list[object]:
    found = sorted((SHARED / "tar").glob("*.tar"))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason="the reference archives (../shared) are not here"))]
    return [pytest.param(path, id=path.name) for path in found if path.name not in HUGE]


def lines_of(path: str) -> list[bytes]:
    """The records, less the empty segment that some versions end with."""
    lines = gzip.decompress(Path(path).read_bytes()).splitlines()
    return lines[:-1] if lines and b'"payload":""' in lines[-1] else lines


@pytest.mark.conformance
@needs_reference
@pytest.mark.parametrize("path", shared_tars())
def test_what_the_reference_accepts_we_take_apart_alike(run: Run, path: Path) -> None:
    if not reference("disasm", "--no-stdout", "--output", "theirs.gz", str(path)):
        assert run("disasm", str(path), "--no-stdout")[0] == 3 or path.name == "hdr-only.tar"  # two entries of one name
        return
    assert run("disasm", str(path), "--no-stdout", "--output", "ours.gz")[0] == 0
    assert run("asm", "--input", "ours.gz", "--layer", str(path)) == (0, path.read_bytes(), "")
    if path.name in NOT_REASSEMBLED:
        assert run("ls", "theirs.gz")[1] == run("ls", "ours.gz")[1]
        return
    assert lines_of("ours.gz") == lines_of("theirs.gz")
    assert run("asm", "--input", "theirs.gz", "--layer", str(path)) == (0, path.read_bytes(), "")


@pytest.mark.conformance
@pytest.mark.parametrize("name", sorted(HUGE))
def test_holes_of_sixty_gigabytes_are_no_work(run: Run, name: str) -> None:
    path = SHARED / "tar" / name
    if not path.exists():
        pytest.skip("the reference archives (../shared) are not here")
    assert run("disasm", str(path), "--no-stdout", "--output", "ours.gz")[0] == 0
    assert run("asm", "--input", "ours.gz", "--layer", str(path)) == (0, path.read_bytes(), "")


@pytest.mark.conformance
@needs_reference
@pytest.mark.parametrize("tail", [b"", bytes(10_240), b"\1" * 2_100_000])
def test_the_reference_puts_together_what_we_took_apart(run: Run, tail: bytes) -> None:
    """Hard links with a size too, for which its own records do not do."""
    plain = layer(
        file("b", b"1"), file("d/<&>", b"x" * 99_999), symlink("l", "a"), file("n" * 200, b"2"), file("bad\udcff", b"3")
    )
    plain = TARS["a hard link with a size"][: -len(END)] + plain + tail
    Path("layer.tar").write_bytes(plain)
    unpack(plain, Path("diff"))
    assert run("disasm", "layer.tar", "--no-stdout", "--output", "ours.gz")[0] == 0
    assert reference("asm", "--input", "ours.gz", "--path", "diff", "--output", "theirs.tar")
    assert Path("theirs.tar").read_bytes() == plain


def corpus() -> Iterator[tuple[str, bytes]]:
    """The files of the corpus, where it is."""
    packed = SHARED / "corpus" / "small.tar.zst"
    if not packed.exists():
        pytest.skip("the corpus (../shared) is not here")
    plain = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield member.name, stream.read()


@pytest.mark.conformance
def test_layers_of_the_corpus_have_the_records_that_docker_wrote(tmp_path: Path) -> None:
    written: dict[str, bytes] = {}
    layers: dict[str, bytes] = {}
    for name, data in corpus():
        if "/truth/tar-split/" in name and data:
            written[Path(name).name.partition(".")[0]] = gzip.decompress(data)
        elif "/h1-" in name and name.count("/") == 1 and ".docker" in name and name.endswith(".tar"):
            path = tmp_path / Path(name).name
            path.write_bytes(data)
            for each in open_images(str(path)).images:
                for one in each.layers:
                    plain = b"".join(one.open_plain())
                    layers[sha256(plain)] = plain
    both = written.keys() & layers.keys()
    assert len(both) > 50
    for diff_id in both:
        assert b"".join(map(encode_record, disassemble([layers[diff_id]]))) == written[diff_id]
    for lines in written.values():
        assert b"".join(map(encode_record, decode_records([lines]))) == lines
