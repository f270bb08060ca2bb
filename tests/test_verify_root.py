"""`verify` of data roots: each thing that can be wrong is found and named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tarlayers import open_images
from tarlayers.analysis.verify import verify_archive
from tarlayers.analysis.verify_root import verify_root
from tarlayers.finding import CODES, VerifyReport
from tests.build import device, directory, file, hardlink, image, layer, opaque, sha256, symlink, whiteout, xattrs
from tests.dataroot import Root, cache_id_of, chain_ids, container, docker_root, pack_root, podman_root, write_root
from tests.paths import TESTDATA

BASE = layer(
    directory("etc"),
    file("etc/passwd", b"root:x:0:0", mode=0o640),
    directory("srv"),
    file("srv/keep", b"keep" * 100),
    hardlink("srv/keep2", "srv/keep"),
    file("srv/empty"),
    symlink("srv/link", "keep"),
    device("null", 1, 3),
    directory("old"),
    file("old/x"),
)
TOP = layer(whiteout("null"), directory("old"), opaque("old"), file("old/y", b"new"), file("é" * 60, b"long"))
APP = image(BASE, TOP)
CHAIN = chain_ids(APP)
BELOW, ABOVE = (f"overlay2/{cache_id_of(each)}/diff" for each in CHAIN)
DB0, DB1 = (f"image/overlay2/layerdb/{each.replace(':', '/')}" for each in CHAIN)
CONFIG = f"image/overlay2/imagedb/content/sha256/{sha256(APP.config_bytes)}"


def verify(root: Root, where: Path) -> VerifyReport:
    (where / "root.tar").write_bytes(pack_root(root, "docker"))
    return verify_root(open_images(where / "root.tar"))


def test_each_of_the_two_verifies_its_own() -> None:
    with pytest.raises(ValueError, match="is a data root, which verify_root checks"):
        verify_archive(open_images(TESTDATA / "shop.dataroot.tar"))
    with pytest.raises(ValueError, match="is no data root"):
        verify_root(open_images(TESTDATA / "shop-v1.oci.tar"))


def codes(report: VerifyReport) -> list[str]:
    return [finding.code for finding in report.findings]


def put(path: str, data: bytes = b"", **header: object) -> Callable[[Root], object]:
    return lambda root: root.update({path: replace(root.get(path, file(path)), data=data, **header)})


def drop(*paths: str) -> Callable[[Root], object]:
    return lambda root: [root.pop(path) for path in list(root) if path.startswith(paths)]


def rename(root: Root, old: str, new: str) -> None:
    root[new] = replace(root.pop(old), name=new)


def call_by_sha512(root: Root) -> None:
    rename(root, CONFIG, f"image/overlay2/imagedb/content/sha512/{'0' * 128}")


WRONG: dict[str, tuple[Callable[[Root], object], list[str], str]] = {
    "a configuration that is called by another sha512": (call_by_sha512, ["V001"], "sha512"),
    "one byte, same size and time": (put(f"{BELOW}/srv/keep", b"keeq" + b"keep" * 99), ["V003", "V101"], "srv/keep"),
    "a longer file": (put(f"{BELOW}/etc/passwd", b"root:x:0:0\nevil::0:0"), ["V101"], "etc/passwd"),
    "a cut file": (put(f"{BELOW}/etc/passwd", b"root"), ["V101"], "etc/passwd"),
    "an empty file that is empty no more": (put(f"{BELOW}/srv/empty", b"x"), ["V101"], "srv/empty"),
    "a deleted file": (drop(f"{BELOW}/etc/passwd"), ["V102"], "etc/passwd"),
    "a deleted empty file": (drop(f"{BELOW}/srv/empty"), ["V102"], "srv/empty"),
    "a deleted link": (drop(f"{BELOW}/srv/link"), ["V102"], "srv/link"),
    "a deleted whiteout": (
        drop(f"{ABOVE}/null"),
        ["V102"],
        "null",
    ),
    "a file in place of a whiteout": (put(f"{ABOVE}/null", type="0"), ["V101"], "null"),
    "an extra file": (put(f"{ABOVE}/old/evil", b"x"), ["V103"], "old/evil"),
    "an extra directory is one finding": (
        lambda root: (put(f"{ABOVE}/evil", type="5", mode=0o755)(root), put(f"{ABOVE}/evil/a/b")(root)),
        ["V103"],
        "evil",
    ),
    "an extra whiteout": (
        lambda root: root.update({f"{ABOVE}/etc": device(f"{ABOVE}/etc", 0, 0)}),
        ["V103"],
        "etc",
    ),
    "a file in place of a link": (put(f"{BELOW}/srv/link", type="0"), ["V101"], "srv/link"),
    "a link that points elsewhere": (put(f"{BELOW}/srv/link", link="/etc/shadow"), ["V101"], "srv/link"),
    "another device": (put(f"{BELOW}/null", rdev=(1, 5)), ["V101"], "null"),
    "another mode": (put(f"{BELOW}/etc/passwd", b"root:x:0:0", mode=0o4755), ["V108"], "etc/passwd"),
    "another owner": (put(f"{BELOW}/etc/passwd", b"root:x:0:0", uid=7), ["V108"], "etc/passwd"),
    "a chain ID": (
        lambda root: [rename(root, p, p.replace(CHAIN[1][7:], "ab" * 32)) for p in list(root) if p.startswith(DB1)],
        ["V104", "V107"],
        "ab" * 32,
    ),
    "a recorded size": (put(f"{DB0}/size", b"12"), ["V105"], DB0),
    "a diff ID": (put(f"{DB0}/diff", b"sha256:" + b"cd" * 32), ["V003", "V104"], DB0),
    "a description": (put(f"{DB1}/cache-id", b""), ["V106", "V107"], DB1),
    "a tar-split that is cut": (put(f"{DB1}/tar-split.json.gz", b"\x1f\x8b\x08"), ["V106"], DB1),
    "a parent that is gone": (drop(f"{DB0}/"), ["V107", "V107"], "layer 0"),
    "a configuration": (put(CONFIG, APP.config_bytes.replace(b"step 0", b"step X")), ["V001"], CONFIG),
    "no files": (drop(f"{BELOW}/", BELOW), ["V109"], DB0),
    "no tar-split": (drop(f"{DB0}/tar-split"), ["V109"], DB0),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found_and_named(what: str, tmp_path: Path) -> None:
    spoil, expected, named = WRONG[what]
    root = docker_root([APP], [container("web", APP, file("x"))])
    spoil(root)
    report = verify(root, tmp_path)
    assert sorted(codes(report)) == expected
    assert any(named in finding.place for finding in report.findings)
    assert report.ok == all(CODES[code] != "error" for code in expected)


def test_a_root_as_it_was_written_is_as_claimed(tmp_path: Path) -> None:
    report = verify(docker_root([APP], [container("web", APP, file("x"))]), tmp_path)
    assert (report.ok, report.findings) == (True, ())
    assert report.checked == (3, 2, len(BASE) + len(TOP))


def test_an_opaque_flag_that_is_gone_shows_lower_files(tmp_path: Path) -> None:
    root = docker_root([APP])
    root[f"{ABOVE}/old"] = directory(f"{ABOVE}/old")
    (finding,) = verify(root, tmp_path).findings
    assert (finding.code, finding.place.endswith(f"{ABOVE}/old")) == ("V101", True)


def test_a_copy_without_devices_is_told_once(tmp_path: Path) -> None:
    more = layer(device("zero", 1, 5), whiteout("etc"), directory("srv"), opaque("srv"))
    root = docker_root([image(BASE, TOP, more)])
    report = verify({p: replace(m, pax={}) for p, m in root.items() if m.type != "3"}, tmp_path)
    assert (report.ok, codes(report)) == (True, ["V110", "V110", "V110"])


def test_a_directory_is_verified_as_the_tar_of_it(tmp_path: Path) -> None:
    where = write_root(docker_root([image(TOP)]), tmp_path / "docker")
    victim = next(where.glob("overlay2/*/diff/old/y"))
    assert not [f for f in verify_root(open_images(where)).findings if f.severity != "note"]
    victim.write_bytes(b"nEw")
    report = verify_root(open_images(where))
    assert not report.ok
    assert [f.code for f in report.findings if f.severity == "error"] == ["V101", "V003"]
    assert any(f.place.endswith("diff/old/y") for f in report.findings)


@pytest.mark.parametrize("spoilt", [False, True])
def test_storage_of_podman(spoilt: bool, tmp_path: Path) -> None:
    root = podman_root([APP])
    if spoilt:
        place = next(path for path in root if path.endswith("/diff/srv/keep"))
        root[place] = replace(root[place], data=b"x" * 400)
    report = verify(root, tmp_path)
    assert codes(report) == (["V101", "V003"] if spoilt else [])


def test_files_that_engines_put_in_different_places_are_not_extra(tmp_path: Path) -> None:
    odd = image(layer(symlink("lib", "usr"), file("lib/x", b"1")))
    root = docker_root([odd])
    diff = f"overlay2/{cache_id_of(chain_ids(odd)[0])}/diff"
    moved = root.pop(f"{diff}/lib/x")
    root[f"{diff}/usr"] = directory(f"{diff}/usr")
    root[f"{diff}/usr/x"] = replace(moved, name=f"{diff}/usr/x")
    assert verify(root, tmp_path).findings == ()


def test_vfs_keeps_merged_files_and_no_whiteouts(tmp_path: Path) -> None:
    def moved(path: str) -> str:
        path = path.replace("image/overlay2", "image/vfs")
        return (
            path.replace("overlay2/", "vfs/dir/", 1).replace("/diff", "", 1) if path.startswith("overlay2/") else path
        )

    root = {
        moved(path): replace(member, name=moved(path), link=moved(member.link), pax={})
        for path, member in docker_root([APP]).items()
        if member.rdev != (0, 0) or member.type != "3"
    }  # fmt: skip
    top = moved(ABOVE)
    root[f"{top}/lower"] = file(f"{top}/lower", b"from below")
    assert verify(root, tmp_path).findings == ()
    root[f"{top}/old/y"] = file(f"{top}/old/y", b"nEw")
    assert codes(verify(root, tmp_path)) == ["V101", "V003"]


def test_attributes_of_the_layer_are_no_fault(tmp_path: Path) -> None:
    marked = image(layer(xattrs(file("a", b"1"), user_x=b"1")))
    root = docker_root([marked])
    assert verify(root, tmp_path).findings == ()
