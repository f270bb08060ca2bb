"""The layer cache: what it saves is counted, and what it answers is what the layers say, whatever is in its files."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import tarlayers.layer
from tarlayers.analysis.diff import diff_images
from tarlayers.analysis.verify import verify_archive
from tarlayers.digest import Digest
from tarlayers.errors import MalformedInput
from tarlayers.formats.compression import Decompressor
from tarlayers.image import Image
from tarlayers.layer import Demand, index_layer
from tarlayers.limits import Limits
from tarlayers.opening import open_images
from tarlayers.render.values import human_size
from tarlayers.sources.blob import Blob, Origin
from tarlayers.sources.layercache import VERSION, LayerCache
from tarlayers.stores.layerfile import FileDigests, decode_digests, decode_layer, encode_digests, encode_layer
from tests import build
from tests.build import archive, directory, file, hardlink, image, layer, sha256, symlink, whiteout, xattrs
from tests.paths import ROOT, TESTDATA
from tests.run import run
from tests.splits import CONTENT, REGIONS, pax_sparse
from tests.strategies import MEMBERS

BASE = layer(directory("etc"), file("etc/base", b"1" * 5000), file("etc/same", b"2"), symlink("link", "etc/base"))
TOP_1 = layer(file("etc/base", b"3" * 5000), whiteout("etc/same"), file("app", b"one"))
TOP_2 = layer(file("etc/base", b"4" * 5000), file("app", b"two"), hardlink("more", "app"))
V1 = image(BASE, TOP_1)
V2 = image(BASE, TOP_2, names=("example.org/app:v2",))


class Work(NamedTuple):
    """How many layers were decompressed, and how many read from front to back."""

    decompressed: int
    read: int


NOTHING = Work(0, 0)


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return new_cache(tmp_path / "cache")


def new_cache(path: Path, **options: Any) -> LayerCache:
    """One that keeps the small layers of files that were written just now."""
    return LayerCache(path, **{"least_bytes": 0, "settled": 0, **options})


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Work]:
    """Counts what is done to layers while something runs, in whatever threads."""
    done: list[str] = []
    run_all, chunks = Decompressor.run, Blob.chunks

    def count_run(self: Decompressor, stored: Any) -> Iterator[bytes]:
        if self.compression != "none":
            done.append("decompressed")
        return run_all(self, stored)

    def count_chunks(self: Blob, *span: int) -> Iterator[bytes]:
        if not span and self.read_at(0, 1) not in (b"{", b"["):
            done.append("read")
        return chunks(self, *span)

    monkeypatch.setattr(Decompressor, "run", count_run)
    monkeypatch.setattr(Blob, "chunks", count_chunks)

    def measure(act: Callable[[], Any]) -> Work:
        done.clear()
        act()
        return Work(done.count("decompressed"), done.count("read"))

    return measure


def write(path: Path, *images: build.Image, flavour: str = "oci-gzip") -> Path:
    path.write_bytes(archive(flavour, *images))
    return path


def read_all(path: Path, cache: LayerCache | None, **wanted: bool) -> list[Any]:
    """Index all layers of the first image."""
    (found, *_) = open_images(path, cache=cache).images
    return [each.read(**wanted) for each in found.layers]


def move_time(path: Path, act: Callable[[], object]) -> None:
    """Act until the clock that stamps files has moved on."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        act()


# -- hits and misses -----------------------------------------------------------------------------------


def touch(path: Path) -> Path:
    move_time(path, lambda: os.utime(path))
    return path


def copy(path: Path) -> Path:
    return Path(shutil.copy2(path, path.with_name("copy.tar")))


def rename(path: Path) -> Path:
    return path.rename(path.with_name("renamed.tar"))


def append_byte(path: Path) -> Path:
    with path.open("ab") as out:
        out.write(bytes(512))
    return path


CHANGES: dict[str, tuple[Callable[[Path], Path], Work]] = {
    "nothing": (lambda path: path, NOTHING),
    "another name for the file": (lambda path: path.parent / "link.tar", NOTHING),
    "renamed, which sets its ctime on most file systems": (rename, Work(0, 2)),
    "its time set": (touch, Work(0, 2)),
    "a byte more behind the end": (append_byte, Work(0, 2)),
    "copied with its times": (copy, Work(0, 2)),
    "packed again": (lambda path: write(path, V1), Work(0, 2)),
    "one layer of two is new": (lambda path: write(path, V2), Work(1, 2)),
    "compressed by other means": (lambda path: write(path, V1, flavour="oci-zstd"), Work(2, 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_read_again(
    change: str, tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1)
    (tmp_path / "link.tar").symlink_to(path)
    assert work(lambda: read_all(path, cache)) == Work(2, 2)
    act, expected = CHANGES[change]
    path = act(path)
    if change.startswith("renamed"):
        assert work(lambda: read_all(path, cache)).decompressed == 0
    else:
        assert work(lambda: read_all(path, cache)) == expected
    assert read_all(path, cache) == read_all(path, None)
    assert work(lambda: read_all(path, cache)) == NOTHING


# Asked first, asked then, what has to be read for the second.
PLAIN, CONTENTS, HASHED = {}, {"contents": True}, {"hashed": True}
NEEDS = {
    "headers, headers": (PLAIN, PLAIN, NOTHING),
    "headers, contents: once more": (PLAIN, CONTENTS, Work(2, 2)),
    "contents, headers": (CONTENTS, PLAIN, NOTHING),
    "contents, contents": (CONTENTS, CONTENTS, NOTHING),
    "digests are computed, never remembered": (HASHED, HASHED, Work(2, 2)),
    "what is kept gives no digest": (CONTENTS, HASHED, Work(2, 2)),
}


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("flavour", ["oci-gzip", "oci-zstd", "docker-25-gzip"])
def test_one_file_serves_what_it_can(
    needs: str, flavour: str, tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1, flavour=flavour)
    first, then, expected = NEEDS[needs]
    read_all(path, cache, **first)
    assert work(lambda: read_all(path, cache, **then)) == expected
    assert read_all(path, cache, **then) == read_all(path, None, **then)
    assert cache.measure().layers == (0 if first is HASHED else 2)


def test_plain_layers_are_hopped_over_and_their_contents_kept(
    tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1, flavour="docker-25")
    read_all(path, cache)
    assert cache.measure().layers == 0
    assert work(lambda: read_all(path, cache, contents=True)) == Work(0, 2)
    assert work(lambda: read_all(path, cache, contents=True)) == NOTHING
    assert read_all(path, cache, contents=True) == read_all(path, None, contents=True)


def test_holes_of_a_layer_that_is_kept_are_read_as_holes(tmp_path: Path, cache: LayerCache) -> None:
    sparse = layer(pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"))
    path = write(tmp_path / "app.tar", image(sparse), flavour="docker-25")
    for _ in range(2):  # the second time all that is known of the layer comes from the cache
        [found] = open_images(path, cache=cache).images[0].layers
        [entry] = found.read(contents=True).entries
        assert sha256(b"".join(found.open_content(entry))) == (entry.sha256 or b"").hex()


def test_directories(tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]) -> None:
    path = build.unpack(build.oci([V1]), tmp_path / "layout")
    read_all(path, cache)
    assert work(lambda: read_all(path, cache)) == NOTHING
    shutil.copytree(path, tmp_path / "copy")
    assert work(lambda: read_all(tmp_path / "copy", cache)) == Work(0, 2)


def test_a_layer_that_is_called_by_its_sha512(tmp_path: Path, cache: LayerCache) -> None:
    digest = Digest.of(BASE, "sha512")
    (tmp_path / "app.tar").write_bytes(
        build.pack({f"blobs/sha512/{digest.hex}": BASE, "index.json": build.compact({"manifests": []})})
    )
    store = open_images(tmp_path / "app.tar", cache=cache).store
    index = store.index(f"blobs/sha512/{digest.hex}", Demand(contents=True))
    assert digest in cache
    assert index == index_layer([BASE], hashed=False, contents=True)


def test_a_blob_that_is_not_what_it_is_called_gives_its_own_entries(tmp_path: Path, cache: LayerCache) -> None:
    """Its name claims a layer that is kept; nothing but its bytes says what is in it."""
    files = build.oci([V1])
    liar = build.COMPRESS["gzip"](TOP_2)
    honest = build.COMPRESS["gzip"](BASE)
    read_all(write(tmp_path / "app.tar", V1), cache)
    path = tmp_path / "liar.tar"
    path.write_bytes(build.pack({**files, f"blobs/sha256/{build.sha256(honest)}": liar}))
    for _ in range(2):
        (lower, _top) = read_all(path, cache)
        assert [entry.path for entry in lower.entries] == ["/etc/base", "/app", "/more"]
    report = verify_archive(open_images(path, cache=cache))
    assert {finding.code for finding in report.findings} >= {"V001", "V003"}


def test_bytes_written_in_place_with_the_old_time(tmp_path: Path, cache: LayerCache) -> None:
    path = write(tmp_path / "app.tar", V1)
    first = path.read_bytes()
    read_all(path, cache)
    old = build.COMPRESS["gzip"](TOP_1)
    new = bytearray(old)
    new[4] ^= 1  # the time in gzip's header, which no reader looks at
    changed = first.replace(old, bytes(new))
    times = path.stat()

    def overwrite() -> None:
        with path.open("r+b") as out:
            out.write(changed)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    move_time(path, overwrite)
    assert not verify_archive(open_images(path, cache=cache)).ok
    cached = open_images(path, cache=cache).images[0]
    assert cached.layers[1].read() == read_all(path, None)[1]
    assert cache.measure().layers == 3  # the changed blob is one of its own


def test_verify_reads_all(tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]) -> None:
    path = write(tmp_path / "app.tar", V1)
    opened = open_images(path, cache=cache)
    for each in opened.images[0].layers:
        each.read(contents=True)
    opened = open_images(path, cache=cache)
    for each in opened.images[0].layers:
        each.read(contents=True)
    assert work(lambda: verify_archive(opened)).decompressed == 2


def test_what_was_just_written_is_hashed_again(tmp_path: Path, work: Callable[[Callable[[], Any]], Work]) -> None:
    """It could be written once more within the same tick of the clock, and keep its times."""
    cache = new_cache(tmp_path / "cache", settled=3600)
    path = write(tmp_path / "app.tar", V1)
    read_all(path, cache)
    assert work(lambda: read_all(path, cache)) == Work(0, 2)


def test_other_limits_and_small_layers_are_not_kept(tmp_path: Path, cache: LayerCache) -> None:
    path = write(tmp_path / "app.tar", V1)
    (found,) = open_images(path, cache=cache, limits=Limits(entries=1000)).images
    found.layers[0].read()
    read_all(path, new_cache(tmp_path / "other", least_bytes=1 << 20))
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "other").exists()


def test_a_malformed_layer_is_not_kept(tmp_path: Path, cache: LayerCache) -> None:
    files = build.oci([V1])
    name = f"blobs/sha256/{build.sha256(build.COMPRESS['gzip'](TOP_1))}"
    cut = files[name]
    assert isinstance(cut, bytes)
    path = tmp_path / "cut.tar"
    path.write_bytes(build.pack({**files, name: cut[:-9]}))
    for _ in range(2):
        with pytest.raises(MalformedInput):
            read_all(path, cache)
    assert cache.measure().layers == 1


def test_a_second_diff_decompresses_nothing(
    tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    old, new = write(tmp_path / "old.tar", V1), write(tmp_path / "new.tar", V2)

    def pair(cache: LayerCache | None) -> tuple[Image, Image]:
        return open_images(old, cache=cache).images[0], open_images(new, cache=cache).images[0]

    expected = diff_images(*pair(None))
    assert expected.files
    assert work(lambda: diff_images(*pair(cache))).decompressed == 3
    assert work(lambda: diff_images(*pair(cache))) == NOTHING
    assert diff_images(*pair(cache)) == expected


RIVALS: dict[str, tuple[list[build.Member], list[str]]] = {
    "rewritten": ([file("etc/base", b"1" * 5000, mode=0o600)], ["C /etc/base mode"]),
    "changed": ([file("etc/base", b"4" * 5000)], ["C /etc/base content"]),
    "moved": ([whiteout("etc/base"), file("new", b"1" * 5000)], ["D /etc/base > /new", "A /new < /etc/base"]),
    "moved with its directory": (
        [whiteout("etc"), directory("usr"), file("usr/base", b"1" * 5000)],
        ["D /etc", "D /etc/base > /usr/base", "D /etc/same", "A /usr", "A /usr/base < /etc/base"],
    ),
    "moved inside an opaque directory": (
        [directory("etc"), file("etc/new", b"1" * 5000), build.opaque("etc")],
        ["D /etc/base > /etc/new", "A /etc/new < /etc/base", "D /etc/same"],
    ),
}


@pytest.mark.parametrize("flavour", ["oci-gzip", "oci-none"])
@pytest.mark.parametrize("name", RIVALS)
def test_shared_layers_pass_once_whatever_has_to_be_compared(
    name: str, flavour: str, tmp_path: Path, work: Callable[[Callable[[], Any]], Work]
) -> None:
    members, changes = RIVALS[name]
    base = image(BASE)
    paths = [
        write(tmp_path / "old", base, flavour=flavour),
        write(tmp_path / "new", image(BASE, layer(*members)), flavour=flavour),
    ]
    found: list[str] = []

    def compare() -> None:
        images = [open_images(path).images[0] for path in paths]
        for change in diff_images(*images).files:
            moves = [f"> {change.moved_to}"] * bool(change.moved_to) + [f"< {change.moved_from}"] * bool(
                change.moved_from
            )
            found.append(" ".join((change.kind, change.path, *change.what, *moves)))

    assert work(compare).decompressed == (2 if flavour == "oci-gzip" else 0)
    assert [each for each in found if not each.startswith("C /etc ")] == changes


def test_some_digests_of_a_layer_are_kept_beside_its_entries(
    tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1)

    def hash_one(place: int) -> Any:
        base = open_images(path, cache=cache).images[0].layers[0]
        offset = base.read().entries[place].offset
        return base.hash_files([offset])[offset]

    assert work(lambda: hash_one(1)).decompressed == 2
    assert work(lambda: hash_one(1)) == NOTHING
    assert work(lambda: hash_one(2)).decompressed == 1
    assert work(lambda: [hash_one(1), hash_one(2)]) == NOTHING
    assert hash_one(2) == bytes.fromhex(build.sha256(b"2"))
    # They are not all: a question for all contents reads the layer, one for entries alone shows none of them.
    assert work(lambda: read_all(path, cache, contents=True)).decompressed == 2
    assert all(entry.sha256 is None for entry in read_all(path, cache)[0].entries)


# -- damage --------------------------------------------------------------------------------------------


def layer_files(cache: LayerCache) -> list[Path]:
    return sorted((cache.path / VERSION).glob("sha*"))


def swap(files: list[Path]) -> None:
    one, two = files
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def each(change: Callable[[Path], object]) -> Callable[[list[Path]], None]:
    def act(files: list[Path]) -> None:
        for path in files:
            change(path)

    return act


def flip(position: int) -> Callable[[list[Path]], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[position] ^= 0x40
        path.write_bytes(data)

    return each(change)


def cut(size: int) -> Callable[[list[Path]], None]:
    return each(lambda path: path.write_bytes(path.read_bytes()[:size]))


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_link(path: Path) -> None:
    target = path.rename(path.parent.parent / path.name)
    path.symlink_to(target)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[list[Path]], None]] = {
    "empty": cut(0),
    "cut in the head": cut(40),
    "cut by a byte": cut(-1),
    "longer": each(lambda path: path.write_bytes(path.read_bytes() + b"x")),
    "magic": flip(0),
    "size": flip(9),
    "checksum": flip(20),
    "entries": flip(120),
    "contents": flip(-3),
    "zeros, as after a crash": each(lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "another layer's": swap,
    "a link": each(replace_by_link),
    "a pipe": each(replace_by_pipe),
    "gone": each(lambda path: path.unlink()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_ignored_and_made_anew(
    damage: str, tmp_path: Path, cache: LayerCache, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1)
    expected = read_all(path, None, contents=True)
    read_all(path, cache, contents=True)
    DAMAGES[damage](layer_files(cache))
    assert work(lambda: read_all(path, cache, contents=True)) == Work(2, 2)
    assert work(lambda: read_all(path, cache, contents=True)) == NOTHING
    assert read_all(path, cache, contents=True) == expected


def test_a_directory_where_a_file_should_be(tmp_path: Path) -> None:
    said: list[str] = []
    cache = new_cache(tmp_path / "cache", tell=said.append)
    path = write(tmp_path / "app.tar", V1)
    read_all(path, cache)
    each(replace_by_directory)(layer_files(cache))
    assert read_all(path, cache) == read_all(path, None)
    assert len(said) == 1


@given(st.binary(max_size=300))
def test_bytes_that_hold_no_layer(data: bytes) -> None:
    assert decode_layer(data) is None
    assert decode_digests(data) is None


@given(st.data())
def test_decoding_survives_what_a_checksum_would_let_through(data: st.DataObject) -> None:
    stored = encode_layer(index_layer([BASE], hashed=False))
    plain = bytearray(zstandard.ZstdDecompressor().decompress(stored))
    for _ in range(data.draw(st.integers(1, 4))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    decode_layer(zstandard.ZstdCompressor().compress(bytes(plain)))


def test_stages_of_the_one_layer_that_is_not_kept_run_beside_each_other(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    run_stage = tarlayers.layer.run_stage
    monkeypatch.setattr("tarlayers.layer.run_stage", lambda *given: started.append(given) or run_stage(*given))
    monkeypatch.setattr("tarlayers.stores.store.LEAST_AHEAD", 1 << 10)
    monkeypatch.setattr("tarlayers.stores.cachedstore.LEAST_AHEAD", 1 << 10)
    monkeypatch.setattr("tarlayers.stores.store.count_cores", lambda: 2)
    layers = [layer(file("noise", random.Random(seed).randbytes(1 << 14))) for seed in range(3)]
    read_all(write(tmp_path / "all.tar", image(*layers)), None)
    expected = read_all(tmp_path / "all.tar", None)
    assert not started  # a core for each, and nothing is handed from thread to thread
    read_all(write(tmp_path / "some.tar", image(*layers[:2])), cache)
    started.clear()
    assert read_all(tmp_path / "all.tar", cache) == expected
    assert len(started) == 1


# -- what is kept comes back ---------------------------------------------------------------------------


@given(MEMBERS, st.booleans())
def test_every_layer_comes_back_as_it_was(members: list[build.Member], contents: bool) -> None:
    index = index_layer([layer(*members)], hashed=False, contents=contents)
    found = {entry.offset: entry.sha256 for entry in index.entries if entry.sha256 is not None}
    digests = decode_digests(encode_digests(FileDigests(found, contents)))
    assert digests == FileDigests(found, contents)
    assert decode_layer(encode_layer(index), digests.by_offset if digests and contents else None) == index


ODD = {
    "nothing": layer(),
    "names that are not UTF-8": build.tar([file("a\udcff", b"x"), symlink("l", "\udcfe")]),
    "newlines and blanks": layer(file(" a\nb\t", b"x")),
    "names that need cleaning": layer(file("./a//b/../c", b"x"), directory("/")),
    "huge and negative numbers": layer(
        file("a", uid=2**31 - 1, mtime=-1), file("b", pax={"mtime": "9000000000000000000"}), file("c", mtime=2**34)
    ),
    "extended attributes": layer(xattrs(file("a"), user_a=b"\0\xff", user_b=b"")),
    "global headers and unknown types": layer(build.Member("g", "g", b"17 comment=hello\n"), build.Member("u", "Z")),
    "holes": layer(pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"), file("a")),
    "trailing bytes": layer(file("a")) + b"x" * 700,
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_layers_come_back(odd: str) -> None:
    index = index_layer([ODD[odd]], hashed=False)
    assert decode_layer(encode_layer(index)) == index


@pytest.mark.parametrize("name", ["shop-v1.oci.tar", "shop-v2.oci.tar", "shop.docker.tar"])
def test_real_layers_come_back(name: str, cache: LayerCache) -> None:
    for wanted in (PLAIN, CONTENTS):
        expected = read_all(TESTDATA / name, None, **wanted)
        assert [read_all(TESTDATA / name, cache, **wanted) for _ in range(2)] == [expected] * 2


# -- room ----------------------------------------------------------------------------------------------


def digest(number: int) -> Digest:
    return Digest.of(b"%d" % number)


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache", most_bytes=64 << 10)
    for number in range(12):
        cache.write(digest(number), {"entries": bytes(4000)})
        os.utime(cache.path / VERSION / f"sha256-{digest(number).hex}", (number, number))
    assert cache.read(digest(0), "entries") is not None  # which makes it the last one used
    for number in range(12, 18):
        cache.write(digest(number), {"entries": bytes(4000)})
    kept = {number for number in range(18) if digest(number) in cache}
    assert kept > {0, 17}
    assert not kept & {1, 2, 3}
    assert cache.measure().bytes <= 64 << 10


def test_the_bound_holds_whatever_is_written(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache", most_bytes=100_000)
    for number in range(100):
        cache.write(digest(number), {"entries": bytes(1 + number * 100 % 9000)})
        cache.remember(Origin(1, number, 1, 1, 1, 0, 1), digest(number))
    assert 0 < cache.measure().bytes <= 100_000
    links = len(list((cache.path / VERSION).glob("at-*")))
    assert 0 < links < 100
    cache.write(digest(1000), {"entries": bytes(60_000)})
    assert digest(1000) not in cache, "half of the cache for one layer is too much"


def test_what_a_killed_process_left_goes_with_the_rest(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache", most_bytes=100_000)
    cache.write(digest(0), {"entries": b"x"})
    orphan = cache.path / VERSION / "new-abcd_123"
    orphan.write_bytes(bytes(90_000))
    os.utime(orphan, (1, 1))
    for number in range(20):
        cache.write(digest(number), {"entries": bytes(2000)})
    assert not orphan.exists()


# -- processes, directories ----------------------------------------------------------------------------


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def start(*words: str | Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tarlayers", *map(str, words)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_eight_processes_at_once(tmp_path: Path) -> None:
    bulk = [layer(*(file(f"d/{number}-{i}", os.urandom(200)) for i in range(200))) for number in range(4)]
    path = write(tmp_path / "app.tar", image(*bulk))
    env = environment(TARLAYERS_CACHE=str(tmp_path / "cache"))
    commands = [("ls", "-R"), ("ls", "-R", "--digests"), ("ls", "-R"), ("waste",)] * 2
    running = [start(*words, path, env=env) for words in commands]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in running]
    assert all(code == 0 and not errors for _, errors, code in ended)
    assert ended[:4] == ended[4:]
    kept = LayerCache(tmp_path / "cache")
    assert kept.measure().layers == 4
    assert not list((kept.path / VERSION).glob("new-*"))
    assert all(kept.read(Digest.parse(path.name.replace("-", ":")), "entries") for path in layer_files(kept))


def test_a_full_disk(tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    cache = new_cache(tmp_path / "cache", tell=said.append)
    path = write(tmp_path / "app.tar", V1)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fail)
    assert read_all(path, cache) == read_all(path, None)
    assert said == [f"{cache.path}: No space left on device: nothing more is kept"]
    assert not list(cache.path.glob("**/new-*"))


def test_a_cache_that_can_only_be_read_is_read(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch, work: Callable[[Callable[[], Any]], Work]
) -> None:
    path = write(tmp_path / "app.tar", V1)
    read_all(path, cache)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for call in ("utime", "mkdir", "replace", "unlink", "symlink"):
        monkeypatch.setattr(os, call, fail)
    assert work(lambda: read_all(path, new_cache(cache.path))) == NOTHING


DISTRUSTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (lambda path: path.write_bytes(b""), "is no directory"),
    "others may write": (lambda path: path.mkdir() or path.chmod(0o777), "others may write to it"),  # type: ignore[func-returns-value]
    "others may write below": (
        lambda path: (path / VERSION).mkdir(parents=True) or (path / VERSION).chmod(0o720),  # type: ignore[func-returns-value]
        "others may write to it",
    ),
}


@pytest.mark.parametrize("case", DISTRUSTED)
def test_directories_that_are_not_trusted(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "app.tar", V1)
    make, reason = DISTRUSTED[case]
    make(tmp_path / "cache")
    said: list[str] = []
    cache = new_cache(tmp_path / "cache", tell=said.append)
    assert read_all(path, cache) == read_all(path, None)
    assert cache.measure() == (0, 0)
    assert cache.clear() == (0, 0)
    assert len(said) == 1
    assert reason in said[0]


def test_another_users_directory_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "app.tar", V1)
    read_all(path, new_cache(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    cache = new_cache(tmp_path / "cache")
    assert cache.problem == f"{tmp_path / 'cache'}: belongs to another user"
    assert read_all(path, cache) == read_all(path, None)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"TARLAYERS_CACHE": "{0}/own", "XDG_CACHE_HOME": "{0}/xdg", "HOME": "{0}/home"}, "own"),
        ({"XDG_CACHE_HOME": "{0}/xdg", "HOME": "{0}/home"}, "xdg/tarlayers"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "{0}/home"}, "home/.cache/tarlayers"),
        ({"HOME": "{0}/home"}, "home/.cache/tarlayers"),
        ({}, None),
        ({"TARLAYERS_CACHE": "", "HOME": "{0}/home"}, None),
        ({"TARLAYERS_CACHE": "/dev/null/cache", "HOME": "{0}/home"}, None),
    ],
)
def test_where_it_is(
    variables: dict[str, str], place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TARLAYERS_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    ran = run("ls", TESTDATA / "shop-v1.oci.tar")
    assert (ran.code, ran.stderr) == (0, "")
    assert [str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob(f"**/{VERSION}")] == [place][: bool(place)]


# -- the command line ----------------------------------------------------------------------------------


@pytest.fixture
def directory_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TARLAYERS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


OLD, NEW = TESTDATA / "shop-v1.oci.tar", TESTDATA / "shop-v2.oci.tar"
# Layers of 1 KiB or more, of which these have two each.
COMMANDS: dict[str, tuple[str | Path, ...]] = {
    "layers": ("layers", OLD),
    "history": ("history", OLD),
    "ls": ("ls", "-lR", OLD),
    "ls --only": ("ls", "--only", "1", OLD),
    "ls --digests": ("ls", "-R", "--digests", "-f", "json", OLD),
    "changes": ("changes", OLD),
    "log": ("log", OLD, "/etc/passwd"),
    "blame": ("blame", OLD),
    "diff": ("diff", OLD, NEW),
    "waste": ("waste", OLD),
    "waste --digests": ("waste", "--digests", "-f", "json", OLD),
    "hidden": ("hidden", OLD),
    "lint": ("lint", OLD),
    "cat": ("cat", OLD, "/etc/passwd"),
    "export": ("export", OLD, "-o", "-"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_keeps_layers_and_answers_the_same(name: str, directory_used: Path) -> None:
    words = COMMANDS[name]
    plain = run(*words, "--no-cache")
    assert plain.code in (0, 1)
    assert not directory_used.exists()
    assert run(*words) == run(*words) == plain
    assert LayerCache(directory_used).measure().layers == (1 if "--only" in words else 2)


@pytest.mark.usefixtures("directory_used")
def test_two_runs_of_ls_decompress_once(work: Callable[[Callable[[], Any]], Work]) -> None:
    def act() -> None:
        assert run("ls", "-R", OLD).code == 0

    act()
    assert work(act) == Work(2, 2)  # those below 1 KiB
    assert work(lambda: run("ls", "-R", OLD, "--no-cache")) == Work(4, 4)


def test_inspect_and_verify_keep_nothing(directory_used: Path) -> None:
    assert run("verify", OLD).code == run("inspect", OLD).code == 0
    assert not directory_used.exists()


def test_standard_input_only_when_asked(directory_used: Path, work: Callable[[Callable[[], Any]], Work]) -> None:
    data = OLD.read_bytes()
    plain = run("ls", "-R", "-", stdin=data)
    assert not directory_used.exists()
    assert run("ls", "-R", "--cache", "-", stdin=data) == plain
    assert LayerCache(directory_used).measure().layers == 2
    # The bytes are hashed, for no file is known again; only what is too small to be kept is decompressed.
    assert work(lambda: run("ls", "-R", "--cache", "-", stdin=data)) == Work(2, 4)


def test_info_and_clear(directory_used: Path) -> None:
    assert run("cache", "info").lines == [f"path    {directory_used}", "layers  0", "size    0B of 537MB"]
    run("ls", OLD)
    (directory_used / VERSION / "mine.txt").write_text("not the cache's")
    (directory_used / "v0").mkdir()
    (directory_used / "v0" / f"sha256-{'0' * 64}").write_bytes(bytes(100))
    info = run("cache", "info", "-f", "json").json
    assert (info["path"], info["layers"], info["limit"]) == (str(directory_used), 2, 512 << 20)
    assert run("cache", "clear", "-f", "json").json["removed"] == {"layers": 3, "bytes": info["bytes"] + 100}
    assert sorted(path.name for path in directory_used.glob("**/*")) == ["CACHEDIR.TAG", "mine.txt", VERSION]
    assert run("ls", OLD).code == 0
    assert run("cache", "clear").lines[0].startswith("removed 2 layers, ")


@pytest.mark.parametrize("words", [(), ("-q",), ("-f", "json")])
def test_what_cannot_be_removed_is_said(
    words: tuple[str, ...], directory_used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ls", OLD)

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        ran = run("cache", "clear", *words)
    count = len(list((directory_used / VERSION).iterdir()))
    reason = f"tarlayers: {directory_used}: {count} files cannot be removed: Permission denied\n"
    assert (ran.code, ran.stderr) == (3, reason)
    assert run("cache", "info", "-f", "json").json["layers"] == 2
    directory_used.chmod(0o777)
    ran = run("cache", "clear", *words)
    assert (ran.code, ran.stderr) == (3, f"tarlayers: {directory_used}: others may write to it\n")


def test_a_word_when_it_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_bytes(b"")
    monkeypatch.setenv("TARLAYERS_CACHE", str(tmp_path / "cache"))
    assert run("ls", OLD).stderr == ""
    assert run("ls", "-v", OLD).stderr.startswith(f"tarlayers: no layer cache: {tmp_path / 'cache'}: is no directory\n")
    assert run("cache", "info").lines[-1] == f"off     {tmp_path / 'cache'}: is no directory"


@pytest.mark.parametrize(("given", "reason"), [(None, "neither HOME nor XDG_CACHE_HOME is set"), ("", "is empty")])
def test_verbose_says_why_there_is_none(given: str | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TARLAYERS_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv("TARLAYERS_CACHE", given)
    assert run("ls", OLD).stderr == ""
    assert re.match(rf"tarlayers: no layer cache: .*{reason}\n", run("ls", "-v", OLD).stderr)


def test_verbose_says_what_is_read_and_what_came_from_it(directory_used: Path) -> None:
    quiet, first, then = run("ls", OLD), run("ls", "-v", OLD), run("ls", "-v", OLD)
    assert quiet.stderr == ""
    shutil.rmtree(directory_used)
    said = f"tarlayers: {OLD}: oci-archive of 1 image, {human_size(OLD.stat().st_size)}, read in place\n"
    served = f"tarlayers: {directory_used}: 2 layers came from this cache\n"
    assert run("ls", "-v", OLD) == (0, quiet.stdout, said)
    assert first == then == (0, quiet.stdout, said + served)


def test_verbose_of_a_stream_says_what_it_was() -> None:
    ran = run("ls", "-v", "-", stdin=OLD.read_bytes())
    what = f"tarlayers: standard input: oci-archive of 1 image, {human_size(OLD.stat().st_size)}"
    assert ran.stderr.splitlines() == ["tarlayers: standard input is read in one pass, nothing is kept on disk", what]
