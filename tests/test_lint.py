"""Lint: every code provoked, what must not be flagged, the documentation, both engines, and the reference cases."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given, settings

import tarlayers
from tarlayers.analysis.lint.codes import CODES, FAMILIES, REFUSALS
from tarlayers.analysis.lint.report import has_failed, lint_image
from tarlayers.errors import ContentAbsent
from tarlayers.rootfs import RootFS
from tarlayers.severity import SEVERITIES
from tests.build import (
    OCI,
    Files,
    Member,
    archive,
    compact,
    descriptor,
    device,
    directory,
    docker_20,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    pack,
    symlink,
    whiteout,
    xattrs,
)
from tests.paths import CASES, ROOT
from tests.run import run
from tests.strategies import LAYERS

GZIP = f"{OCI}.layer.v1.tar+gzip"
PLAIN = layer(file("x"))
# RFC 8878, 3.1.2: magic, length, content that decoders skip.
SKIPPABLE = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"


def open_bytes(data):
    (only,) = tarlayers.open_images(io.BytesIO(data)).images
    return only


def lint(*layers, flavour="oci-none", **options):
    """The findings in an image of layers, each given by its members."""
    plain = [each if isinstance(each, bytes) else layer(*each) for each in layers]
    return lint_image(open_bytes(archive(flavour, image(*plain))), **options).findings


def found(*layers, **options):
    return [(finding.code, finding.layer, finding.path) for finding in lint(*layers, **options)]


def blob_archive(stored, media_type, plain=PLAIN):
    """An OCI layout whose one layer is these stored bytes under this media type."""
    files: Files = {}
    built = image(plain)
    layers = [descriptor(files, media_type, stored)]
    config = descriptor(files, f"{OCI}.config.v1+json", built.config_bytes)
    manifest = compact({"schemaVersion": 2, "config": config, "layers": layers})
    entry = descriptor(files, f"{OCI}.manifest.v1+json", manifest)
    files["index.json"] = compact({"schemaVersion": 2, "manifests": [entry]})
    files["oci-layout"] = compact({"imageLayoutVersion": "1.0.0"})
    return pack(files)


def xz_in_docker_archive(compress=lzma.compress):
    files = docker_20([image(PLAIN)])
    return pack({name: compress(PLAIN) if content == PLAIN else content for name, content in files.items()})


def zstd(plain):
    return zstandard.ZstdCompressor().compress(plain)


RESERVED = b"\x1f\x8b\x08\x80" + gzip.compress(PLAIN)[4:]
BLOBS = {
    "cut short": ("L001", lambda: blob_archive(gzip.compress(PLAIN)[:-9], GZIP)),
    "bad checksum": ("L001", lambda: blob_archive(b"y" + PLAIN[1:], f"{OCI}.layer.v1.tar")),
    "xz": ("L002", xz_in_docker_archive),
    "bzip2": ("L002", lambda: xz_in_docker_archive(bz2.compress)),
    "gzip under the plain type": ("L002", lambda: blob_archive(gzip.compress(PLAIN), f"{OCI}.layer.v1.tar")),
    "no layer's type": ("L003", lambda: blob_archive(gzip.compress(PLAIN), "application/x-tar")),
    "zeros behind gzip": ("L004", lambda: blob_archive(gzip.compress(PLAIN) + bytes(100), GZIP)),
    "garbage behind gzip": ("L004", lambda: blob_archive(gzip.compress(PLAIN) + b"garbage", GZIP)),
    "gzip flags that mean nothing": ("L009", lambda: blob_archive(RESERVED, GZIP)),
    "second member with such flags": (
        "L009",
        lambda: blob_archive(gzip.compress(b"") + RESERVED, GZIP),
    ),
    "skippable zstd frame first": ("L005", lambda: blob_archive(SKIPPABLE + zstd(PLAIN), f"{OCI}.layer.v1.tar+zstd")),
    "zstd": ("L006", lambda: blob_archive(zstd(PLAIN), f"{OCI}.layer.v1.tar+zstd")),
    "plain under the gzip type": ("L007", lambda: blob_archive(PLAIN, GZIP)),
    "docker's type": (
        "L008",
        lambda: blob_archive(gzip.compress(PLAIN), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ),
}


@pytest.mark.parametrize("name", BLOBS)
def test_blobs(name):
    code, build = BLOBS[name]
    findings = lint_image(open_bytes(build())).findings
    assert (code, 0, None) in [(finding.code, finding.layer, finding.path) for finding in findings]


@pytest.mark.parametrize(
    ("stored", "media_type"),
    [
        (gzip.compress(PLAIN), GZIP),
        (PLAIN, f"{OCI}.layer.v1.tar"),
        (gzip.compress(PLAIN[:100]) + gzip.compress(PLAIN[100:]), GZIP),
        (gzip.compress(PLAIN + b"garbage"), GZIP),
    ],
    ids=["gzip", "plain", "two gzip members", "garbage behind the tar's end"],
)
def test_blobs_that_all_engines_read(stored, media_type):
    assert lint_image(open_bytes(blob_archive(stored, media_type))).findings == ()


def test_one_fault_of_a_blob_is_one_finding():
    findings = lint_image(open_bytes(blob_archive(gzip.compress(PLAIN), f"{OCI}.layer.v1.tar"))).findings
    assert [(finding.code, finding.rule) for finding in findings] == [("L002", "L9")]


def test_a_skippable_frame_behind_the_data_is_nothing_special():
    findings = lint_image(open_bytes(blob_archive(zstd(PLAIN) + SKIPPABLE, f"{OCI}.layer.v1.tar+zstd"))).findings
    assert [finding.code for finding in findings] == ["L006"]


CHAIN = [symlink(f"l{i}", f"l{i + 1}") for i in range(41)]

STRUCTURES = {
    # -- markers
    "whiteout behind its file": ([file("d/x")], [file("a"), whiteout("a")], ("L010", 1, "/.wh.a")),
    "the same whiteout twice": ([file("a")], [whiteout("a"), whiteout("a")], ("L010", 1, "/.wh.a")),
    "below a whiteout": ([file("d/x")], [whiteout("d"), file("d/new")], ("L011", 1, "/d/new")),
    "whiteout of nothing": ([file("a")], [whiteout("")], ("L012", 1, "/.wh.")),
    "whiteout, then the directory": (
        [directory("d"), file("d/old")], [whiteout("d"), directory("d")], ("L013", 1, "/d"),
    ),
    "first layer whites itself out": ([file("a"), whiteout("a")], [], ("L014", 0, "/.wh.a")),
    "first layer, below its whiteout": ([whiteout("d"), file("d/x")], [], ("L014", 0, "/d/x")),
    "first layer, opaque behind implied": ([directory("d"), file("d/s/x"), opaque("d")], [], ("L015", 0, "/d/s")),
    "opaque behind implied": (
        [directory("d"), file("d/old")], [directory("d"), file("d/s/x"), opaque("d")], ("L016", 1, "/d/s"),
    ),
    "opaque root": ([file("a")], [opaque()], ("L017", 1, "/")),
    "opaque over a file": ([file("d")], [opaque("d")], ("L018", 1, "/d")),
    "whiteout in a directory that is hidden": (
        [file("c/d/x")], [directory("c"), opaque("c"), whiteout("c/d/x")], ("L019", 1, "/c/d"),
    ),
    "whiteout in no directory": ([file("a")], [whiteout("q/r/x")], ("L019", 1, "/q/r")),
    "aufs": ([directory(".wh..wh.plnk")], [file(".wh..wh.plnk/1.2")], ("L020", 1, "/.wh..wh.plnk/1.2")),
    # -- names
    "one name twice": ([file("a"), file("./a")], [], ("L021", 0, "/a")),
    "one whiteout twice": ([file("a")], [whiteout("a"), whiteout("./a")], ("L021", 1, "/.wh.a")),
    "above the root": ([file("../../etc/x")], [], ("L022", 0, "/etc/x")),
    "nameless file": ([file("")], [], ("L023", 0, "/")),
    "private root": ([directory("./", mode=0o700)], [], ("L024", 0, "/")),
    "long name": ([file("n" * 256)], [], ("L025", 0, "/" + "n" * 256)),
    # -- parents
    "below a file": ([file("a"), file("a/x")], [], ("L030", 0, "/a/x")),
    "deep below a lower file": ([file("a")], [file("a/b/x")], ("L030", 1, "/a/b/x")),
    "below a loop": ([symlink("a", "b"), symlink("b", "a"), file("a/x")], [], ("L031", 0, "/a/x")),
    "below a lower loop": ([symlink("a", "a")], [file("a/x")], ("L031", 1, "/a/x")),
    "below a lower symlink": ([symlink("lib", "usr/lib"), directory("usr/lib")], [file("lib/x")], ("L032", 1, "/lib")),
    "below a lower symlink, listed too late": (
        [symlink("lib", "usr/lib"), directory("usr/lib")], [file("lib/x"), directory("lib")], ("L032", 1, "/lib"),
    ),
    "whiteout below a lower symlink": ([symlink("lib", "usr/lib"), file("usr/lib/x")], [whiteout("lib/x")],
                                       ("L032", 1, "/lib")),
    "unlisted /tmp": ([directory("tmp", mode=0o1777)], [file("tmp/x")], ("L033", 1, "/tmp")),
    "unlisted, opaque alone": ([directory("d")], [opaque("d")], ("L033", 1, "/d")),
    "below a lower file": ([file("a")], [file("a/x")], ("L034", 1, "/a")),
    "dangling": ([symlink("a", "b/c"), file("a/x")], [], ("L035", 0, "/a/x")),
    "target below": ([directory("usr/lib")], [symlink("lib", "usr/lib"), file("lib/x")], ("L035", 1, "/lib/x")),
    "climbing link": ([symlink("a", "../../b"), directory("b"), file("a/x")], [], ("L036", 0, "/a/x")),
    "41 links": ([*CHAIN, directory("l41"), file("l0/x")], [], ("L037", 0, "/l0/x")),
    "gone before its time": ([directory("d"), file("d/x"), whiteout("d")], [], ("L038", 0, "/d")),
    # -- hard links
    "link to a lower file": ([file("a")], [hardlink("b", "a")], ("L040", 1, "/b")),
    "link forward": ([hardlink("b", "a"), file("a")], [], ("L040", 0, "/b")),
    "link to a directory": ([directory("d"), hardlink("b", "d")], [], ("L041", 0, "/b")),
    "link to nothing": ([hardlink("b", "")], [], ("L041", 0, "/b")),
    "link to a whiteout": ([file("a")], [whiteout("a"), hardlink("b", "a")], ("L042", 1, "/b")),
    "a marker's directory, reached by a link that is gone": (
        [file("x")],
        [symlink("a/a", "../../c"), whiteout("a/a/a"), file("a")],
        ("L019", 1, "/c"),
    ),
    "directory listed after its marker": (
        [directory("b", pax={"SCHILY.xattr.user.x": b"1"})],
        [opaque("b"), directory("b"), file("b/a")],
        ("L033", 1, "/b"),
    ),
    "link whose target's directory is gone at the end": (
        [file("b/a/a", uid=7), hardlink("a/a", "b/a/a"), file("b")],
        [],
        ("L043", 0, "/a/a"),
    ),
    "link to a file written through a symlink": (
        [file("a/a"), symlink("b/a", "/a"), file("b/a/a", uid=7), hardlink("c", "b/a/a")],
        [],
        ("L043", 0, "/c"),
    ),
    "directory listed again after its opaque marker": (
        [symlink("a/c/a", "a"), opaque("a"), directory("a/c")],
        [],
        ("L015", 0, "/a/c/a"),
    ),
    "link to a whiteout that is gone again": (
        [file("a")],
        [whiteout("a"), hardlink("b", "a"), file("a")],
        ("L042", 1, "/b"),
    ),
    "link with another mode": ([file("a"), hardlink("b", "a", mode=0o600)], [], ("L043", 0, "/b")),
    "link of a link": ([file("a"), hardlink("b", "a"), hardlink("c", "b", uid=7)], [], ("L043", 0, "/c")),
    "link to a symlink": ([symlink("a", "x"), hardlink("b", "a", mtime=1)], [], ("L044", 0, "/b")),
    "link target above the root": ([file("a"), hardlink("b", "../a")], [], ("L045", 0, "/b")),
    # -- inodes
    "contiguous": ([Member("a", "7")], [], ("L050", 0, "/a")),
    "unknown type": ([Member("a", "V")], [], ("L050", 0, "/a")),
    "symlink to nothing": ([symlink("a", "")], [], ("L051", 0, "/a")),
    "symlink to too much": ([symlink("a", "t" * 4096)], [], ("L051", 0, "/a")),
    "device 0:0": ([file("a")], [device("a", 0, 0)], ("L052", 1, "/a")),
    "device 4096:0, which mknod cuts": ([file("a")], [device("a", 4096, 0)], ("L052", 1, "/a")),
    "trusted": ([xattrs(directory("d"), trusted_overlay_opaque=b"y")], [], ("L053", 0, "/d")),
    "user on a symlink": ([xattrs(symlink("a", "b"), user_x=b"1")], [], ("L054", 0, "/a")),
    "another system's attribute": ([xattrs(file("a"), com_apple=b"1")], [], ("L055", 0, "/a")),
    "empty attribute": ([xattrs(file("a"), user_x=b"")], [], ("L056", 0, "/a")),
    "SELinux": ([xattrs(file("a"), security_selinux=b"s0")], [], ("L057", 0, "/a")),
    "attributes not listed again": (
        [xattrs(directory("d"), user_x=b"1")], [directory("d"), file("d/x")], ("L058", 1, "/d"),
    ),
    "global header": ([Member("pax_global_header", "g")], [], ("L059", 0, "/pax_global_header")),
    "before 1970": ([file("a", mtime=-5)], [], ("L060", 0, "/a")),
    "after 2262": ([replace(file("a"), pax={"mtime": "10000000000"})], [], ("L060", 0, "/a")),
    "an attribute that cannot be": ([xattrs(file("ping"), security_capability=b"\1")], [], ("L061", 0, "/ping")),
    # -- what is visible
    "set-uid": ([file("su", mode=0o4755)], [], ("L070", 0, "/su")),
    "set-gid": ([file("wall")], [file("wall", mode=0o2755)], ("L070", 1, "/wall")),
    "capabilities": ([xattrs(file("ping"), security_capability=b"\1\0\0\2" + bytes(16))], [], ("L071", 0, "/ping")),
    "everybody's file": ([directory("d"), file("d/x", mode=0o666)], [], ("L072", 0, "/d/x")),
    "everybody's file at the root": ([file("x", mode=0o666)], [], ("L072", 0, "/x")),
    "everybody's directory": ([directory("d", mode=0o777)], [], ("L073", 0, "/d")),
    "Latin-1": ([file("caf\udce9")], [], ("L080", 0, "/caf\udce9")),
    "case": ([file("d/A")], [file("d/a")], ("L081", 0, "/d/A")),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name):
    base, top, expected = STRUCTURES[name]
    assert expected in found(base, top)


@pytest.mark.parametrize(
    ("members", "expected"),
    [([file("d/x"), whiteout("d")], ("L014", 0, "/.wh.d")), ([file("d\udce9/x")], ("L080", 0, "/d\udce9"))],
    ids=["an implied directory that a whiteout removes", "below a name that is not UTF-8"],
)
def test_one_fault_is_one_finding(members, expected):
    assert found(members) == [expected]


def test_every_code_can_be_provoked():
    provoked = {code for code, _ in BLOBS.values()} | {expected[0] for _, _, expected in STRUCTURES.values()}
    assert provoked == CODES.keys()


USUAL = {
    "whiteout before its file": ([file("a")], [whiteout("a"), file("a")]),
    "whiteout of what is not there": ([directory("d")], [directory("d"), whiteout("d/x")]),
    "opaque, listed directory": ([directory("d"), file("d/x")], [directory("d"), opaque("d"), file("d/y")]),
    "opaque behind a listed subdirectory": (
        [directory("d"), file("d/x")], [directory("d"), directory("d/s"), file("d/s/y"), opaque("d")],
    ),
    "whiteout, then the directory, and an opaque marker": (
        [directory("d"), file("d/x")], [whiteout("d"), directory("d"), opaque("d")],
    ),
    "whiteout of a file, then a directory": ([file("d")], [whiteout("d"), directory("d")]),
    "whiteout of an empty directory, then a directory": ([directory("d")], [whiteout("d"), directory("d")]),
    "whiteout in a new directory that is listed": ([file("a")], [directory("q"), whiteout("q/x")]),
    "opaque root over nothing": ([], [opaque(), file("a")]),
    "whiteouts in the first layer that hit nothing": ([whiteout("a"), file("b")], []),
    "a leading slash makes another name to tar-split": ([file("a"), file("/a")], []),
    "dots that stay inside": ([file("a/../b")], []),
    "root entry": ([directory("./")], [directory("./")]),
    "255 bytes": ([file("n" * 255)], []),
    "implied directories that nobody has": ([file("a/b/c")], []),
    "unlisted, but as a plain one": ([directory("d")], [file("d/x")]),
    "symlink of the same layer, target first": ([directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x")], []),
    "below a symlink to what is implied before": ([file("usr/lib/y"), symlink("lib", "usr/lib"), file("lib/x")], []),
    "below what becomes a symlink later": ([file("a/x"), symlink("a", "b")], []),
    "new directory below a symlink": ([directory("usr"), symlink("l", "usr"), file("l/new/x")], []),
    "40 links": ([*CHAIN[:40], directory("l40"), file("l0/x")], []),
    "listed directory over a lower symlink": ([symlink("lib", "usr/lib")], [directory("lib"), file("lib/x")]),
    "listed directory over a lower file": ([file("a")], [directory("a"), file("a/x")]),
    "hard links": ([file("a"), hardlink("b", "a", mode=0o644), hardlink("d/c", "./b")], []),
    "hard link without the target's attributes": (
        [xattrs(file("a"), user_x=b"1"), hardlink("b", "a")], [],
    ),
    "hard link to a symlink": ([symlink("a", "x"), hardlink("b", "a")], []),
    "attributes": ([xattrs(file("a"), user_x=b"1", security_ima=b"1"), xattrs(directory("d"), user_x=b"1")],
                   [xattrs(directory("d"), user_x=b"2")]),
    "access lists": ([xattrs(file("a"), system_posix_acl_access=b"\2\0\0\0")], []),
    "devices and fifos": ([device("null", 1, 3, mode=0o666), device("sda", 8, 0, kind="block"), fifo("p")], []),
    "1970": ([file("a", mtime=0)], []),
    "set-uid, gone again": ([file("su", mode=0o4755)], [whiteout("su")]),
    "set-gid directory": ([directory("mail", mode=0o2775)], []),
    "/tmp": ([directory("tmp", mode=0o1777), file("tmp/x", mode=0o666)], []),
    "symlinks have no mode": ([symlink("a", "b")], []),
    "UTF-8": ([file("café")], []),
    "case in two directories": ([file("d/A"), file("e/a")], []),
}  # fmt: skip


@pytest.mark.parametrize("name", USUAL)
def test_what_engines_agree_on(name):
    assert found(*USUAL[name]) == []


def test_a_marker_at_the_root_does_not_count_what_is_below_it(monkeypatch):
    """All directories are gone through to do so: 100,000 of them, once for each of 2000 layers, took 4 s."""
    monkeypatch.setattr(RootFS, "__len__", lambda _: pytest.fail("counted"))
    for below, codes in (((file("d/x"),), ["L017"]), ((), [])):
        data = archive("docker-25", image(layer(*below), layer(opaque())))
        found = lint_image(tarlayers.open_image(io.BytesIO(data))).findings
        assert [each.code for each in found if each.code == "L017"] == codes


# -- the report ------------------------------------------------------------------------------------


def test_the_worst_comes_first_and_ignored_codes_are_left_out():
    layers = [file("su", mode=0o4755), file("a"), file("a")], [hardlink("b", "gone"), file("z"), file("z")]
    assert found(*layers) == [("L040", 1, "/b"), ("L021", 0, "/a"), ("L021", 1, "/z"), ("L070", 0, "/su")]
    assert found(*layers, ignore={"L021", "L040"}) == [("L070", 0, "/su")]
    with pytest.raises(ValueError, match="L999"):
        lint(*layers, ignore={"L999"})


@pytest.mark.parametrize(
    ("members", "fails"),
    [([file("a/b"), file("a"), file("a")], "warning note"), ([hardlink("b", "gone")], "error warning note"),
     ([file("su", mode=0o4755)], "note"), ([file("a")], "")],
)  # fmt: skip
def test_has_failed(members, fails):
    report = lint_image(open_bytes(archive("oci-gzip", image(layer(*members)))))
    assert [severity for severity in SEVERITIES if has_failed(report, severity)] == fails.split()


def test_a_layer_that_cannot_be_read_does_not_hide_the_others():
    good = layer(file("a"), file("a"))
    findings = lint(PLAIN, good[:700] + bytes([1]) * 300, good)
    assert [(finding.code, finding.layer) for finding in findings] == [("L001", 1), ("L021", 2)]
    assert "at offset" in findings[0].message


def test_absent_bytes_are_no_answer():
    files = docker_20([image(PLAIN)])
    absent = pack({name: content for name, content in files.items() if not name.endswith("layer.tar")})
    with pytest.raises(ContentAbsent):
        lint_image(open_bytes(absent))


def test_names_of_one_inode_are_told_once():
    (finding,) = lint([file("su", mode=0o4755), hardlink("sudo", "su", mode=0o4755)])
    assert finding.message.endswith("also named /sudo")
    (finding,) = lint([file("a", mode=0o4755), *(hardlink(f"b{i}", "a", mode=0o4755) for i in range(9))])
    assert finding.message.endswith("also named /b0 /b1 /b2 and 6 more")


def test_what_families_show_is_at_hand():
    (finding,) = lint([file("a"), file("a")])
    assert finding.engines["containerd"] == "the last wins"
    assert finding.engines["podman"] == "refuses"


# -- documentation ---------------------------------------------------------------------------------

DOCS = (ROOT / "docs" / "lint.md").read_text()


def read_docs():
    """Of every code the severity, rule, title and engines that its section gives."""
    sections = re.split(r"^### ", DOCS, flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        code, title, severity, rule = re.match(r"(L\d{3}): (.+)\n\n\*(\w+)(?:, rule (\w+))?\*\n\n\S", section).groups()
        row = re.search(r"^\|---.*\n\| (.+) \|$", section, re.MULTILINE)
        assert "Usual cause" in section or "Nothing to mend" in section
        found[code] = severity, rule, title, tuple(row[1].split(" | ")) if row else ()
    return found


def test_docs_and_table_agree():
    table = {c.code: (c.severity, c.rule, c.title, tuple(c.engines.values())) for c in CODES.values()}
    assert read_docs() == table
    rows = re.findall(r"^\| (L\d{3}) \| (\w+) \| (\w*) \| (.+) \|$", DOCS, re.MULTILINE)
    assert rows == [(code, severity, rule or "", title) for code, (severity, rule, title, _) in table.items()]


def test_the_table_is_in_order_and_whole():
    assert list(CODES) == sorted(CODES)
    assert all(code.severity in SEVERITIES for code in CODES.values())
    assert all(tuple(code.engines) in (FAMILIES, ()) for code in CODES.values())
    assert all(CODES[code].severity == "error" for code in REFUSALS.values())


# -- both engines ----------------------------------------------------------------------------------


def view(rootfs):
    """Everything but times: those of implied directories come from the clock."""
    return {
        path: (entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.link, entry.xattrs)
        for path, entry in rootfs.items()
    }


@settings(max_examples=200, deadline=None)
@given(LAYERS)
def test_where_lint_is_silent_both_engines_show_the_same(layers):
    built = open_bytes(archive("oci-none", image(*layers)))
    containerd = tarlayers.merge_layers(built.layers)
    oci = tarlayers.merge_layers(built.layers, engine="oci")
    report = lint_image(built)
    assert has_failed(report, "error") == bool(containerd.refused)
    if not has_failed(report, "warning"):
        assert not oci.refused
        assert view(containerd) == view(oci)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    def write(*layers):
        target = tmp_path / "image.tar"
        target.write_bytes(archive("oci-gzip", image(*layers)))
        return target

    return write


def test_text_shortens_what_repeats(path):
    target = path(layer(*(file(f"bin/{i:02}", mode=0o4755) for i in range(30))), layer(file("x\n"), file("x\n")))
    lines = run("lint", target).stdout.decode().splitlines()
    assert lines[0] == r"warning L021 layer 1: /x\x0a: listed 2 times: overlay2, vfs and podman refuse the layer"
    assert lines[1] == "note L070 layer 0: /bin/00: set-uid file (4755 0:0)"
    assert lines[11:] == [
        "note L070 layer 0: ... and 20 more (--all)",
        "linted 2 layers, 32 entries: 1 warning, 30 notes",
    ]
    assert len(run("lint", "--all", target).stdout.splitlines()) == 32


def test_text_names_layers_of_one_blob_finding_together(tmp_path):
    target = tmp_path / "zstd.tar"
    target.write_bytes(archive("oci-zstd", image(*(layer(file(f"{i}")) for i in range(4)))))
    assert run("lint", target).stdout.decode().splitlines() == [
        "note L006 layers 0-3: zstd, which Docker 20.10 cannot unpack",
        "linted 4 layers, 4 entries: 4 notes",
    ]


def test_nothing_found(path):
    assert run("lint", path(PLAIN)).stdout == b"linted 1 layer, 1 entry: nothing found\n"


def test_json(path):
    target = path(layer(file("caf\udce9"), symlink("lib", "usr/lib")), layer(file("lib/x")))
    ran = run("lint", "-f", "json", "--fail-on", "warning", target)
    assert ran.code == 1
    document = ran.json
    assert document == {
        "schema": "tarlayers.lint/1",
        "ok": False,
        "findings": [
            {
                "code": "L032", "severity": "warning", "rule": "P5", "layer": 1, "path": "/lib",
                "message": "a directory replaces the symlink to usr/lib of layer 0; umoci and vfs write through it",
            },
            {
                "code": "L080", "severity": "note", "rule": "N6", "layer": 0, "path": "/caf\\xe9",
                "path_raw": "L2NhZuk=", "message": "the name is not UTF-8",
            },
        ],
        "codes": document["codes"],
        "summary": {"error": 0, "warning": 1, "note": 1},
    }  # fmt: skip
    assert list(document["codes"]) == ["L032", "L080"]
    assert list(document["codes"]["L032"]["engines"]) == list(FAMILIES)


@pytest.mark.parametrize(
    ("options", "code"),
    [([], 0), (["--fail-on", "warning"], 1), (["--fail-on", "note"], 1), (["--ignore", "L1"], 2),
     (["--fail-on", "warning", "--ignore", "l021"], 0),
     (["--fail-on", "note", "--ignore", "L021", "--ignore", "L070"], 0)],
)  # fmt: skip
def test_exit_codes(path, options, code):
    target = path(layer(file("a"), file("a"), file("su", mode=0o4755)))
    assert run("lint", *options, target).code == code


def test_an_error_is_exit_1(path):
    assert run("lint", path(layer(hardlink("b", "gone")))).code == 1


def test_a_stream_will_do(path):
    data = path(layer(file("a"), file("a"))).read_bytes()
    assert b"warning L021" in run("lint", "-", stdin=data).stdout


# -- the reference cases ---------------------------------------------------------------------------

LINK_HEADERS = ("H7", "umoci ignores the header of a hard link, and in these cases its time differs")
EXCEPTIONS = {
    "hl-copied-up": LINK_HEADERS,
    "hl-linkname-forms": LINK_HEADERS,
    "hl-same-layer": LINK_HEADERS,
    "hl-size-no-data": LINK_HEADERS,
    "hl-symlinked-parent": LINK_HEADERS,
    "hl-target-replaced-later": LINK_HEADERS,
    "hl-target-wh-later": LINK_HEADERS,
    "mix-distro": LINK_HEADERS,
    "path-long-hardlink": LINK_HEADERS,
    "layer-docker-types": (None, "umoci alone does not know Docker's media types: a note"),
    "layer-zstd": (None, "Docker 20.10 and umoci 0.4 alone have no zstd: a note"),
    "layer-zstd-multi": (None, "as layer-zstd"),
    "layer-zstd-skippable-tail": (None, "as layer-zstd"),
    "opq-via-symlink-same-layer": (
        None,
        "the vfs drivers of Docker 20.10 and podman 4.3 alone do not follow the layer's own symlink",
    ),
}
"""Of a case the rule that its warning carries instead of the case's own, or None for no warning; and why."""

MEDIA_TYPES_MATTER = ("layer-type-says-gzip", "layer-type-says-tar", "layer-type-unknown", "layer-docker-types")
"""A docker archive has no media types, so that there the engines agree."""

ONE_OF_A_KIND = {"crane", "docker-20.10-vfs"}
"""Engines that need no warning of their own: crane resolves nothing, Docker 20.10's vfs makes 0600 directories."""


def reference_cases():
    return sorted(path.stem for path in (CASES / "expected").glob("*.json"))


@pytest.mark.conformance
@pytest.mark.skipif(not CASES.is_dir(), reason="the reference cases (../shared/semantics) are not here")
@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("case", reference_cases())
def test_reference_cases(case, kind):
    expected = json.loads((CASES / "expected" / f"{case}.json").read_bytes())
    findings = lint_image(tarlayers.open_image(CASES / f"{case}.{kind}.tar")).findings
    reference = (kind == "docker" and expected["reference_docker_archive"]) or expected["reference"]
    errors = [finding for finding in findings if finding.severity == "error"]
    if reference["outcome"] == "error":
        wanted = reference["layer"]
        assert any(wanted is None or finding.layer == wanted - 1 for finding in errors)
        return
    assert not errors
    warnings = {finding.rule for finding in findings if finding.severity == "warning"}
    differs = any(set(other["engines"]) - ONE_OF_A_KIND for other in expected["alternatives"])
    rule, _why = EXCEPTIONS.get(case, ("", ""))
    if not differs or rule is None or (kind == "docker" and case in MEDIA_TYPES_MATTER):
        assert not warnings
    elif rule:
        assert rule in warnings
    else:
        assert warnings if expected["rules"] == ["R"] else warnings & set(expected["rules"])


@pytest.mark.conformance
@pytest.mark.skipif(not CASES.is_dir(), reason="the reference cases (../shared/semantics) are not here")
def test_exceptions_name_cases():
    assert EXCEPTIONS.keys() <= set(reference_cases())
