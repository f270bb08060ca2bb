"""The tar reader: Go's archive/tar is the reference, whole, byte by byte, in short reads and by hopping."""

import hashlib
import io
import json
import random
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.errors import LimitExceeded, MalformedInput, TarlayersError
from tarlayers.formats import tar, tar_headers
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tests import build
from tests.paths import SHARED

SHARED_TAR = SHARED / "tar"
LARGEST_HASHED = 10**8  # one archive claims 60 GB of holes


def dribble(data, seed):
    source = random.Random(seed)
    position = 0
    while position < len(data):
        step = source.choice((1, 1, 2, 3, 7, 100, 511, 512, 513, 5000))
        yield data[position : position + step]
        position += step


FEEDS = {
    "whole": lambda data: tar.ChunkFeed([data]),
    "bytewise": lambda data: tar.ChunkFeed(data[i : i + 1] for i in range(len(data))),
    "dribble": lambda data: tar.ChunkFeed(dribble(data, 7)),
    "hopping": lambda data: tar.SeekFeed(lambda offset, count: data[offset : offset + count], len(data)),
}


def read(feed, limits=DEFAULT_LIMITS, contents=True):
    """Everything a walk gives, and the error that it ends with."""
    walker = tar.Walker(feed, limits=limits)
    members = []
    try:
        for member in walker:
            digest = hashlib.sha256()
            if contents and member.size < LARGEST_HASHED:
                for piece in walker.content():
                    digest.update(piece)
            members.append((member, digest.hexdigest()))
    except TarlayersError as error:
        return members, error
    return members, None


def go_archives():
    if not SHARED_TAR.is_dir():
        return [pytest.param(None, None, marks=pytest.mark.skip(reason="Go's archives are not beside this checkout"))]
    expected = json.loads((SHARED_TAR / "expected.json").read_bytes())
    return [pytest.param(name, want, id=name) for name, want in sorted(expected.items())]


@pytest.mark.conformance
@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(("name", "want"), go_archives())
def test_reads_as_go_reads(name, want, feed):
    members, error = read(FEEDS[feed]((SHARED_TAR / name).read_bytes()))
    assert (error is not None) == bool(want.get("error"))
    assert len(members) == len(want["entries"])
    for (member, digest), go in zip(members, want["entries"], strict=True):
        assert member.name == (bytes.fromhex(go["name_hex"]) if "name_hex" in go else go["name"].encode())
        assert member.typeflag.decode() == go["type"]
        assert member.linkname == go.get("linkname", "").encode()
        assert (member.size, member.mode, member.uid, member.gid) == (go["size"], go["mode"], go["uid"], go["gid"])
        if go["type"] != "g":
            assert member.mtime == go["mtime"] * 10**9 + go["mtime_ns"]
        if go["type"] not in "123456" and member.size < LARGEST_HASHED:
            assert digest == go["sha256"]


def python_tar(*members, fmt=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


SAMPLE = python_tar(("a", b"x" * 700), ("b" * 150, b"y"), ("dir/empty", b""), ("c", b"z" * 5000))
FILES = [(f"many/file{i}", b"%d" % i * (i % 5)) for i in range(3000)]
MADE = {
    "sample": SAMPLE,
    "many": python_tar(*FILES),
    "many, cut": python_tar(*FILES)[:-20_000],
    "many, one header wrong": python_tar(*FILES)[:60_000] + b"?" * 512 + python_tar(*FILES)[60_416:],
    "many, some with long names": python_tar(*FILES[:20], ("n" * 300, b"z" * 600), *FILES[20:40], ("m" * 300, b"")),
    "empty": python_tar(),
    "nothing": b"",
    "no tar": b"?" * 2000,
}


def end_of(members):
    """How an iteration ends."""
    try:
        for _ in members:
            pass
    except TarlayersError as error:
        return type(error), str(error)
    return None


def hash_small(content, member):
    """The digest of a content; of a large one that of nothing, and nothing of it is read."""
    digest = hashlib.sha256()
    for piece in content if member.size < LARGEST_HASHED else ():
        digest.update(piece)
    return digest.hexdigest()


def read_lists(feed, ask):
    """The members of a walk in lists, with the content of the last of each, and how it ends."""
    walker = tar.Walker(feed)
    found = []

    def draw():
        for batch in map(tar.list_members, ask(walker)):
            found.append((batch, hash_small(walker.content(), batch[-1])))
            yield

    return found, end_of(draw()), walker


def every_archive():
    yield from (pytest.param(name, id=name) for name in MADE)
    if SHARED_TAR.is_dir():
        yield from (pytest.param(path, id=path.name) for path in sorted(SHARED_TAR.glob("*.tar")))


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("archive", [*every_archive()])
def test_lists_and_skimming_see_what_one_after_the_other_sees(archive, feed):
    data = MADE[archive] if archive in MADE else archive.read_bytes()
    alone, error = read(FEEDS[feed](data))
    ends = (type(error), str(error)) if error else None

    found, end, walker = read_lists(FEEDS[feed](data), tar.Walker.stretches)
    assert [member for batch, _ in found for member in batch] == [member for member, _ in alone]
    members = {member.offset: (member, digest) for member, digest in alone}
    assert all((batch[-1], digest) == members[batch[-1].offset] for batch, digest in found)
    assert (end, walker.count) == (ends, len(alone))

    walker = tar.Walker(FEEDS[feed](data))
    end = end_of(
        members[offset][1] == hash_small(content, members[offset][0]) or pytest.fail(f"the content at {offset}")
        for stretch in walker.stretches()
        for offset, content in walker.open_contents(stretch)
    )
    assert (end, walker.count) == (ends, len(alone))

    gathered = []
    walker = tar.Walker(FEEDS[feed](data))
    end = end_of(gathered.extend(tar.list_members(stretch)) for stretch in walker.gather())
    assert gathered == [member for member, _ in alone]
    assert (end, walker.count) == (ends, len(alone))

    skimmed, end, walker = read_lists(FEEDS[feed](data), tar.Walker.skim)
    seen = [member for batch, _ in skimmed for member in batch]
    assert all((batch[-1], digest) == members[batch[-1].offset] for batch, digest in skimmed)
    assert all(member == members[member.offset][0] for member in seen)
    assert all(member in seen for member, _ in alone if member.pax or member.sparse)
    assert seen[-1:] == [member for member, _ in alone][-1:]
    assert (end, walker.count) == (ends, len(alone))


@pytest.mark.parametrize("kept", [1, 3, 1 << 15])
def test_walks_that_share_what_they_decoded_see_what_each_sees_alone(kept, monkeypatch):
    monkeypatch.setattr(tar_headers, "_SMALL", kept)
    monkeypatch.setattr(tar_headers, "_LARGE", kept)
    shared = tar.HeaderCaches()
    archives = [param.values[0] for param in every_archive()]
    for archive in archives + archives[::-1]:
        data = MADE[archive] if archive in MADE else archive.read_bytes()
        alone, error = read(FEEDS["whole"](data), contents=False)
        found = []
        walker = tar.Walker(FEEDS["whole"](data), caches=shared)
        end = end_of(found.extend(tar.list_members(stretch)) for stretch in walker.gather())
        assert (found, end) == ([member for member, _ in alone], (type(error), str(error)) if error else None)
        caches = (shared.tails, shared.owners, shared.numbers, shared.times, shared.sums)
        assert max(map(len, caches)) <= kept


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("archive", [*every_archive()])
def test_skimming_stops_at_the_first_member_too_many(archive, feed):
    data = MADE[archive] if archive in MADE else archive.read_bytes()
    alone, _ = read(FEEDS[feed](data), contents=False)
    walker = tar.Walker(FEEDS[feed](data), limits=Limits(entries=7))
    counts = []
    with suppress(TarlayersError):
        counts += (walker.count for _ in walker.skim())
    assert len(alone) <= 7 or 8 in counts


@pytest.mark.parametrize("cut", range(0, len(SAMPLE) - 10240 + 6000, 97))
@pytest.mark.parametrize("feed", ["whole", "hopping"])
def test_a_cut_archive_is_an_error_or_ends_between_members(cut, feed):
    whole, _ = read(FEEDS["whole"](SAMPLE))
    members, error = read(FEEDS[feed](SAMPLE[:cut]), contents=False)
    assert [m.name for m, _ in members] == [m.name for m, _ in whole[: len(members)]]
    if error is None:
        last = members[-1][0] if members else None
        assert last is None or cut >= last.offset + 512 + last.stored
    else:
        assert isinstance(error, MalformedInput)
        assert error.offset is not None


@pytest.mark.parametrize("position", [0, 100, 124, 148, 150, 200, 300, 400, 511])
def test_any_changed_header_byte_breaks_the_checksum(position):
    data = bytearray(SAMPLE)
    data[position] ^= 0x41
    _, error = read(FEEDS["whole"](bytes(data)))
    assert error is not None


def test_raw_bytes_and_contents_put_together_are_the_archive():
    walker = tar.Walker(tar.ChunkFeed(dribble(SAMPLE + b"tail", 3)), raw=True)
    rebuilt = b""
    for _ in walker:
        rebuilt += walker.take_raw()
        rebuilt += b"".join(walker.payload())
    rebuilt += walker.take_raw()
    assert rebuilt + b"".join(walker.tail()) == SAMPLE + b"tail"


def test_extensions_are_bounded():
    data = python_tar(("n" * 5000, b""))
    members, error = read(FEEDS["whole"](data), Limits(extension_bytes=4096))
    assert not members
    assert isinstance(error, LimitExceeded)
    assert "extension_bytes" in str(error)


def test_hopping_reads_headers_alone():
    data = python_tar(("a", bytes(10_000_000)), ("b", bytes(10_000_000)))
    touched = []

    def read_at(offset, count):
        touched.append(count)
        return data[offset : offset + count]

    members, error = read(tar.SeekFeed(read_at, len(data)), contents=False)
    assert error is None
    assert len(members) == 2
    assert sum(touched) < 100_000


@given(st.binary(max_size=2000), st.integers(0, len(SAMPLE)))
def test_any_bytes_give_members_or_an_error(garbage, position):
    data = SAMPLE[:position] + garbage + SAMPLE[position + len(garbage) :]
    whole = read(FEEDS["whole"](data))
    bytewise = read(FEEDS["dribble"](data))
    assert whole[0] == bytewise[0]
    assert str(whole[1]) == str(bytewise[1])


@pytest.mark.parametrize(("key", "value"), [("uid", "zz"), ("size", "x5"), ("mtime", "2020-01-01"), ("atime", "x")])
def test_numbers_of_a_global_header_mean_nothing(key, value):
    """Go reads the records and takes no notice of what is wrong with a value; of an extended header it does."""
    records = build.pax_record(key, value)
    data = build.layer(build.Member("g", "g", records), build.file("a", b"1"))
    members, error = read(FEEDS["whole"](data))
    assert error is None
    assert [(member.name, member.typeflag, member.size) for member, _ in members] == [(b"g", b"g", 0), (b"a", b"0", 1)]
    _, error = read(FEEDS["whole"](build.layer(build.Member("g", "x", records), build.file("a", b"1"))))
    assert error is not None
