"""Tables of contents: parsed at the door, found where formats keep them, and never more kept than a bound."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.analysis.verify import verify_archive
from tarlayers.digest import Meter
from tarlayers.errors import ContentAbsent, LimitExceeded, MalformedInput, TarlayersError
from tarlayers.formats.compression import Decompressor
from tarlayers.formats.toc import TOC_END_BYTES, may_have_toc, parse_toc, read_behind, read_toc_claims
from tarlayers.layer import Demand, LayerIndex, LayerScan, index_layer, index_metered, scan_layer, scan_metered
from tarlayers.limits import Limits
from tarlayers.opening import open_images
from tests.build import END, FLAVOURS, directory, file, image, layer, member_blocks, pack
from tests.edit import with_layers
from tests.lazy import LazyLayer, estargz, skippable, zstd_chunked
from tests.mutations import BASE_MEMBERS, BYTES
from tests.paths import SHARED, needs_shared

MEMBERS = (directory("etc"), file("etc/x", b"1" * 900))
LAZY: dict[str, Callable[..., LazyLayer]] = {
    "estargz": estargz,
    "behind": partial(estargz, behind=True),
    "zstd:chunked": zstd_chunked,
}

WRONG = {
    b"{": "not JSON",
    b"[]": "no list of entries",
    b'{"entries": {}}': "no list of entries",
    b'{"entries": [1]}': "entries[0]: expected an object",
    b'{"entries": [{"name": 5}]}': "entries[0].name: expected a string",
    b'{"entries": [{"type": "chunk"}, {"size": 1.5}]}': "entries[1].size: expected a whole number",
    b'{"entries": [{"modtime": "yesterday"}]}': "entries[0].modtime: expected a time",
    b'{"entries": [{"modtime": "2024-13-01T00:00:00Z"}]}': "entries[0].modtime: expected a time",
    b'{"entries": [{"xattrs": {"user.x": "%"}}]}': "entries[0].xattrs: expected base64",
    b'{"entries": [{"xattrs": {"user.x": null}}]}': "entries[0].xattrs: expected base64",
    b'{"entries": [{"xattrs": ["user.x"]}]}': "entries[0].xattrs: expected an object",
}


@pytest.mark.parametrize("data", WRONG)
def test_a_wrong_table_says_where(data: bytes) -> None:
    with pytest.raises(MalformedInput) as caught:
        parse_toc(data)
    assert WRONG[data] in str(caught.value)


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
KEYS = st.sampled_from(
    ["name", "type", "size", "mode", "uid", "gid", "modtime", "linkName", "devMajor", "devMinor", "xattrs", "digest"]
)


@given(st.lists(st.dictionaries(KEYS, VALUES | st.just("2024-05-01T10:00:00+99:99")) | VALUES, max_size=4) | VALUES)
def test_whatever_a_table_holds_is_parsed_or_refused(entries: object) -> None:
    with suppress(MalformedInput):
        parse_toc(orjson.dumps({"entries": entries}))


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("1969-12-31T23:59:59.000000001Z", -999_999_999),
        ("2024-05-01T10:00:00.123456789Z", 1_714_557_600_123_456_789),
    ],
)
def test_times_are_exact(text: str, nanoseconds: int) -> None:
    [entry] = parse_toc(json.dumps({"entries": [{"modtime": text}]}).encode()).entries
    assert entry.mtime == nanoseconds


def test_no_entries_may_be_null() -> None:
    assert parse_toc(b'{"version":1,"entries":null}').entries == ()


def test_chunks_are_no_entries() -> None:
    toc = parse_toc(b'{"entries": [{"name": "a", "type": "reg"}, {"name": "a", "type": "chunk"}]}')
    assert [(entry.name, entry.type) for entry in toc.entries] == [("a", "file")]


@pytest.mark.parametrize(
    ("annotations", "format_", "position"),
    [
        ({}, None, None),
        ({"org.opencontainers.image.title": "x"}, None, None),
        ({"containerd.io/snapshot/stargz/toc.digest": "sha256:0"}, "estargz", None),
        ({"io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"}, "zstd:chunked", "1:2:3:1"),
        (
            {
                "containerd.io/snapshot/stargz/toc.digest": "sha256:0",
                "io.containers.zstd-chunked.manifest-position": "1:2:3:1",
            },
            "zstd:chunked",
            "1:2:3:1",
        ),
    ],
)
def test_what_annotations_claim(annotations: dict[str, str], format_: str | None, position: str | None) -> None:
    claims = read_toc_claims(annotations)
    assert (claims and claims.format, claims and claims.position) == (format_, position)


TABLE = member_blocks(file("stargz.index.json", b'{"entries": []}')) + END


@pytest.mark.parametrize(
    ("rest", "trailing", "found"),
    [
        (b"", 0, False),
        (bytes(9000), 0, False),
        (TABLE, 0, True),
        (bytes(8192) + TABLE, 0, True),
        (bytes(100) + TABLE, 100 + len(TABLE), False),
        (TABLE + b"more", len(TABLE) + 4, False),
        (member_blocks(file("other")) + END, 1536, False),
        (member_blocks(file("stargz.index.json")) + TABLE, 512 + len(TABLE), False),
        (b"garbage", 7, False),
    ],
)
@pytest.mark.parametrize("size", [1, 511, 1 << 20])
def test_what_follows_the_end_mark(rest: bytes, trailing: int, found: bool, size: int) -> None:
    chunks = (rest[at : at + size] for at in range(0, len(rest), size))
    assert [read_behind(chunks, 1 << 20)[0]] == [trailing]
    _, toc = read_behind((rest,), 1 << 20)
    assert (toc is not None) == found
    assert toc is None or toc.data == b'{"entries": []}'


def test_the_last_skippable_frames_are_kept_within_a_bound() -> None:
    data = zstandard.ZstdCompressor().compress(b"plain")
    flood = b"".join(skippable(bytes(40)) for _ in range(1000)) + b"".join(skippable(b"") for _ in range(1000))
    for keep in (0, 40, 100):
        decompressor = Decompressor("zstd", keep_skippable=keep)
        assert b"".join(decompressor.run((skippable(b"first") + data + flood,))) == b"plain"
        assert len(decompressor.skippable) <= 8
        assert sum(map(len, decompressor.skippable.values())) <= keep
    decompressor = Decompressor("zstd", keep_skippable=100)
    blob = skippable(b"first") + data + skippable(b"one") + skippable(b"two")
    assert b"".join(decompressor.run((blob,))) == b"plain"
    assert [blob[at : at + len(kept)] for at, kept in decompressor.skippable.items()] == [b"one", b"two"]


@pytest.mark.parametrize("kind", LAZY)
def test_a_table_beyond_the_bound_is_not_compared(kind: str) -> None:
    many = [file(f"etc/{i}", b"%d" % i) for i in range(300)]
    data = pack(with_layers(LAZY[kind](*many)))
    archive = open_images(io.BytesIO(data), limits=Limits(toc_bytes=20_000))
    report = verify_archive(archive)
    assert [(finding.code, finding.severity) for finding in report.findings] == [("V018", "note")]
    assert verify_archive(open_images(io.BytesIO(data))).findings == ()


@pytest.mark.parametrize("kind", LAZY)
def test_nothing_of_a_table_is_kept_unless_digests_are_asked_for(kind: str) -> None:
    blob = LAZY[kind](*MEMBERS).blob
    for hashed in (False, True):
        index = index_layer((blob,), hashed=hashed)
        assert index.toc is not None
        assert index.toc.format == ("zstd:chunked" if kind == "zstd:chunked" else "estargz")
        assert (index.toc.data is not None) == hashed
        assert bool(index.member_digests) == hashed


@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("plain", [False, True], ids=["stored", "plain"])
def test_a_scan_sees_that_there_is_a_table(kind: str, plain: bool) -> None:
    layer = LAZY[kind](*MEMBERS)
    blob = layer.plain if plain else layer.blob
    index, scan = index_layer((blob,)), scan_layer((blob,))
    assert (scan.toc is None) == (index.toc is None) == (plain and kind == "zstd:chunked")
    assert may_have_toc(blob[-TOC_END_BYTES:]) == (not plain and kind == "zstd:chunked")  # ours has no footer
    for name in ("digest", "size", "compression", "diff_id", "plain_size", "trailing", "behind_gzip"):
        assert getattr(scan, name) == getattr(index, name)


def test_a_scan_keeps_the_bounds_of_names() -> None:
    deep = member_blocks(file("a/" * 30 + "x", b"")) + END
    scan_layer((deep,))
    for limits in (Limits(path_depth=20), Limits(path_bytes=50), Limits(entries=0)):
        with pytest.raises(LimitExceeded):
            scan_layer((deep,), limits=limits)


def test_layers_without_a_table_have_no_digests_of_members() -> None:
    plain = estargz(*MEMBERS).plain[: -len(END)]
    several = gzip.compress(plain[:512]) + gzip.compress(plain[512:2048] + END)
    index = index_layer((several,))
    assert (index.toc, index.member_digests) == (None, {})


# Plain headers one after the other, others among them, and what only looks like a table in the middle.
MANY = (
    *BASE_MEMBERS,
    *(file(f"many/{i}", b"m" * i) for i in range(40)),
    file("stargz.index.json", b"{}"),
    *BASE_MEMBERS,
)
STORED: dict[str, Callable[[LazyLayer], bytes]] = {
    "as converters write it": lambda made: made.blob,
    "plain": lambda made: made.plain,
    "gzip of one member": lambda made: gzip.compress(made.plain),
    "gzip of two members": lambda made: gzip.compress(made.plain[:8192]) + gzip.compress(made.plain[8192:]),
    "zstd of one frame": lambda made: zstandard.ZstdCompressor().compress(made.plain),
}
BOUNDS = {
    "": Limits(),
    "entries": Limits(entries=25),
    "entries, fewer": Limits(entries=3),
    "toc_bytes": Limits(toc_bytes=1000),
    "no toc_bytes": Limits(toc_bytes=0),
    "path_bytes": Limits(path_bytes=20),
}


def told(read: Callable[[], LayerScan]) -> LayerScan | tuple[type[TarlayersError], str]:
    """What a read gives, or how it ends."""
    try:
        return read()
    except TarlayersError as error:
        return type(error), str(error)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", LAZY)
def test_headers_kept_in_passing_give_the_entries_that_an_index_has(kind: str, stored: str, bound: str) -> None:
    whole = STORED[stored](LAZY[kind](*MANY))
    random = Random(f"{kind} {stored} {bound}")
    damaged = (random.choice(list(BYTES.values()))(whole, random) for _ in range(12))
    for blob, step in [(whole, size) for size in (100, 4096, 1 << 20)] + [(each, 4096) for each in damaged]:

        def read(ask: Callable[..., LayerScan], *demand: Demand) -> LayerScan | tuple[type[TarlayersError], str]:
            meter = Meter()
            chunks = meter.watch(blob[at : at + step] for at in range(0, len(blob), step))  # noqa: B023 # called at once
            return told(lambda: ask(chunks, meter, *demand, limits=BOUNDS[bound]))

        scan, index = read(scan_metered), read(index_metered, Demand(hashed=True))
        if isinstance(scan, LayerScan) and not isinstance(scan, LayerIndex):
            assert isinstance(index, LayerIndex)
            assert scan.toc is None or scan.toc.data is None
            index = LayerScan(**{name: getattr(index, name) for name in LayerScan.__slots__})
        assert scan == index


@pytest.mark.parametrize("kind", LAZY)
def test_a_stream_of_which_no_entries_are_asked_for_is_verified_as_any_other(kind: str) -> None:
    def other(toc: dict[str, list[dict[str, str]]]) -> None:
        toc["entries"][-1]["modtime"] = "2024-01-01T00:00:00Z"

    for change in (None, other):
        data = pack(with_layers(LAZY[kind](*BASE_MEMBERS, *MANY[-3:], change=change), LAZY[kind](*MEMBERS)))
        scanned, indexed = (open_images(io.BytesIO(data), entries=entries) for entries in (False, True))
        assert verify_archive(scanned) == verify_archive(indexed)
        assert verify_archive(scanned).ok == (change is None)


def test_a_stream_of_which_no_entries_were_to_be_asked_for_has_none() -> None:
    data = pack(FLAVOURS["docker-25"]([image(layer(*MEMBERS))]))
    [found] = open_images(io.BytesIO(data), entries=False).images
    with pytest.raises(ContentAbsent, match="entries were not kept"):
        found.layers[0].read()


@needs_shared
@pytest.mark.conformance
def test_tables_of_real_converters_fit_their_layers() -> None:
    packed = zstandard.ZstdDecompressor().stream_reader((SHARED / "corpus" / "small.tar.zst").read_bytes())
    with tarfile.open(fileobj=packed, mode="r|") as corpus:
        seen = 0
        for member in corpus:
            if re.search(r"(estargz|chunked)\S*\.tar$", member.name) and (stream := corpus.extractfile(member)):
                data = stream.read()
                archive = open_images(io.BytesIO(data))
                with tarfile.open(fileobj=io.BytesIO(data)) as image:
                    blobs = [each.read() for each in map(image.extractfile, image) if each]
                assert any(may_have_toc(blob[-TOC_END_BYTES:]) for blob in blobs)
                assert archive.images[0].layers[0].read(hashed=True).toc is not None
                assert verify_archive(archive).findings == (), member.name
                seen += 1
    assert seen == 5
