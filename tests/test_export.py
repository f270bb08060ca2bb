"""Export: what goes in comes out, whoever unpacks it, and the same bytes each time."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tarlayers import merge_layers, open_image
from tarlayers.cli.export_command import parse_time
from tarlayers.export import export_rootfs
from tarlayers.formats import tar
from tarlayers.formats.tar_writer import Fields, encode_header
from tarlayers.image import Image, load_layers
from tarlayers.rootfs import RootFS
from tests.build import archive, device, directory, fifo, file, hardlink, image, layer, symlink, whiteout, xattrs
from tests.conformance.test_engines import describe_disk, describe_merged, needs, needs_root
from tests.conformance.test_semantics import describe, load_cases
from tests.paths import CASES, TESTDATA
from tests.run import run as call

LONG = "d/" * 40 + "x" * 120
NET_RAW = bytes.fromhex("01000002" + "00200000" + "00" * 12)  # cap_net_raw=ep, as setcap writes it
RICH = image(
    layer(
        directory("etc", mode=0o750, uid=3, gid=4), file("etc/keep", b"k" * 700, mode=0o4755, mtime=1.25),
        file("gone", b"g"), hardlink("a-link", "gone"), file(LONG, b"deep"), symlink("s", LONG), fifo("pipe"),
        device("null", 1, 3), device("disk", 8, 1, "block"), file("big-owner", uid=3_000_000, gid=2**31),
        xattrs(file("cap", b"c"), security_capability=NET_RAW), file("caf\udce9", b"latin"), hardlink("z", "a-link"),
    ),
    layer(whiteout("gone"), file("etc/new", b"n" * 5000), directory("etc", mode=0o700, mtime=5)),
)  # fmt: skip


def merged(path: Path) -> tuple[Image, RootFS]:
    found = open_image(path)
    load_layers(found.layers, contents=True)
    return found, merge_layers(found.layers)


def export(path: Path, **options: int) -> bytes:
    found, rootfs = merged(path)
    return b"".join(export_rootfs(rootfs, found.layers, **options))


def reread(data: bytes, tmp_path: Path) -> RootFS:
    (tmp_path / "again.tar").write_bytes(data)
    return merged(tmp_path / "again.tar")[1]


def timed(rootfs: RootFS) -> dict[str, object]:
    """A listing in which the times that no layer tells are the epoch, as in an export."""
    found = describe(rootfs)
    for entry in found.values():
        if entry["mtime"] is None:
            entry |= {"mtime": 0, "mtime_nsec": 0}
    return found


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    path = tmp_path / "rich.tar"
    path.write_bytes(archive("oci-gzip", RICH))
    return path


def test_an_export_is_the_same_file_system_as_one_layer(rich: Path, tmp_path: Path) -> None:
    assert timed(reread(export(rich), tmp_path)) == timed(merged(rich)[1])


def test_equal_images_give_equal_bytes_whatever_their_flavour(tmp_path: Path) -> None:
    exports = set()
    for flavour in ("oci-gzip", "docker-20", "oci-zstd"):
        (tmp_path / "app.tar").write_bytes(archive(flavour, RICH))
        exports.add(export(tmp_path / "app.tar"))
    assert len(exports) == 1


def test_a_hard_link_whose_first_name_is_gone_keeps_its_content(rich: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(export(rich))) as read:
        first, second = read.getmember("a-link"), read.getmember("z")
        assert (first.isreg(), second.islnk(), second.linkname) == (True, True, "a-link")
        content = read.extractfile(first)
        assert content is not None
        assert content.read() == b"g"


def test_one_time_for_all(rich: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(export(rich, mtime=86_400_000_000_000))) as read:
        assert {member.mtime for member in read} == {86_400}


@pytest.mark.conformance
@pytest.mark.parametrize("case", load_cases())
def test_every_accepted_case_survives(case: dict, tmp_path: Path) -> None:
    if case["reference"]["outcome"] == "error" or case["host_dependent"]:
        pytest.skip("the reference engine refuses this image")
    path = CASES / f"{case['case']}.oci.tar"
    assert timed(reread(export(path), tmp_path)) == timed(merged(path)[1])


@pytest.mark.conformance
@needs_root
@pytest.mark.parametrize("program", [pytest.param(name, marks=needs(name)) for name in ("tar", "bsdtar", "umoci")])
def test_others_unpack_what_is_listed(program: str, rich: Path, tmp_path: Path) -> None:
    exported = tmp_path / "rootfs.tar"
    exported.write_bytes(export(rich))
    root = tmp_path / "root"
    root.mkdir()
    if program == "umoci":
        wrapped = tmp_path / "wrapped.tar"
        wrapped.write_bytes(archive("oci-gzip", image(exported.read_bytes())))
        run("skopeo", "copy", f"oci-archive:{wrapped}", f"oci:{tmp_path}/layout:it")
        run("umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:it", root)
    else:
        run(program, "-xpf", exported, "-C", root)
    assert describe_disk(root) == describe_merged(merged(rich)[1])


@pytest.mark.conformance
@needs_root
@pytest.mark.parametrize("program", [pytest.param(name, marks=needs(name)) for name in ("tar", "bsdtar")])
def test_others_set_the_times_that_are_listed(program: str, tmp_path: Path) -> None:
    """Directories of several layers, with links that GNU tar makes at the very end, because they lead elsewhere."""
    lower = layer(
        directory("etc"), directory("etc/alternatives"), symlink("etc/alternatives/vi", "/usr/bin/vim"),
        symlink("etc/up", "../srv"), symlink("etc/zz", "alternatives"), directory("usr"), directory("usr/bin"),
        file("usr/bin/vim", b"v"), symlink("usr/bin/vi", "/etc/alternatives/vi"), directory("usr-local"),
    )  # fmt: skip
    upper = layer(
        file("etc/alternatives/README", b"r"),
        file("usr/bin/ex", b"e"),
        directory("usr/lib"),
        fifo("etc/f"),
    )
    (tmp_path / "app.tar").write_bytes(archive("oci-gzip", image(lower, upper)))
    (tmp_path / "rootfs.tar").write_bytes(export(tmp_path / "app.tar", mtime=86_400_000_000_000))
    (tmp_path / "root").mkdir()
    run(program, "-xpf", tmp_path / "rootfs.tar", "-C", tmp_path / "root")
    found = {str(path.relative_to(tmp_path / "root")): path.lstat().st_mtime for path in (tmp_path / "root").rglob("*")}
    assert found == dict.fromkeys(found, 86_400) and len(found) == 14


TIMES = {"2020-01-01T00:00:00.5Z": 1_577_836_800_500_000_000, "@1577836800": 1_577_836_800_000_000_000}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_kept_to_the_microsecond(text: str) -> None:
    assert parse_time(text) == TIMES[text]


@pytest.mark.parametrize("options", [["--mtime", "@9" * 20], ["--mtime", "today"], ["--mtime", "@1", "--strip-mtime"]])
def test_a_wrong_time_is_a_wrong_call(options: list[str]) -> None:
    ran = call("export", TESTDATA / "shop.docker.tar#v1", *options)
    assert (ran.code, ran.stdout) == (2, b"") and "--mtime" in ran.stderr


def run(*command: str | Path) -> None:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"not installed: {command[0]}")
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=120)


ODD = {
    "negative time": Fields(b"a", b"0", 0o644, 0, 0, 0, -1_500_000_000),
    "far future": Fields(b"a", b"0", 0o644, 0, 0, 0, (1 << 40) * 1_000_000_000),
    "nine gigabytes": Fields(b"a", b"0", 0o644, 0, 0, 9 << 30, 0),
    "owner of 32 bits": Fields(b"a", b"0", 0o7777, (1 << 32) - 2, 1 << 31, 0, 1),
    "long names": Fields(b"n" * 101, b"2", 0o777, 0, 0, 0, 0, b"l" * 5000),
    "a name of 100 bytes": Fields(b"n" * 100, b"2", 0o777, 0, 0, 0, 0, b"l" * 100),
    "a record of 99 or 100 bytes": Fields(b"n" * 90 + b"/" + b"x" * 20, b"0", 0o644, 0, 0, 0, 1),
    "attributes": Fields(b"a", b"0", 0o644, 0, 0, 0, 0, xattrs={"user.a": b"", "user.b": b"\0\n=\xff"}),
    "not UTF-8": Fields(b"\xff" * 120, b"1", 0o644, 0, 0, 0, 0, b"\xfe" * 101),
}


@pytest.mark.parametrize("name", ODD)
def test_headers_read_back_as_they_were(name: str) -> None:
    fields = ODD[name]
    walker = tar.Walker(tar.SeekFeed(lambda at, count: encode_header(fields)[at : at + count], 1 << 40))
    member = next(iter(walker))
    assert (member.name, member.linkname, member.mode, member.uid) == (
        fields.name,
        fields.linkname,
        fields.mode,
        fields.uid,
    )
    assert (member.gid, member.size, member.mtime) == (fields.gid, fields.size, fields.mtime)
    kept = {key: value for key, value in (member.pax or {}).items() if key.startswith(b"SCHILY")}
    assert kept == {f"SCHILY.xattr.{key}".encode(): value for key, value in (fields.xattrs or {}).items()}
