"""`verify`: no damage goes unnoticed, no damage is a traceback, and what is whole is found whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tarlayers.finding import CODES
from tests.build import (
    BLOCK,
    FLAVOURS,
    OCI,
    Files,
    Link,
    blob,
    compact,
    directory,
    file,
    hardlink,
    image,
    layer,
    pack,
    sha256,
    symlink,
    unpack,
    whiteout,
    xattrs,
)
from tests.edit import bytes_of, drop, edit_config, edit_manifest, set_layer, with_layers
from tests.lazy import LazyLayer, estargz, zstd_chunked
from tests.paths import ROOT
from tests.run import Ran, run

BASE = layer(directory("etc"), file("etc/x", b"x" * 700), symlink("l", "etc/x"), file("a" * 130, b"long"))
TOP = layer(whiteout("etc/x"), file("etc/y", b"y" * 1500), hardlink("h", "etc/y"))
APP = image(BASE, TOP)


Verify = Callable[..., Ran]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Verify the bytes of an archive as a file."""

    def verify_bytes(data: bytes, *options: str) -> Ran:
        path = tmp_path / "app.tar"
        path.write_bytes(data)
        return run("verify", path, *options)

    return verify_bytes


def verify_stream(data: bytes) -> Ran:
    return run("verify", "-", "-f", "json", stdin=data)


def text_of(ran: Ran) -> str:
    return ran.stdout.decode()


def codes(ran: Ran) -> set[str]:
    return {finding["code"] for finding in ran.json["findings"]}


def positions(size: int, count: int = 9) -> list[int]:
    """The first and the last, and some between."""
    return sorted({min(size - 1, size * i // count) for i in range(count + 1)})


def flip(data: bytes, position: int, bit: int = 0x01) -> bytes:
    return data[:position] + bytes((data[position] ^ bit,)) + data[position + 1 :]


# -- whole archives --------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_whole_is_as_claimed(verify: Verify, flavour: str) -> None:
    found = verify(pack(FLAVOURS[flavour]([APP, image(BASE, names=["other:2"])])))
    assert (found.code, found.stderr) == (0, "")
    assert re.fullmatch(r"verified \d blobs, 2 layers, \S+B: everything is as claimed\n", text_of(found))


def test_verbose_lists_every_blob(verify: Verify) -> None:
    files = FLAVOURS["oci-gzip"]([APP])
    orphan = blob(files, b"nobody names me")
    rows = text_of(verify(pack(files), "-v")).splitlines()[:-1]
    assert [row.split()[0] for row in rows] == ["ok"] * 5
    assert [row.split(maxsplit=3)[3] for row in rows] == [
        "example.org/app:v1: layer 0",
        "example.org/app:v1: layer 1",
        "example.org/app:v1: config",
        "example.org/app:v1: manifest",
        "(nothing names it)",
    ]
    assert orphan.removeprefix("sha256:") in rows[-1]


def test_orphans_are_checked_by_their_names(verify: Verify) -> None:
    files = FLAVOURS["oci-gzip"]([APP])
    name = f"blobs/sha256/{blob(files, b'nobody names me').removeprefix('sha256:')}"
    files[name] = b"nobody names ME"
    [finding] = verify(pack(files), "-f", "json").json["findings"]
    assert (finding["code"], finding["place"]) == ("V001", name)


def test_sha512_is_computed(verify: Verify) -> None:
    files = FLAVOURS["oci-none"]([APP])

    def rename(manifest: dict[str, Any]) -> None:
        digest = hashlib.sha512(BASE).hexdigest()
        files[f"blobs/sha512/{digest}"] = BASE
        manifest["layers"][0]["digest"] = f"sha512:{digest}"

    edited = edit_manifest(files, rename)
    assert verify(pack(edited), "-f", "json").json["findings"] == []
    name = next(name for name in edited if name.startswith("blobs/sha512/"))
    edited[name] = flip(BASE, 1100)
    wrong = verify(pack(edited), "-f", "json")
    assert (wrong.code, codes(wrong)) == (1, {"V001", "V003"})
    assert verify_stream(pack(edited)).stdout == wrong.stdout


@pytest.mark.parametrize("flavour", ["docker-20", "oci-gzip"])
def test_a_digest_is_recomputed_whatever_the_member_is_called(verify: Verify, flavour: str) -> None:
    files = FLAVOURS[flavour]([image(BASE)])
    name = next(name for name, content in files.items() if isinstance(content, bytes) and b'"rootfs"' in content)
    target = "b" * 128
    depth = "../" * name.count("/")
    linked = {**files, name: Link(f"{depth}{target}"), target: files[name]}
    assert verify(pack(linked)).code == 0
    altered = {**linked, target: bytes(files[name]).replace(b"/bin/app", b"/bin/bad")}  # type: ignore[arg-type]
    found = verify(pack(altered), "-f", "json")
    assert (found.code, codes(found)) == (1, {"V001"})
    assert verify_stream(pack(altered)).stdout == found.stdout


def test_an_index_has_the_document_behind_a_link(tmp_path: Path) -> None:
    files = FLAVOURS["docker-20"]([image(BASE)])
    name = next(name for name, content in files.items() if isinstance(content, bytes) and b'"rootfs"' in content)
    altered = bytes(files[name]).replace(b"/bin/app", b"/bin/bad")  # type: ignore[arg-type]
    (tmp_path / "app.tar").write_bytes(pack({**files, name: Link("b" * 128), "b" * 128: altered}))
    run("index", tmp_path / "app.tar", "-o", tmp_path / "app.tlx")
    assert codes(run("verify", tmp_path / "app.tlx", "-f", "json")) == {"V001", "V019"}


def test_a_digest_of_another_kind_than_the_name_is_recomputed_of_a_file(tmp_path: Path) -> None:
    files = FLAVOURS["oci-none"]([APP])
    digest = f"sha512:{hashlib.sha512(BASE).hexdigest()}"

    def put(name: str, claimed: str) -> Path:
        edited = edit_manifest(files, set_layer(0, digest=claimed))
        alias = f"blobs/sha512/{claimed.removeprefix('sha512:')}"
        path = tmp_path / name
        path.write_bytes(pack({**edited, alias: Link(f"../sha256/{sha256(BASE)}")}))
        return path

    right, wrong = put("right.tar", digest), put("wrong.tar", f"sha512:{'0' * 128}")
    assert run("verify", right, "-f", "json").json["findings"] == []
    assert codes(run("verify", wrong, "-f", "json")) == {"V001"}
    assert codes(verify_stream(wrong.read_bytes())) == {"V015"}


# -- damage ----------------------------------------------------------------------------------------


def blobs_of(flavour: str) -> Iterator[tuple[str, bytes]]:
    """The members whose bytes something claims; an index, `manifest.json` and v1 documents are claimed by none."""
    for name, content in FLAVOURS[flavour]([APP]).items():
        if isinstance(content, bytes) and content and re.search(r"[0-9a-f]{64}(\.json|/layer\.tar)?$", name):
            yield name, content


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_flipped_byte_of_a_blob_is_found(verify: Verify, flavour: str) -> None:
    files = FLAVOURS[flavour]([APP])
    for name, content in blobs_of(flavour):
        is_layer = not content.startswith(b"{")
        for position in positions(len(content)):
            found = verify(pack({**files, name: flip(content, position)}))
            assert found.code in (1, 3), (name, position)
            assert name in text_of(found) + found.stderr, (name, position)
            assert found.code == 3 or not is_layer or re.search(r"layer [01]", text_of(found)), (name, position)
            assert found.stderr.count("\n") == (found.code == 3)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_flipped_byte_elsewhere_changes_no_answer(verify: Verify, tmp_path: Path, flavour: str) -> None:
    whole = pack(FLAVOURS[flavour]([APP]))
    intact = verify(whole, "-f", "json").stdout, run("inspect", tmp_path / "app.tar", "-f", "json").stdout
    blobs = {content for _, content in blobs_of(flavour)}
    headers = [at for at in range(0, len(whole), BLOCK) if whole[at + 257 : at + 262] == b"ustar"]
    outer = [at for at in headers if not any(content.find(whole[at : at + BLOCK]) >= 0 for content in blobs)]
    for number, at in enumerate(outer):
        # Every field of each header in turn, and all of them over all headers.
        for position in range(at + number % 11, at + BLOCK, 11):
            found = verify(flip(whole, position, 1 << number % 8), "-f", "json")
            assert found.code in (0, 1, 3), position
            if found.code == 0:
                answers = found.stdout, run("inspect", tmp_path / "app.tar", "-f", "json").stdout
                assert answers == intact, position


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_cut_archive_is_an_error_of_one_line(verify: Verify, flavour: str) -> None:
    whole = pack(FLAVOURS[flavour]([APP]))
    for cut in sorted({*range(0, len(whole), BLOCK), *range(1, len(whole), 997), len(whole) - 1}):
        found = verify(whole[:cut])
        assert (found.code, found.stdout, found.stderr.count("\n")) == (3, b"", 1), cut


@pytest.mark.parametrize("flavour", ["docker-20", "docker-25-gzip"])
def test_a_cut_stream_is_an_error_of_one_line(flavour: str) -> None:
    whole = pack(FLAVOURS[flavour]([APP]))
    packed = gzip.compress(whole, mtime=0)
    cuts = [(whole, cut) for cut in range(0, len(whole), 3 * BLOCK)] + [
        (packed, cut) for cut in range(1, len(packed), 61)
    ]
    cuts += [(gzip.compress(whole[:cut]), len(whole)) for cut in range(BLOCK, len(whole), 5 * BLOCK)]
    for data, cut in cuts:
        found = run("verify", "-", stdin=data[:cut])
        assert (found.code, found.stdout, found.stderr.count("\n")) == (3, b"", 1), cut


def test_a_cut_in_the_padding_is_seen_where_it_can_be(verify: Verify) -> None:
    whole = pack(FLAVOURS["docker-25"]([APP])) + bytes(8192)
    for missing, code in ((0, 0), (512, 0), (8192, 0), (1, 3), (511, 3), (513, 3), (8192 + 512, 3), (8192 + 1024, 3)):
        data = whole[: len(whole) - missing]
        assert verify(data).code == code, missing
        assert verify_stream(gzip.compress(data)).code == code, missing


LOST = {
    "damaged manifest.json": ("docker-20", {"manifest.json": b'[{"Layerz": []}]'}),
    "damaged index.json": ("oci-gzip", {"index.json": b"[]"}),
    "no index.json": ("oci-gzip", {"index.json": Link("nowhere")}),
}


@pytest.mark.parametrize("command", ["verify", "inspect", "ls"])
@pytest.mark.parametrize("lost", LOST)
def test_layers_without_documents_are_no_layer(tmp_path: Path, command: str, lost: str) -> None:
    flavour, damage = LOST[lost]
    files = {name: content for name, content in FLAVOURS[flavour]([APP]).items() if name != "oci-layout"}
    path = tmp_path / "app.tar"
    path.write_bytes(pack({**files, **damage}))
    for ran in (run(command, path), run(command, "-", stdin=path.read_bytes())):
        assert (ran.code, ran.stdout) == (3, b"")
        assert "members of an image, but no index.json or manifest.json" in ran.stderr


@pytest.mark.parametrize("name", ["index.json", "manifest.json"])
@pytest.mark.parametrize("damage", [bytes(300), b"", b"<html>"])
def test_a_document_that_is_no_json_is_not_passed_over_for_the_other_one(
    tmp_path: Path, name: str, damage: bytes
) -> None:
    files = FLAVOURS["docker-25"]([APP])
    path = tmp_path / "app.tar"
    path.write_bytes(pack({**files, name: damage}))
    for command in ("verify", "inspect", "ls"):
        for ran in (run(command, path), run(command, "-", stdin=path.read_bytes())):
            assert (ran.code, ran.stdout) == (3, b"")
            assert f"{name}: not JSON" in ran.stderr


def test_other_processes_see_the_same(tmp_path: Path) -> None:
    whole = pack(FLAVOURS["docker-25"]([APP]))
    middle = whole.index(b"y" * 1500) + 700
    for data, code, says in (
        (whole, 0, "everything is as claimed"),
        (flip(whole, middle), 1, "layer 1"),
        (whole[:middle], 3, "app.tar"),
        (whole[:-1024], 3, "app.tar: ends without its end-of-archive mark"),
    ):
        path = tmp_path / "app.tar"
        path.write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-m", "tarlayers", "verify", str(path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert done.returncode == code
        assert says in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_directory_may_have_more_blobs_than_a_process_may_open(tmp_path: Path) -> None:
    plain = [layer(file(f"{i}")) for i in range(90)]
    layout = unpack(FLAVOURS["oci-gzip"]([image(*plain)]), tmp_path / "layout")
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-m", "tarlayers", "verify", str(layout)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "verified 92 blobs, 90 layers" in done.stdout


# -- codes -----------------------------------------------------------------------------------------


def put_before(keys: bytes) -> Files:
    """A manifest.json whose object begins with other keys."""
    files = FLAVOURS["docker-25"]([APP])
    return {**files, "manifest.json": bytes_of(files, "manifest.json").replace(b"{", b"{" + keys, 1)}


def oci(*plain: bytes, flavour: str = "oci-gzip") -> Files:
    return FLAVOURS[flavour]([image(*plain) if plain else APP])


TWO = FLAVOURS["oci-gzip"]([APP, image(TOP)])


def replace_layer(data: bytes) -> Files:
    """Layer 1 becomes other bytes under their right digest."""
    files = oci()
    digest = blob(files, data)
    return edit_manifest(files, set_layer(1, digest=digest, size=len(data)))


def rename_tag(files: Files) -> Files:
    manifest = json.loads(bytes_of(files, "manifest.json"))
    manifest[0]["RepoTags"] = ["example.org/other:v9"]
    return {**files, "manifest.json": compact(manifest)}


def swap_listed_layers(files: Files) -> Files:
    manifest = json.loads(bytes_of(files, "manifest.json"))
    manifest[0]["Layers"].reverse()
    return {**files, "manifest.json": compact(manifest)}


def with_platform() -> Files:
    files = oci()
    tree = json.loads(bytes_of(files, "index.json"))
    tree["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64", "variant": "v2"}
    return {**files, "index.json": compact(tree)}


def sha512_diff_id(config: dict[str, Any]) -> None:
    config["rootfs"]["diff_ids"][1] = "sha512:" + "0" * 128


LAYER = f"{OCI}.layer.v1.tar"
SQUASHFS = f"{OCI}.layer.v1.squashfs"
STALE = dict(estargz().annotations)
MEMBERS = (directory("etc"), file("etc/x", b"1" * 900), file("etc/y", b"2" * 40))

PROVOKED: Sequence[tuple[str, str, str, Files]] = [
    ("V001", "layer digest", "layer 1", {**oci(flavour="oci-none"), f"blobs/sha256/{sha256(TOP)}": flip(TOP, 900)}),
    ("V002", "descriptor size", "layer 0", edit_manifest(oci(), set_layer(0, size=7))),
    ("V003", "diff IDs swapped", "layer 0", edit_config(oci(), lambda c: c["rootfs"]["diff_ids"].reverse())),
    ("V004", "diff ID dropped", "app:v1", edit_config(oci(), lambda c: c["rootfs"]["diff_ids"].pop())),
    ("V005", "no tar", "layer 1", replace_layer(b"no tar" * 200)),
    ("V005", "gzip cut short", "layer 1", replace_layer(gzip.compress(TOP)[:-9])),
    ("V006", "docker-20 layer gone", "layer 0", drop(FLAVOURS["docker-20"]([APP]), lambda _, c: c == BASE)),
    ("V006", "docker-25 layer gone", "Layers[0]", drop(FLAVOURS["docker-25"]([APP]), lambda _, c: c == BASE)),
    ("V007", "table's digest", "layer 0", with_layers(estargz(*MEMBERS, claimed="sha256:" + "0" * 64))),
    ("V007", "table's checksum", "layer 0", with_layers(zstd_chunked(*MEMBERS, claimed="sha256:" + "0" * 64))),
    ("V008", "table's entry", "layer 0", with_layers(estargz(*MEMBERS, change=lambda t: t["entries"].pop()))),
    ("V009", "step too many", "app:v1", edit_config(oci(), lambda c: c["history"].append({"created_by": "more"}))),
    ("V010", "other tag", "manifest.json", rename_tag(FLAVOURS["docker-25"]([APP]))),
    ("V010", "other layers", "Layers[1]", swap_listed_layers(FLAVOURS["docker-25"]([APP]))),
    ("V011", "zstd claimed", "layer 0", edit_manifest(oci(), set_layer(0, mediaType=f"{LAYER}+zstd"))),
    ("V011", "squashfs claimed", "layer 0", edit_manifest(oci(), set_layer(0, mediaType=SQUASHFS))),
    ("V012", "tail", "layer 0", oci(BASE + b"tail" * 128, TOP)),
    ("V013", "layer gone", "layer 1", drop(oci(), lambda _, c: c == gzip.compress(TOP, mtime=0))),
    ("V014", "encrypted", "layer 1", edit_manifest(oci(), set_layer(1, mediaType=f"{LAYER}+gzip+encrypted"))),
    ("V015", "sha512 diff ID", "layer 1", edit_config(oci(), sha512_diff_id)),
    ("V016", "no diff IDs", "app:v1", edit_config(oci(), lambda c: c.pop("rootfs"))),
    ("V024", "key twice", "manifest.json", put_before(b'"Layers":[],')),
    ("V024", "key in lower case", "manifest.json", put_before(b'"repotags":[],')),
    ("V025", "other architecture", "app:v1", edit_config(with_platform(), lambda c: c.update(architecture="arm64"))),
    ("V025", "other variant", "app:v1", edit_config(with_platform(), lambda c: c.update(variant="v3"))),
    ("V026", "other bytes embedded", "config", edit_manifest(oci(), lambda m: m["config"].update(data="e30="))),
    ("V026", "no base64 embedded", "layer 0", edit_manifest(oci(), set_layer(0, data="e30"))),
    ("V027", "layer gone", "app:v1", drop(oci(), lambda _, c: c == gzip.compress(TOP, mtime=0))),
    ("V027", "manifest gone", "app:v1", drop(oci(), lambda _, c: isinstance(c, bytes) and b'"layers":[' in c)),
    ("V027", "configuration gone", "app:v1", drop(oci(), lambda _, c: isinstance(c, bytes) and b'"rootfs"' in c)),
    ("V028", "layout of another version", "oci-layout", {**oci(), "oci-layout": b'{"imageLayoutVersion":"9.0.0"}'}),
    ("V028", "layout of no version", "oci-layout", {**oci(), "oci-layout": b'{"imageLayoutVersion":null}'}),
    ("V028", "no layout", "oci-layout", drop(oci(), lambda name, _: name == "oci-layout")),
    ("V028", "layout that is no JSON", "oci-layout", {**oci(), "oci-layout": b"1.0.0"}),
    ("V028", "layout that is cut short", "oci-layout", {**oci(), "oci-layout": b'{"imageLayoutVersion":'}),
    ("V029", "time that is a number", "v1", edit_config(TWO, lambda c: c.update(created=5))),
    ("V018", "table gone", "layer 0", edit_manifest(oci(flavour="oci-none"), set_layer(0, annotations=STALE))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "place", "files"), [(row[0], *row[2:]) for row in PROVOKED], ids=[f"{row[0]} {row[1]}" for row in PROVOKED]
)
def test_every_finding_names_its_place(verify: Verify, code: str, place: str, files: Files) -> None:
    data = pack(files)
    found = verify(data, "-f", "json")
    places = [finding["place"] for finding in found.json["findings"] if finding["code"] == code]
    severities = {finding["severity"] for finding in found.json["findings"]}
    assert any(place in each for each in places), found.stdout
    assert found.code == ("error" in severities)
    assert CODES[code] in severities
    streams = verify_stream(data), verify_stream(gzip.compress(data))
    assert {each.stdout for each in streams} == {found.stdout}
    text = text_of(verify(data))
    assert max(map(len, text.splitlines())) <= 100
    assert f"{CODES[code]:7} {code} " in text


@pytest.mark.parametrize("spell", [str, lambda text: "\r\n".join((text[:8], text[8:]))], ids=["in one line", "in two"])
def test_what_a_descriptor_embeds_may_be_the_blob(verify: Verify, spell: Callable[[str], str]) -> None:
    files = oci()

    def embed(manifest: dict[str, Any]) -> None:
        name = f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"
        manifest["config"]["data"] = spell(b64encode(bytes_of(files, name)).decode())

    found = verify(pack(edit_manifest(files, embed)), "-f", "json")
    assert found.json["findings"] == []


def test_of_two_members_with_one_name_the_last_counts(verify: Verify) -> None:
    files = FLAVOURS["docker-20"]([APP])
    name = next(name for name, content in files.items() if content == TOP)
    other = layer(file("etc/z", b"another layer"))
    for first, second, wanted in ((other, TOP, {"V017"}), (TOP, other, {"V017", "V003"})):
        twice = pack({name: first})[:-1024] + pack({**files, name: second})
        found = verify(twice, "-f", "json")
        assert codes(found) == wanted
        [finding] = [each for each in found.json["findings"] if each["code"] == "V017"]
        assert (finding["severity"], finding["computed"]) == ("warning", 2)
        assert name in finding["place"]
        assert verify_stream(twice).stdout == found.stdout


def test_every_code_is_provoked_and_explained() -> None:
    pages = {
        page: re.findall(r"^### (V\d{3}) .+ \((error|warning|note)\)\n\n\S", text, re.MULTILINE)
        for page in ("findings.md", "tar-split.md", "findings-data-roots.md")
        for text in [(ROOT / "docs" / page).read_text()]
    }
    assert {row[0] for row in PROVOKED} | {"V017", "V019", "V024"} == dict(pages["findings.md"]).keys()
    explained = [row for rows in pages.values() for row in rows]
    assert len(explained) == len(dict(explained))
    assert dict(explained) == CODES


# -- tables of contents ----------------------------------------------------------------------------

LAZY: dict[str, Callable[..., LazyLayer]] = {
    "estargz": estargz,
    "estargz behind the end": lambda *members, **more: estargz(*members, behind=True, **more),
    "zstd:chunked": zstd_chunked,
}
RICH = (
    directory("etc"), file("etc/empty"), file("etc/x", b"1" * 900, mode=0o4755, uid=3), hardlink("h", "etc/x"),
    symlink("l", "../etc/x"), whiteout("etc/gone"), xattrs(file("cap", b"c"), security_capability=b"\1\0\2"),
    file("twice", b"first"), file("twice", b"second"),
)  # fmt: skip


def tell(member: str, **fields: Any) -> Callable[[dict[str, Any]], object]:
    """Change what a table says of one member."""

    def change(toc: dict[str, Any]) -> None:
        next(each for each in toc["entries"] if each["name"] == member).update(fields)

    return change


TOLD_OTHERWISE = {
    "/etc/x: size 899": tell("etc/x", size=899),
    "/etc/x: mode 0755": tell("etc/x", mode=0o755),
    "/etc/x: owner 0:0": tell("etc/x", uid=0),
    "/etc/x: time": tell("etc/x", modtime="2024-01-01T00:00:00Z"),
    "/etc/x: content sha256:": tell("etc/x", digest="sha256:" + "5" * 64),
    "/l: link /etc/x": tell("l", linkName="/etc/x"),
    "/h: link /etc/y": tell("h", linkName="etc/y"),
    "/cap: attributes": tell("cap", xattrs={}),
    "/etc: type file": tell("etc/", type="reg"),
    "/more: in the table of contents, but not in the layer": lambda t: t["entries"].append({"name": "more"}),
    "/etc/x: not in the table of contents": tell("etc/x", name="etc/other"),
    "no list of entries": lambda toc: toc.pop("entries"),
    "entries[2].mode: expected a whole number": tell("etc/x", mode="0755"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAZY)
def test_a_table_that_tells_the_truth(verify: Verify, tmp_path: Path, kind: str) -> None:
    data = pack(with_layers(LAZY[kind](*RICH), LAZY[kind](*MEMBERS)))
    found = verify(data, "-f", "json")
    assert (found.code, found.json["findings"]) == (0, [])
    rows = run("layers", tmp_path / "app.tar", "-f", "json").json["layers"]
    assert [row["format"] for row in rows] == [kind.partition(" ")[0]] * 2
    listed = text_of(run("ls", "-R", tmp_path / "app.tar")).splitlines()
    assert ("/stargz.index.json" in listed) == (kind == "estargz")


@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("says", TOLD_OTHERWISE)
def test_a_table_that_tells_another_story(verify: Verify, kind: str, says: str) -> None:
    data = pack(with_layers(LAZY[kind](*RICH, change=TOLD_OTHERWISE[says])))
    found = verify(data, "-f", "json")
    assert (found.code, codes(found)) == (1, {"V008"})
    assert any(says in finding["message"] for finding in found.json["findings"]), found.stdout
    assert verify_stream(gzip.compress(data)).stdout == found.stdout


@pytest.mark.parametrize("kind", LAZY)
def test_the_very_first_content_is_compared_too(verify: Verify, kind: str) -> None:
    other = tell("first", digest="sha256:" + "5" * 64)
    found = verify(pack(with_layers(LAZY[kind](file("first", b"1" * 9), change=other))), "-f", "json")
    assert ["/first: content" in finding["message"] for finding in found.json["findings"]] == [True]


@pytest.mark.parametrize("kind", LAZY)
def test_a_table_is_recognised_without_annotations(verify: Verify, tmp_path: Path, kind: str) -> None:
    bare = LAZY[kind](*RICH)
    data = pack(with_layers(LazyLayer(bare.blob, {}, bare.plain)))
    assert verify(data, "-f", "json").json["findings"] == []
    [row] = run("layers", tmp_path / "app.tar", "-f", "json").json["layers"]
    assert row["format"] == kind.partition(" ")[0]
    assert (
        run("layers", "-", "-f", "json", stdin=data).stdout == run("layers", tmp_path / "app.tar", "-f", "json").stdout
    )


def test_a_footer_that_points_nowhere(verify: Verify) -> None:
    found = verify(pack(with_layers(zstd_chunked(*RICH, shift=1))), "-f", "json")
    assert codes(found) == {"V008"}
    assert "where no frame" in found.json["findings"][0]["message"]


def test_many_differences_are_told_in_short(verify: Verify) -> None:
    def empty(toc: dict[str, Any]) -> None:
        toc["entries"].clear()

    found = verify(pack(with_layers(estargz(*RICH, change=empty))), "-f", "json")
    assert len(found.json["findings"]) == 6
    assert found.json["findings"][-1]["message"].startswith("3 more differences")
