"""Real tools on the same archives: `skopeo inspect`, `umoci unpack`, and sha256sum of what gzip and zstd give."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tarlayers import chain_ids, merge_layers, open_image, open_images, verify_archive
from tarlayers.image import load_layers
from tarlayers.rootfs import RootFS
from tests.build import archive, device, directory, file, hardlink, image, layer, opaque, symlink, whiteout
from tests.paths import TESTDATA

pytestmark = pytest.mark.conformance


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can unpack owners and devices")

BUILT = image(
    layer(
        directory("etc", mode=0o750, uid=3, gid=4), file("etc/keep", b"k" * 700, mode=0o4755), file("etc/gone", b"g"),
        directory("lib"), file("lib/old", b"o"), directory("var/cache"), file("var/cache/a", b"a" * 5000),
        symlink("link", "etc/keep"), hardlink("etc/hard", "etc/keep"), device("null", 1, 3), file("é\n", b"n"),
    ),
    layer(whiteout("etc/gone"), directory("var/cache"), opaque("var/cache"), file("var/cache/b", b"b")),
    layer(whiteout("lib"), directory("lib/new", mode=0o700), file("lib/new/x", b"x"), file("etc/keep", b"changed")),
)  # fmt: skip

REAL = [pytest.param(path, id=path.name) for path in sorted(TESTDATA.glob("*.oci.tar"))]


def run(*command: str | Path) -> bytes:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=120).stdout


@pytest.fixture(params=[*REAL, "oci-gzip", "oci-zstd", "oci-none"])
def oci_archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if isinstance(request.param, Path):
        return request.param
    path = tmp_path / "built.tar"
    path.write_bytes(archive(request.param, BUILT))
    return path


@needs("skopeo")
def test_identity_is_what_skopeo_says(oci_archive: Path) -> None:
    told = json.loads(run("skopeo", "inspect", f"oci-archive:{oci_archive}"))
    raw = run("skopeo", "inspect", "--config", "--raw", f"oci-archive:{oci_archive}")
    found = open_image(oci_archive)
    assert str(found.manifest_digest) == told["Digest"]
    assert [str(each.digest) for each in found.layers] == told["Layers"]
    assert str(found.image_id) == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    diff_ids = json.loads(raw)["rootfs"]["diff_ids"]
    assert [str(each.diff_id) for each in found.layers] == diff_ids
    assert found.chain_ids == chain_ids([each.diff_id for each in found.layers if each.diff_id])


@needs("gzip", "zstd", "sha256sum")
def test_diff_ids_are_sha256sums_of_the_decompressed_blobs(oci_archive: Path, tmp_path: Path) -> None:
    for each in open_image(oci_archive).layers:
        index = each.read(hashed=True)
        stored = tmp_path / "blob"
        stored.write_bytes(run("tar", "-xOf", oci_archive, each.blob or ""))
        decompress = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dc"], "none": ["cat"]}[index.compression]
        (tmp_path / "plain").write_bytes(run(*decompress, stored))
        assert run("sha256sum", stored).split()[0].decode() == (index.digest and index.digest.hex)
        assert run("sha256sum", tmp_path / "plain").split()[0].decode() == (index.diff_id and index.diff_id.hex)
    assert verify_archive(open_images(oci_archive)).findings == ()


def describe_disk(root: Path) -> dict[str, tuple[Any, ...]]:
    """What is below a directory: type and mode, owner, size or device, link target or digest, and inode names."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            content = (os.major(status.st_rdev), os.minor(status.st_rdev))
        found[f"/{path.relative_to(root)}"] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, content)
    return found


def describe_merged(rootfs: RootFS) -> dict[str, tuple[Any, ...]]:
    kinds = {
        "file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK,
        "char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO,
    }  # fmt: skip
    found: dict[str, tuple[Any, ...]] = {}
    for path, entry in rootfs.items():
        content = entry.sha256.hex() if entry.sha256 else entry.link or entry.rdev
        found[path] = (stat.filemode(kinds[entry.type] | entry.mode), entry.uid, entry.gid, content)
    return found


@needs_root
@needs("umoci", "skopeo")
def test_the_image_specs_view_is_what_umoci_unpacks(oci_archive: Path, tmp_path: Path) -> None:
    run("skopeo", "copy", "--dest-compress-format", "gzip", f"oci-archive:{oci_archive}", f"oci:{tmp_path}/layout:it")
    run("umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:it", tmp_path / "root")
    found = open_image(oci_archive)
    load_layers(found.layers, contents=True)
    assert describe_merged(merge_layers(found.layers, engine="oci")) == describe_disk(tmp_path / "root")
