"""The members of an archive, and what is kept of a bare layer's: nothing, once it has turned out to be one."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tarlayers
from tarlayers.analysis.verify import verify_archive
from tarlayers.digest import Meter
from tarlayers.errors import LimitExceeded
from tarlayers.formats.tar import ChunkFeed, Walker
from tarlayers.imagearchive import ImageArchive
from tarlayers.limits import DEFAULT_LIMITS
from tarlayers.opening import open_images
from tarlayers.sources.blob import Blob
from tarlayers.sources.members import Members, Place, clean_name, read_members
from tests.build import (
    Member,
    archive,
    compact,
    directory,
    docker_20,
    file,
    hardlink,
    image,
    layer,
    pack,
    sha256,
    symlink,
    tar,
)
from tests.run import run
from tests.splits import gnu_sparse, pax_sparse

NAMES = ("a", "./a", "a//b", "d/", "d/b", ".x/y", "d/../a", "/a", "t/long" + "g" * 120)
MEMBERS = st.lists(
    st.builds(
        lambda make, name, data: make(name, data),
        st.sampled_from(
            [
                file,
                lambda name, _: directory(name),
                lambda name, _: symlink(name, "a"),
                lambda name, _: hardlink(name, "d/b"),
            ]
        ),
        st.sampled_from(NAMES),
        st.sampled_from([b"", b"one", bytes(600)]),
    ),
    max_size=12,
)


def one_by_one(data: bytes) -> tuple[Members[Place], dict[str, bytes]]:
    """What members are, each taken in by itself, and the contents of the files among them."""
    walker = Walker(ChunkFeed((data,)))
    members: Members[Place] = Members()
    contents = {}
    for member in walker:
        name, start = clean_name(member.name), walker.data_offset
        members.add(name, member.typeflag, member.linkname, (start, member.size))
        contents[name] = data[start : start + member.stored]
    return members, contents


@given(MEMBERS)
def test_members_read_together_are_those_that_are_read_one_by_one(made: list[Member]) -> None:
    data = tar(made)
    table = read_members(bytes_blob(data), DEFAULT_LIMITS)
    members, contents = one_by_one(data)
    aliases = members.resolve_links()
    assert table.aliases == aliases
    assert table.duplicates == members.duplicates
    read = {name: b"".join(blob.chunks()) for name, blob in table.blobs.items()}
    expected = {name: contents[name] for name in members.files}
    assert read == expected | {name: expected[target] for name, target in aliases.items()}
    assert dict(table.sizes) == {name: len(content) for name, content in read.items()}


Open = Callable[[bytes, Path], ImageArchive]


def from_file(data: bytes, where: Path) -> ImageArchive:
    (where / "made.tar").write_bytes(data)
    return open_images(where / "made.tar")


def from_stream(data: bytes, _where: Path) -> ImageArchive:
    return open_images(io.BytesIO(data))


SOURCES = pytest.mark.parametrize("opened", [from_file, from_stream])


@SOURCES
def test_nothing_is_kept_of_the_members_of_a_bare_layer(opened: Open, tmp_path: Path) -> None:
    # A JSON file that comes twice is a document of an archive, but a file like any other of a layer.
    twice = [file("etc/package.json", b"{}"), file("etc/package.json", b'{"a":1}')]
    found = opened(layer(file("bin/sh", b"#!"), *twice, symlink("sh", "bin/sh")), tmp_path)
    assert found.kind == "layer"
    assert (dict(found.store.sizes), dict(found.store.aliases), dict(found.store.duplicates)) == ({}, {}, {})
    assert [finding.code for finding in verify_archive(found).findings] == []
    assert set(tarlayers.merge_layers(found.images[0].layers)) >= {"/bin/sh", "/etc/package.json", "/sh"}


@SOURCES
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"too short for a header", "the archive ends inside a header"),
        (bytes(511), "the archive ends inside a header"),
        (bytes(1024), []),
        (b"x" * 600, "not a tar archive"),
    ],
)
def test_a_layer_whose_name_does_not_tell(
    opened: Open, tmp_path: Path, content: bytes, expected: list[str] | str
) -> None:
    """Nothing before its manifest says that the tar is no bare layer, of which only what may be a tar is tried."""
    document = compact([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["base/layer.tar"]}])
    config = compact(image(content).config)
    data = pack({"base/layer.tar": content, "config.json": config, "manifest.json": document})
    layers = opened(data, tmp_path).images[0].layers
    if isinstance(expected, str):
        with pytest.raises(tarlayers.TarlayersError, match=expected):
            layers[0].read()
    else:
        assert [entry.path for entry in layers[0].read().entries] == expected


def test_a_stream_is_not_hashed_as_a_layer_once_a_name_tells_that_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first blob would be hashed twice: verify of standard input took 1.6 times as long."""
    stopped: list[int] = []
    stop_hashing = Meter.stop_hashing

    def stop(meter: Meter) -> None:
        stopped.append(meter.size)
        stop_hashing(meter)

    monkeypatch.setattr(Meter, "stop_hashing", stop)
    data = archive("docker-20", image(layer(file("large", bytes(1 << 20)))))
    first = open_images(io.BytesIO(data)).images[0].layers[0]
    assert first.diff_id is not None
    assert stopped
    assert stopped[0] < 1 << 19


@SOURCES
def test_an_error_in_a_directory_that_was_packed_names_the_member_as_the_documents_do(
    opened: Open, tmp_path: Path
) -> None:
    good = layer(file("etc/passwd"), file("etc/shadow"))
    bad = good[:512] + b"?" * 512 + good[1024:]
    files = docker_20([image(good)])
    [name] = [name for name in files if name.endswith("/layer.tar")]
    packed = {f"app/{each}": bad if each == name else content for each, content in files.items()}
    damaged = opened(pack(packed), tmp_path).images[0].layers[0]
    with pytest.raises(tarlayers.MalformedInput) as error:
        damaged.read()
    assert error.value.place.endswith(f": {name}")


PLAIN_LAYER = layer(file("a", b"1" * 700), file("zeros", bytes(20000)), file("b", b"2" * 3000))
HOLE = PLAIN_LAYER.index(bytes(20000))
SPREAD = [(0, HOLE), (HOLE + 20000, len(PLAIN_LAYER) - HOLE - 20000)]


def pack_sparse(version: str) -> bytes:
    """A docker-archive that was packed by `tar --sparse`: its layer has a hole."""
    config = compact({"rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(PLAIN_LAYER)}"]}})
    manifest = compact([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}])
    data = PLAIN_LAYER.replace(bytes(20000), b"")
    documents = [file("c.json", config), file("manifest.json", manifest)]
    if version == "gnu":
        return gnu_sparse(b"layer.tar", SPREAD, len(PLAIN_LAYER), data) + tar(documents)
    return tar([pax_sparse("layer.tar", SPREAD, len(PLAIN_LAYER), data, version), *documents])


@pytest.mark.parametrize("version", ["gnu", "0.1", "1.0"])
@pytest.mark.parametrize("words", [("ls", "-l"), ("verify",), ("cat", "/b")], ids=lambda words: words[0])
def test_an_archive_that_was_packed_with_holes(words: tuple[str, ...], version: str, tmp_path: Path) -> None:
    data = pack_sparse(version)
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    command, *more = words
    options, paths = [each for each in more if each[0] == "-"], [each for each in more if each[0] != "-"]
    found = run(command, *options, path, *paths)
    assert (found.code, found.stderr) == (0, "")
    assert run(command, *options, "-", *paths, stdin=data).stdout == found.stdout


@given(st.integers(0, len(PLAIN_LAYER)), st.integers(0, len(PLAIN_LAYER)))
def test_a_member_with_holes_is_read_from_anywhere(offset: int, count: int) -> None:
    blob = read_members(bytes_blob(pack_sparse("1.0")), DEFAULT_LIMITS).blobs["layer.tar"]
    assert blob.read_at(offset, count) == PLAIN_LAYER[offset : offset + count]


def test_holes_have_a_limit() -> None:
    data = tar([pax_sparse("layer.tar", [(0, 5)], 1 << 60, b"12345", "1.0")])
    blob = read_members(bytes_blob(data), DEFAULT_LIMITS).blobs["layer.tar"]
    with pytest.raises(LimitExceeded, match="sparse_bytes"):
        blob.read_at(0, 10)


def bytes_blob(data: bytes) -> Blob:
    return Blob("whole", len(data), lambda offset, count: data[offset : offset + count])
