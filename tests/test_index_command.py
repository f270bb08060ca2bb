"""`index`: what an index answers is what the archive answers, and what it cannot answer it says."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tarlayers.formats.tlx import Section, parse_tlx, write_tlx
from tests.build import (
    FLAVOURS,
    Files,
    Link,
    archive,
    blob,
    device,
    directory,
    extract_tar,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    pack,
    symlink,
    tar,
    unpack,
    whiteout,
    xattrs,
)
from tests.edit import drop, edit_config, edit_manifest, set_layer, with_layers
from tests.flavours import PRODUCERS
from tests.lazy import estargz, skippable, zstd_chunked
from tests.paths import SHARED, TESTDATA, needs_shared
from tests.run import run
from tests.splits import pax_sparse

BASE = layer(
    directory("etc", mtime=-3.5),
    file("etc/passwd", b"root:x:0:0\n", mtime=1_700_000_000.25),
    file("etc/shadow", b"secret", mode=0o4600, uid=1 << 21, gid=7),
    file("etc/é \udcff", b"name"),
    xattrs(file("etc/cap", b"cap"), user_x=b"\0\1"),
    symlink("etc/link", "passwd"),
    hardlink("etc/hard", "etc/passwd"),
    device("etc/null", 1, 3),
    fifo("etc/pipe"),
    file("/./srv//app/" + "long/" * 40 + "x", b"2" * 4000),
)
MIDDLE = layer(file("srv/gone", b"2" * 4000), file("etc/passwd", b"root:y:0:0\n"), whiteout("etc/hard"))
TOP = layer(opaque("srv"), file("etc/passwd", b"root:y:0:0\n", mode=0o600), whiteout("etc/shadow"))
APP = image(BASE, MIDDLE, TOP, names=("example.org/app:v1",), run={"Labels": {"a": "b"}})
OTHER = image(BASE, layer(file("etc/passwd", b"other")), names=("example.org/other:v2", "example.org/other:v3"))

# What is asked of each image; {} is where the image goes.
QUESTIONS = (
    "inspect {}",
    "layers {}",
    "history {}",
    "ls -R {}",
    "ls -R --digests --engine oci {}",
    "ls -R --du {}",
    "ls --only 0 {}",
    "ls --only -1 --digests {}",
    "changes --all {}",
    "log {} /etc/passwd",
    "blame {}",
    "diff {} {}",
    "waste {}",
    "waste --digests {}",
    "hidden --all {}",
    "lint {}",
    "verify {}",
)
ABOUT_ARCHIVES = ("inspect", "verify")
# What verify says of indexes alone: V019, and that a table of contents is not there to be compared.
NOTES = ("V018", "V019")


def make_index(source: Path, target: Path, *options: str) -> Path:
    done = run("index", source, "-o", target, *options)
    assert (done.code, done.stdout) == (0, b""), done.stderr
    return target


def ask(question: str, place: Path | str, reference: str = "") -> tuple[int, Any]:
    """The exit code and the answer, or the error, without what tells the archive from its index."""
    words = [str(place) + reference if word == "{}" else word for word in question.split()]
    done = run(*words, "-f", "json")
    if not done.stdout:
        return done.code, done.stderr.replace(str(place), "IMAGE")
    answer = json.loads(done.stdout)
    answer.pop("archive", None)
    if question.startswith("verify"):
        answer["findings"] = [found for found in answer["findings"] if found["code"] not in NOTES]
    return done.code, answer


def compare(source: Path, index: Path, questions: Sequence[str] = QUESTIONS) -> None:
    count = len(run("inspect", source, "-f", "json").json["images"])
    for question in questions:
        about_archive = question.split()[0] in ABOUT_ARCHIVES
        for reference in [""] if about_archive else [f"#@{i}" for i in range(count)]:
            assert ask(question, index, reference) == ask(question, source, reference), (question, reference)


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# -- the same answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_question_has_the_same_answer(flavour: str, tmp_path: Path) -> None:
    source = save(tmp_path / "a.tar", archive(flavour, APP, OTHER))
    index = make_index(source, tmp_path / "a.tlx")
    compare(source, index)
    for old, new in (("#@0", "#@1"), ("#@1", "#@0")):
        wanted = run("diff", f"{source}{old}", f"{source}{new}", "-f", "json").json
        assert run("diff", f"{index}{old}", f"{source}{new}", "-f", "json").json == wanted
        assert run("diff", f"{source}{old}", f"{index}{new}", "-f", "json").json == wanted
        assert run("diff", f"{index}{old}", f"{index}{new}", "-f", "json").json == wanted


@pytest.mark.parametrize("name", PRODUCERS)
def test_whoever_wrote_the_archive(name: str, tmp_path: Path) -> None:
    producer = PRODUCERS[name]
    files = producer.make([APP, OTHER])
    source = save(tmp_path / "a.tar", pack(files)) if producer.tar else unpack(files, tmp_path / "a")
    index = make_index(source, tmp_path / "a.tlx")
    compare(source, index, ("inspect {}", "verify {}", "layers {}", "ls --only -1 --digests {}"))


def test_limits_that_were_raised_are_raised_for_an_index_too(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(pack(FLAVOURS["oci-gzip"]([image(BASE, names=[f"app:{i}" for i in range(1030)])])))
    for more, code in ((), 3), (("--limit", "names=1030"), 0):
        assert run("index", path, "-o", tmp_path / "a.tlx", *more).code == code


def replace_layer(data: bytes) -> Files:
    """The top layer becomes other bytes under their right digest."""
    files = FLAVOURS["oci-gzip"]([APP])
    digest = blob(files, data)
    return edit_manifest(files, set_layer(2, digest=digest, size=len(data)))


ODD = {
    "bare layer": BASE,
    "bare estargz": estargz(file("etc/x", b"1" * 900)).plain,
    "trailing bytes": pack(FLAVOURS["oci-gzip"]([image(BASE + b"tail" * 128)])),
    "estargz": pack(with_layers(estargz(file("etc/x", b"1" * 900)))),
    "zstd:chunked": pack(with_layers(zstd_chunked(file("etc/x", b"1" * 900)))),
    "layer absent": pack(drop(FLAVOURS["oci-none"]([APP]), lambda _, content: content == MIDDLE)),
    "wrong size": pack(edit_manifest(FLAVOURS["oci-gzip"]([APP]), set_layer(0, size=7))),
    "encrypted": pack(
        edit_manifest(
            FLAVOURS["oci-gzip"]([APP]),
            set_layer(1, mediaType="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        )
    ),
    "no image": pack({"index.json": b'{"schemaVersion":2,"manifests":[]}', "oci-layout": b"{}"}),
    "two members of one name": tar([file("manifest.json", b"[]")])[:-1024] + archive("docker-20", APP),
    "two documents of one name": tar([file("oci-layout", b"{}")])[:-1024] + archive("oci-gzip", APP),
    "bytes behind gzip": pack(replace_layer(gzip.compress(TOP, mtime=0) + bytes(100) + b"tail")),
    "gzip flags that mean nothing": pack(replace_layer(b"\x1f\x8b\x08\x20" + gzip.compress(TOP, mtime=0)[4:])),
    "skippable frame first": pack(replace_layer(skippable(b"first") + zstandard.compress(TOP))),
    "no layers": archive("docker-25", image()),
    "windows": archive(
        "oci-gzip",
        image(layer(directory("Files"), file("Files/x", b"1"), directory("Hives")), platform="windows/amd64"),
    ),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_odd_archives(name: str, packed: bool, tmp_path: Path) -> None:
    source = save(tmp_path / "a.tar", gzip.compress(ODD[name], mtime=0) if packed else ODD[name])
    compare(source, make_index(source, tmp_path / "a.tlx"))


@pytest.mark.conformance
@needs_shared
def test_archives_that_producers_wrote(tmp_path: Path) -> None:
    packed = (SHARED / "corpus" / "small.tar.zst").read_bytes()
    with (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as plain,
        tarfile.open(fileobj=io.BytesIO(plain.read())) as everything,
    ):
        extract_tar(everything, tmp_path)
    (truth,) = tmp_path.glob("**/truth")
    sources = [path for path in sorted(truth.parent.iterdir()) if path.name.startswith("h1-")]
    done = 0
    for source in sources:
        made = run("index", source, "-o", tmp_path / "a.tlx")
        if made.code:
            assert run("inspect", source).code or "not of a" in made.stderr, (source, made.stderr)
            continue
        count = len(run("inspect", tmp_path / "a.tlx", "-f", "json").json["images"])
        for question in ("inspect {}", "verify {}", "ls -R --digests {}", "changes --all {}"):
            reference = f"#@{count - 1}" if count and not question.startswith(ABOUT_ARCHIVES) else ""
            assert ask(question, tmp_path / "a.tlx", reference) == ask(question, source, reference), question
        done += 1
    assert done > len(sources) * 3 // 4


# -- what is in it -----------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_index(TESTDATA / "shop.docker.tar", tmp_path / "shop.tlx")


def test_the_same_archive_gives_the_same_bytes(tmp_path: Path) -> None:
    for flavour in ("docker-20", "oci-gzip"):
        data = archive(flavour, APP, OTHER)
        first = make_index(save(tmp_path / "a.tar", data), tmp_path / "a.tlx").read_bytes()
        again = make_index(save(tmp_path / "other.tar", data), tmp_path / "b.tlx").read_bytes()
        assert first == again == run("index", "-", stdin=data).stdout
        assert make_index(tmp_path / "a.tlx", tmp_path / "c.tlx").read_bytes() == first


def test_inspect_tells_what_it_was_made_from(shop: Path) -> None:
    source = TESTDATA / "shop.docker.tar"
    told = run("inspect", shop, "-f", "json").json["archive"]
    assert (told["kind"], told["size"], told["compression"]) == ("index", shop.stat().st_size, "none")
    made_from = told["made_from"]
    assert (made_from["kind"], made_from["size"]) == ("docker-archive", source.stat().st_size)
    assert made_from["content_digests"] is True
    layers = run("layers", f"{source}#@0", "-f", "json").json["layers"]
    computed = {blob["diff_id"] for blob in made_from["blobs"] if "diff_id" in blob}
    assert {each["diff_id"] for each in layers} <= computed
    lines = run("inspect", shop).lines
    assert lines[0].endswith(f"index, {shop.stat().st_size / 1000:.3g}kB, 2 images")
    assert lines[1].startswith("made from: docker-archive, ")


def test_one_image_of_several(shop: Path, tmp_path: Path) -> None:
    source = TESTDATA / "shop.docker.tar"
    names = [image["names"] for image in run("inspect", source, "-f", "json").json["images"]]
    one = make_index(Path(f"{source}#@1"), tmp_path / "one.tlx")
    [found] = run("inspect", one, "-f", "json").json["images"]
    assert found["names"] == names[1]
    for question in QUESTIONS:
        if not question.startswith(ABOUT_ARCHIVES):
            assert ask(question, one) == ask(question, source, "#@1")
    assert run("verify", one).code == 0
    assert run("ls", f"{one}#{names[0][0]}").code == 2
    from_index = make_index(Path(f"{shop}#@1"), tmp_path / "again.tlx")
    assert from_index.read_bytes() == one.read_bytes()
    assert make_index(one, tmp_path / "third.tlx").read_bytes() == one.read_bytes()
    assert one.stat().st_size < shop.stat().st_size


def test_by_platform(tmp_path: Path) -> None:
    arm = image(MIDDLE, platform="linux/arm64")
    source = save(tmp_path / "a.tar", archive("oci-gzip", APP, arm))
    one = make_index(source, tmp_path / "one.tlx", "--platform", "linux/arm64")
    assert ask("ls -R {}", one) == ask("ls -R {}", source, "#@1")
    assert run("verify", one).lines[-1].startswith("verified 5 blobs, 1 layer, ")  # all documents are kept
    assert run("index", source, "-o", tmp_path / "none.tlx", "--platform", "linux/s390x").code == 2
    assert not (tmp_path / "none.tlx").exists()


def test_what_was_wrong_stays_wrong(tmp_path: Path) -> None:
    swapped = edit_config(FLAVOURS["oci-gzip"]([APP]), lambda config: config["rootfs"]["diff_ids"].reverse())
    source = save(tmp_path / "a.tar", pack(swapped))
    found = run("verify", make_index(source, tmp_path / "a.tlx"), "-f", "json")
    assert found.code == 1
    assert [each["code"] for each in found.json["findings"]] == ["V003", "V003", "V019"]


@pytest.mark.parametrize("said", [b'{"imageLayoutVersion":"1.1.0"}', b'{"imageLayoutVersion":', b"1.0.0", b""])
@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_layout_that_readers_refuse(said: bytes, linked: bool, tmp_path: Path) -> None:
    files: Files = FLAVOURS["oci-gzip"]([APP])
    files |= {"oci-layout": Link("version"), "version": said} if linked else {"oci-layout": said}
    source = save(tmp_path / "b.tar", pack(files))
    wanted = run("verify", source, "-f", "json").json["findings"]
    found = run("verify", index := make_index(source, tmp_path / "b.tlx"), "-f", "json").json["findings"]
    assert [each["code"] for each in found] == ["V028", "V019"]
    assert found[:1] == wanted
    again = run("index", "-", "-o", "-", stdin=source.read_bytes()).stdout, run("index", index, "-o", "-").stdout
    assert set(again) == {index.read_bytes()}


def test_a_layout_file_that_is_no_document_is_left_out(tmp_path: Path) -> None:
    """Also where an index has none, as older ones: another is made of it all the same."""
    for number, version in enumerate((b"no JSON", b"")):
        files = {**FLAVOURS["oci-gzip"]([APP]), "oci-layout": version}
        index = make_index(save(tmp_path / f"{number}.tar", pack(files)), tmp_path / f"{number}.tlx")
        assert make_index(index, tmp_path / "again.tlx").read_bytes() == index.read_bytes()
    old = TESTDATA / "shop-v1.tlx"
    assert ask("ls -R {}", make_index(old, tmp_path / "new.tlx")) == ask("ls -R {}", old)


def test_verify_notes_what_cannot_be_checked(shop: Path) -> None:
    found = run("verify", shop, "-f", "json")
    [note] = found.json["findings"]
    assert (found.code, note["code"], note["severity"]) == (0, "V019", "note")
    assert "docker-archive" in note["message"]


def test_a_stream_and_a_compressed_index(shop: Path, tmp_path: Path) -> None:
    wanted = run("ls", "-R", f"{shop}#@0").stdout
    assert run("ls", "-R", "-#@0", stdin=shop.read_bytes()).stdout == wanted
    packed = save(tmp_path / "shop.tlx.gz", gzip.compress(shop.read_bytes()))
    assert run("ls", "-R", f"{packed}#@0").stdout == wanted
    assert run("inspect", packed, "-f", "json").json["archive"]["compression"] == "gzip"


# -- what is not in it -------------------------------------------------------------------------------

NEED_CONTENTS = (
    "cat {} /etc/passwd",
    "export {} -o {out}",
    "extract {} {out}",
    "hidden --secrets {}",
    "diff {} {} --patch /etc/passwd",
)


@pytest.mark.parametrize("words", NEED_CONTENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_contents_are_absent(words: str, stream: bool, tmp_path: Path) -> None:
    index = make_index(save(tmp_path / "a.tar", archive("oci-gzip", APP)), tmp_path / "a.tlx")
    place = "-" if stream and not words.startswith("diff") else str(index)
    out = tmp_path / "out"
    filled = [word.replace("{out}", str(out)).replace("{}", place) for word in words.split()]
    done = run(*filled, stdin=index.read_bytes())
    assert (done.code, done.stdout) == (3, b"")
    assert done.stderr.endswith(": an index holds no contents; ask the archive that it was made from\n")
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_without_content_digests(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tar", archive("oci-gzip", APP, OTHER))
    small = make_index(source, tmp_path / "small.tlx", "--no-digests")
    assert small.stat().st_size < make_index(source, tmp_path / "a.tlx").stat().st_size
    for question in ("inspect {}", "layers {}", "ls -R {}", "lint {}", "waste {}", "hidden --all {}"):
        reference = "" if question.startswith(ABOUT_ARCHIVES) else "#@0"
        assert ask(question, small, reference) == ask(question, source, reference)
    for words in (["ls", "--digests", f"{small}#@0"], ["diff", f"{small}#@0", f"{source}#@1"]):
        done = run(*words)
        assert (done.code, done.stdout) == (3, b"")
        assert "without content digests" in done.stderr
    data = source.read_bytes()
    assert run("index", "--no-digests", "-", stdin=data).stdout == small.read_bytes()


@pytest.mark.parametrize("cut", [8, 11, 12, 40, 400, -1])
def test_a_cut_index(shop: Path, cut: int) -> None:
    data = shop.read_bytes()
    shop.write_bytes(data[:cut])
    for done in (run("ls", shop), run("ls", "-", stdin=data[:cut])):
        assert (done.code, done.stdout) == (3, b"")
        assert "cut short" in done.stderr
        assert "offset" in done.stderr


def test_an_index_that_is_damaged_or_of_tomorrow(shop: Path) -> None:
    data = shop.read_bytes()
    for at, byte, says in ((8, 2, "version 2"), (60, data[60] ^ 1, "has changed"), (-1, data[-1] ^ 1, "has changed")):
        shop.write_bytes(data[:at] + bytes((byte,)) + (data[at + 1 :] if at != -1 else b""))
        for command in ("inspect", "verify"):
            done = run(command, shop)
            assert (done.code, done.stdout) == (3, b"")
            assert says in done.stderr
    shop.write_bytes(data + b"\0")
    assert "1 byte after the end" in run("inspect", shop).stderr


def test_a_broken_archive_makes_no_index(tmp_path: Path) -> None:
    data = archive("oci-gzip", APP)
    broken = pack(edit_manifest(FLAVOURS["oci-gzip"]([image(b"no tar" * 200)]), lambda _: None))
    for name, bad in {"cut": data[:-600], "no tar": broken, "empty": b""}.items():
        target = tmp_path / "out.tlx"
        target.write_bytes(b"old")
        done = run("index", save(tmp_path / "bad.tar", bad), "-o", target)
        assert (done.code, done.stdout) == (3, b""), name
        assert target.read_bytes() == b"old"
        assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.tar", "out.tlx"]


def test_what_no_index_can_hold_makes_none(tmp_path: Path) -> None:
    """Three sparse files of eight exabytes each: their names and sizes can be listed, but not by an index."""
    files = [pax_sparse(f"s{i}", [(0, 4)], (1 << 63) - 1, b"1234", "0.1") for i in range(3)]
    data = archive("oci-gzip", image(layer(file("a")), layer(*files)))
    source = save(tmp_path / "a.tar", data)
    assert run("ls", source).code == 0
    for words, stdin in (((source,), b""), (("-",), data)):
        done = run("index", "--no-digests", *words, "-o", tmp_path / "a.tlx", stdin=stdin)
        assert (done.code, done.stdout) == (3, b"")
        assert re.fullmatch(r"tarlayers: .*: layer 1 \(sha256:\w+\): files of \d+ bytes,.*\n", done.stderr)
        assert not (tmp_path / "a.tlx").exists()


# -- what somebody made up ---------------------------------------------------------------------------


def forge(data: bytes, dice: random.Random) -> bytes:
    """An index with a few bytes changed beneath its compression, and digests and sizes set right again."""
    index = parse_tlx(data)
    layers = dict(index.layers)
    if dice.random() < 0.5:
        name = dice.choice(list(layers))
        changed = mutate(layers[name].entries.expand(1 << 20), dice)
        layers[name] = replace(layers[name], entries=Section.pack(changed))
    chunks = list(write_tlx(replace(index, layers=layers)))
    if layers == index.layers:
        head = mutate(Section(chunks[1], int.from_bytes(chunks[0][28:36], "little")).expand(1 << 20), dice)
        chunks[1] = Section.pack(head).stored
        size = sum(map(len, chunks))
        chunks[0] = chunks[0][:12] + b"".join(n.to_bytes(8, "little") for n in (size, len(chunks[1]), len(head)))
    signed = b"".join(chunks[:-1])
    return signed + hashlib.sha256(signed).digest()


def mutate(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] = dice.choice((0, 1, 2, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(changed)


@pytest.mark.parametrize("seed", range(40))
def test_a_forged_index_is_an_answer_or_one_line(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    honest = make_index(save(tmp_path / "a.tar", archive("docker-20", APP)), tmp_path / "a.tlx").read_bytes()
    forged = save(tmp_path / "forged.tlx", forge(honest, dice))
    for question in dice.sample(QUESTIONS, 4):
        done = run(*question.replace("{}", str(forged)).split(), "-f", "json")
        assert done.code in range(4)
        assert "internal error" not in done.stderr
        assert done.stdout or len(done.stderr.splitlines()) == 1
