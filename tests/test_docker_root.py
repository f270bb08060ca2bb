"""Docker data roots: every question answers as the archive that the same daemon saves, of a directory and of a tar."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from tarlayers import open_images
from tarlayers.analysis.changes import list_changes
from tarlayers.content import read_content
from tarlayers.errors import ContentAbsent, MalformedInput, NoSuchImage, UnsupportedInput
from tarlayers.image import Image, load_layers
from tarlayers.imagearchive import ImageArchive
from tarlayers.layer import index_layer
from tarlayers.merging.engine import merge_layers
from tarlayers.reference import choose_image, select_images
from tarlayers.render.images import inspect_lines
from tarlayers.rootfs import RootFS
from tarlayers.stores.losses import find_losses
from tarlayers.stores.rootstore import RootStore
from tests.build import (
    FLAVOURS,
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    sha256,
    symlink,
    unpack,
    whiteout,
    xattrs,
)
from tests.dataroot import Root, cache_id_of, chain_ids, container, docker_root, pack_root, write_root
from tests.paths import SHARED
from tests.run import run

BASE = layer(
    directory("etc"),
    file("etc/passwd", b"root:x:0:0", mode=0o640),
    directory("srv"),
    directory("srv/old"),
    file("srv/old/x", b"old"),
    file("srv/keep", b"keep" * 100),
    hardlink("srv/keep2", "srv/keep"),
    symlink("srv/link", "/etc/passwd"),
    file("srv/empty"),
)
TOP = layer(
    directory("etc"),
    whiteout("etc/passwd"),
    directory("srv"),
    directory("srv/old"),
    opaque("srv/old"),
    file("srv/old/y", b"new"),
)
APP = image(BASE, TOP, names=("example.org/app:v1", "example.org/app@sha256:" + "ab" * 32))
OTHER = image(BASE, names=("example.org/other:latest",), created="2024-04-01T00:00:00Z")
UNNAMED = image(layer(file("z")), names=(), created="2024-03-01T00:00:00Z")
WEB = container("web", APP, directory("srv"), device("srv/keep", 0, 0), directory("new"), file("new/a", b"1"))


def in_directory(root: Root, where: Path) -> str:
    return str(write_root(root, where / "docker"))


def in_tar(root: Root, where: Path) -> str:
    (where / "root.tar").write_bytes(pack_root(root, "var/lib/docker"))
    return str(where / "root.tar")


FORMS = pytest.mark.parametrize("put", [in_directory, in_tar])
Put = Callable[[Root, Path], str]


def open_root(root: Root, where: Path) -> ImageArchive:
    return open_images(in_tar(root, where))


def pick(found: ImageArchive, reference: str) -> Image:
    return choose_image(found.images, reference, None, unlisted=found.unlisted)


def content_of(found: Image, rootfs: RootFS, path: str) -> bytes:
    return b"".join(found.layers[rootfs.layer_of(path)].open_content(rootfs[path]))


def letters(found: Image) -> list[str]:
    """What `changes --all` prints of a container."""
    answer = list_changes(found, layer=len(found.layers) - 1, noise=True)
    return [f"{change.kind} {change.path}" for change in answer.layers[0].changes]


# -- images ----------------------------------------------------------------------------------------


@FORMS
def test_a_root_answers_as_the_archive_of_its_images(put: Put, tmp_path: Path) -> None:
    found = open_images(put(docker_root([APP, OTHER]), tmp_path))
    saved = open_images(io.BytesIO(archive("docker-20", APP, OTHER)), contents=True)
    assert found.kind == "docker-root"
    for ours, theirs in zip(found.images, saved.images, strict=True):
        assert (ours.image_id, ours.chain_ids, ours.history) == (theirs.image_id, theirs.chain_ids, theirs.history)
        load_layers(ours.layers, contents=True)
        for mine, its in zip(ours.layers, theirs.layers, strict=True):
            assert mine.entries == its.entries
            assert mine.read().census == its.read().census
            assert mine.read().plain_size == its.read().plain_size
            assert mine.read(hashed=True, contents=True).diff_id == its.diff_id
        assert dict(merge_layers(ours.layers)) == dict(merge_layers(theirs.layers))


@FORMS
def test_contents_come_from_where_they_lie(put: Put, tmp_path: Path) -> None:
    app = pick(open_images(put(docker_root([APP]), tmp_path)), "v1")
    rootfs = merge_layers(app.layers)
    assert content_of(app, rootfs, "/srv/old/y") == b"new"
    assert content_of(app, rootfs, "/srv/keep2") == b"keep" * 100
    assert b"".join(app.layers[0].open_plain()) == BASE


@pytest.mark.parametrize(
    ("reference", "name"),
    {
        "v1": "example.org/app:v1",
        "example.org/app:v1": "example.org/app:v1",
        f"sha256:{sha256(OTHER.config_bytes)}": "example.org/other:latest",
        sha256(OTHER.config_bytes)[:12]: "example.org/other:latest",
        "sha256:" + "ab" * 32: "example.org/app:v1",
        "example.org/app@sha256:" + "ab" * 32: "example.org/app:v1",
        "example.org/other": "example.org/other:latest",
    }.items(),
)
def test_images_by_tag_digest_and_id(reference: str, name: str, tmp_path: Path) -> None:
    assert pick(open_root(docker_root([APP, OTHER, UNNAMED]), tmp_path), reference).name == name


def test_images_that_others_are_built_on_are_not_listed_but_found_by_id(tmp_path: Path) -> None:
    below = sha256(UNNAMED.config_bytes)
    found = open_root(docker_root([APP, UNNAMED], parents={sha256(APP.config_bytes): below}), tmp_path)
    assert [each.name for each in found.images] == ["example.org/app:v1"]
    assert str(pick(found, below[:12]).image_id) == f"sha256:{below}"
    chosen = select_images(found.images, f"sha256:{below[:12]}", unlisted=found.unlisted)
    assert list(inspect_lines(found, chosen))[2] == f"#sha256:{below[:12]} (no name)"
    alone = open_root(docker_root([APP, UNNAMED]), tmp_path)
    assert len(alone.images) == 2


def test_layers_say_where_they_lie(tmp_path: Path) -> None:
    app = pick(open_root(docker_root([APP]), tmp_path), "v1")
    chain = chain_ids(APP)
    assert {each.compression for each in app.layers} == {"unpacked"}
    assert [(each.on_disk.cache_id, each.on_disk.parent, each.size) for each in app.layers if each.on_disk] == [
        (cache_id_of(chain[0]), None, 10 + 3 + 400 + 11 + 0),
        (cache_id_of(chain[1]), chain[0], 3),
    ]


def test_without_unpacked_files_all_but_content_is_known(tmp_path: Path) -> None:
    root = {path: member for path, member in docker_root([APP]).items() if not path.startswith("overlay2/")}
    app = pick(open_root(root, tmp_path), "v1")
    whole = open_images(in_directory(docker_root([APP]), tmp_path)).images[0]
    assert [each.entries for each in app.layers] == [each.entries for each in whole.layers]
    assert merge_layers(app.layers).sorted_paths() == merge_layers(whole.layers).sorted_paths()
    assert list_changes(app, layer=1).layers[0].count("D") == 2
    with pytest.raises(ContentAbsent, match="lacks the layer's files"):
        content_of(app, merge_layers(app.layers), "/srv/keep")
    with pytest.raises(ContentAbsent):
        app.layers[0].read(hashed=True)


ALTERED = {
    "a byte": (b"keeq" + b"keep" * 99, "checksum"),
    "longer": (b"keep" * 101, "has 404 bytes"),
    "shorter": (b"", "has 0 bytes"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_file_that_is_not_the_layers_is_never_shown_as_if(what: str, tmp_path: Path) -> None:
    data, reason = ALTERED[what]
    root = docker_root([APP])
    place = f"overlay2/{cache_id_of(chain_ids(APP)[0])}/diff/srv/keep"
    root[place] = file(place, data)
    app = pick(open_root(root, tmp_path), "v1")
    rootfs = merge_layers(app.layers)
    with pytest.raises(MalformedInput, match=reason):
        content_of(app, rootfs, "/srv/keep")
    with pytest.raises(MalformedInput):
        app.layers[0].read(hashed=True)
    assert content_of(app, rootfs, "/srv/old/y") == b"new"


def test_files_are_found_through_links_of_their_own_layer_and_never_outside(tmp_path: Path) -> None:
    inside = image(layer(directory("usr"), symlink("lib", "usr"), file("lib/x", b"inside")))
    root = docker_root([inside])
    diff = f"overlay2/{cache_id_of(chain_ids(inside)[0])}/diff"
    root[f"{diff}/usr/x"] = replace(root.pop(f"{diff}/lib/x"), name=f"{diff}/usr/x")
    app = open_images(in_directory(root, tmp_path)).images[0]
    assert b"".join(app.layers[0].open_content(app.layers[0].entries[2])) == b"inside"
    (tmp_path / "docker" / diff / "lib").unlink()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"inside")
    (tmp_path / "docker" / diff / "lib").symlink_to(tmp_path / "outside")
    app = open_images(tmp_path / "docker").images[0]
    with pytest.raises(ContentAbsent, match="it is not there"):
        b"".join(app.layers[0].open_content(app.layers[0].entries[2]))


@pytest.mark.parametrize("part", ["diff", "around it"])
def test_a_directory_that_is_a_link_is_not_the_layers(part: str, tmp_path: Path) -> None:
    where = Path(in_directory(docker_root([APP]), tmp_path))
    diff = where / "overlay2" / cache_id_of(chain_ids(APP)[0]) / "diff"
    moved = diff if part == "diff" else diff.parent
    moved.rename(tmp_path / "outside")
    moved.symlink_to(tmp_path / "outside")
    with pytest.raises(ContentAbsent, match="lacks the layer's files"):
        b"".join(open_images(where).images[0].layers[0].open_plain())


@pytest.mark.parametrize("part", ["image/overlay2/imagedb", "image/overlay2/imagedb/content", "overlay2"])
def test_a_root_is_not_left_through_a_link(part: str, tmp_path: Path) -> None:
    where = Path(in_directory(docker_root([APP]), tmp_path))
    (where / part).rename(tmp_path / "outside")
    (where / part).symlink_to(tmp_path / "outside")
    ran = run("cat", where, "/srv/old/y")
    assert (ran.code, ran.stdout) == (3, b"")
    assert f"{part}: is a symlink" in ran.stderr


# -- what is wrong with the root's own files ---------------------------------------------------------


def break_cache_id(root: Root, text: str) -> None:
    place = f"image/overlay2/layerdb/{chain_ids(APP)[0].replace(':', '/')}/cache-id"
    root[place] = file(place, text.encode())


WHOLE = image(layer(file("q")), names=("example.org/q:1",))
FAULTS: dict[str, Callable[[Root], object]] = {
    "a cache-id that leads away": lambda root: break_cache_id(root, "../../../etc"),
    "an empty cache-id": lambda root: break_cache_id(root, ""),
    "a diff that is no digest": lambda root: root.update(
        {p: file(p, b"sha256:12") for p in root if p.endswith(f"{chain_ids(APP)[0][7:]}/diff")}
    ),
    "a configuration that is no JSON": lambda root: root.update(
        {p: file(p, b"{") for p in root if p.endswith(sha256(APP.config_bytes))}
    ),
    "repositories that are a list": lambda root: root.update(
        {p: file(p, b"[]") for p in root if p.endswith("repositories.json")}
    ),
    "a container without sense": lambda root: root.update(
        {p: file(p, b"[1]") for p in root if p.endswith("config.v2.json")}
    ),
    "a mount-id that leads away": lambda root: root.update(
        {p: file(p, b"../x") for p in root if p.endswith("mount-id")}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_is_named_and_the_rest_is_read(fault: str, tmp_path: Path) -> None:
    root = docker_root([APP, WHOLE], [WEB])
    FAULTS[fault](root)
    found = open_root(root, tmp_path)
    assert len(found.faults) == 1
    assert found.faults[0].place
    assert merge_layers(pick(found, sha256(WHOLE.config_bytes)).layers).sorted_paths() == ["/q"]


def test_a_layer_that_the_root_lacks_is_absent(tmp_path: Path) -> None:
    root = docker_root([APP])
    missing = f"image/overlay2/layerdb/{chain_ids(APP)[1].replace(':', '/')}/"
    app = pick(open_root({p: m for p, m in root.items() if not p.startswith(missing)}, tmp_path), "v1")
    assert [each.unreadable for each in app.layers] == [None, "absent"]


# -- finding a root ----------------------------------------------------------------------------------


def test_a_root_is_found_below_the_path_but_never_in_an_image(tmp_path: Path) -> None:
    write_root(docker_root([APP]), tmp_path / "copy" / "lib" / "docker")
    (tmp_path / "copy" / "notes").write_text("seized on Monday")
    assert open_images(tmp_path / "copy").kind == "docker-root"
    deep = layer(*(file(f"a/b/c/{path}", member.data) for path, member in docker_root([APP]).items()), file("x/y"))
    (tmp_path / "layer.tar").write_bytes(deep)
    assert open_images(tmp_path / "layer.tar").kind == "layer"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedInput, match="data root"):
        open_images(tmp_path / "empty")


def test_two_drivers_are_read_side_by_side(tmp_path: Path) -> None:
    root = {**docker_root([APP, OTHER], [WEB]), **docker_root([APP], driver="fuse-overlayfs")}
    found = open_root(root, tmp_path)
    assert [each.name for each in found.images] == ["example.org/app:v1"] * 2 + ["example.org/other:latest"]
    assert pick(found, "container:web").layers[0].blob == found.images[1].layers[0].blob
    assert found.images[0].layers[0].blob != found.images[1].layers[0].blob


def forbid(monkeypatch: pytest.MonkeyPatch, directory_: Path) -> None:
    plain = os.listdir

    def listdir(path: str) -> list[str]:
        if str(path) == str(directory_):
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "listdir", listdir)


def test_what_may_not_be_read_is_said_of_a_root_and_passed_over_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_root(docker_root([APP]), tmp_path / "b-docker")
    (tmp_path / "a-private").mkdir()
    forbid(monkeypatch, tmp_path / "a-private")
    assert open_images(tmp_path).kind == "docker-root"
    forbid(monkeypatch, tmp_path / "b-docker")
    with pytest.raises(ContentAbsent, match="Permission denied"):
        open_images(tmp_path / "b-docker")


def test_a_layout_beside_a_root_is_the_layout(tmp_path: Path) -> None:
    unpack(FLAVOURS["oci-gzip"]([APP]), tmp_path)
    write_root(docker_root([OTHER]), tmp_path / "docker")
    assert open_images(tmp_path).kind == "oci-dir"


def test_a_packed_root_is_kept_and_a_stream_refused(tmp_path: Path) -> None:
    packed = zstandard.ZstdCompressor().compress(pack_root(docker_root([APP]), "docker"))
    (tmp_path / "root.tar.zst").write_bytes(packed)
    told: list[str] = []
    found = open_images(tmp_path / "root.tar.zst", tell=told.append)
    assert (found.kind, found.compression) == ("docker-root", "zstd")
    assert [words in line for words, line in zip(("one pass", "is read again", "spooled"), told, strict=True)] == [
        True
    ] * 3
    assert content_of(found.images[0], merge_layers(found.images[0].layers), "/srv/old/y") == b"new"
    with pytest.raises(UnsupportedInput, match="give it as a file"):
        open_images(io.BytesIO(packed))


def test_opening_does_not_look_below_a_diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = in_directory(docker_root([APP], [WEB]), tmp_path)
    listed: list[str] = []
    plain = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or plain(path))
    open_images(where)
    assert listed
    assert not [path for path in listed if "/overlay2/" in path.replace("/image/overlay2", "")]


def test_nothing_is_written(tmp_path: Path) -> None:
    where = in_directory(docker_root([APP, OTHER], [WEB]), tmp_path)

    def look() -> list[tuple[object, ...]]:
        files = sorted(Path(where).rglob("*"))
        return [(p, s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p in files for s in [p.lstat()]]

    before = look()
    found = open_images(where)
    for each in (*found.images, *found.unlisted):
        load_layers(each.layers, contents=True)
        merge_layers(each.layers)
    assert look() == before


# -- containers --------------------------------------------------------------------------------------

STATES = {
    "created": {},
    "exited": {"StartedAt": "2024-06-01T12:00:00Z"},
    "running": {"Running": True, "StartedAt": "2024-06-01T12:00:00Z"},
    "paused": {"Running": True, "Paused": True},
    "restarting": {"Running": True, "Restarting": True},
    "removing": {"RemovalInProgress": True},
    "dead": {"Dead": True},
}


@pytest.mark.parametrize("state", STATES)
def test_states_are_called_as_docker_calls_them(state: str, tmp_path: Path) -> None:
    found = open_root(docker_root([APP], [container("c", APP, **STATES[state])]), tmp_path)
    assert [each.container.state for each in found.unlisted if each.container] == [state]


@pytest.mark.parametrize("links", ["kept", "lost"])
@FORMS
def test_directories_are_those_of_docker_inspect(put: Put, links: str, tmp_path: Path) -> None:
    root = docker_root([APP], [WEB], home="/mnt/docker")
    if links == "lost":
        root = {path: member for path, member in root.items() if "/l/" not in path}
    web = pick(open_images(put(root, tmp_path)), "container:web").container
    assert web is not None
    below = [f"{WEB.id}-init", *(cache_id_of(each) for each in reversed(chain_ids(APP)))]
    assert web.directories == {
        "LowerDir": ":".join(f"/mnt/docker/overlay2/{each}/diff" for each in below),
        "UpperDir": f"/mnt/docker/overlay2/{WEB.id}/diff",
        "MergedDir": f"/mnt/docker/overlay2/{WEB.id}/merged",
        "WorkDir": f"/mnt/docker/overlay2/{WEB.id}/work",
    }
    assert web.mount_id == WEB.id


@FORMS
def test_a_container_is_its_image_its_init_layer_and_its_own(put: Put, tmp_path: Path) -> None:
    web = pick(open_images(put(docker_root([APP], [WEB]), tmp_path)), "container:web")
    assert [each.on_disk.role for each in web.layers if each.on_disk] == ["image", "image", "init", "container"]
    assert [(each.path, each.role) for each in web.layers[3].entries] == [
        ("/new", "entry"),
        ("/srv", "entry"),
        ("/new/a", "entry"),
        ("/srv/.wh.keep", "whiteout"),
    ]
    rootfs = merge_layers(web.layers)
    assert "/srv/keep" not in rootfs
    assert rootfs.layer_of("/.dockerenv") == 2
    assert content_of(web, rootfs, "/new/a") == b"1"
    assert [row.layer for row in web.history] == [0, 1]
    assert letters(web) == ["A /new", "A /new/a", "C /srv", "D /srv/keep"]


@pytest.mark.parametrize("reference", ["web", WEB.id, WEB.id[:5]])
def test_containers_by_name_and_id(reference: str, tmp_path: Path) -> None:
    found = open_root(docker_root([APP], [WEB, container("api", APP)]), tmp_path)
    assert pick(found, f"container:{reference}").container.name == "web"


@pytest.mark.parametrize("reference", ["container:nobody", "container:", "web", "container:@0"])
def test_a_container_that_is_not_there_is_a_wrong_choice(reference: str, tmp_path: Path) -> None:
    found = open_root(docker_root([APP], [WEB]), tmp_path)
    with pytest.raises(NoSuchImage):
        pick(found, reference)


def test_containers_are_no_candidates(tmp_path: Path) -> None:
    found = open_root(docker_root([APP], [WEB]), tmp_path)
    assert choose_image(found.images, None, None, unlisted=found.unlisted).name == "example.org/app:v1"


def test_a_container_whose_image_is_gone_still_has_its_layers(tmp_path: Path) -> None:
    root = docker_root([APP], [WEB])
    config = f"image/overlay2/imagedb/content/sha256/{sha256(APP.config_bytes)}"
    web = pick(open_root({p: m for p, m in root.items() if p != config}, tmp_path), "container:web")
    assert [str(each.diff_id) for each in web.layers[:2]] == APP.diff_ids
    assert letters(web) == ["A /new", "A /new/a", "C /srv", "D /srv/keep"]


OPAQUE_OLD = xattrs(directory("srv/old"), **{"trusted_overlay.opaque": b"y"})
KEEP = file("srv/keep", b"keep" * 100)
UPPERS = {
    "nothing": ((), []),
    "a whiteout": ((directory("srv"), device("srv/empty", 0, 0)), ["C /srv", "D /srv/empty"]),
    "whiteouts that share an inode": (
        (directory("srv"), device("srv/empty", 0, 0), hardlink("srv/link", "srv/empty")),
        ["C /srv", "D /srv/empty", "D /srv/link"],
    ),
    "a whiteout as an attribute": (
        (directory("srv"), xattrs(file("srv/empty"), **{"trusted_overlay.whiteout": b""})),
        ["C /srv", "D /srv/empty"],
    ),
    "a directory removed and made again": (
        (directory("srv", mtime=5), OPAQUE_OLD, file("srv/old/z", b"z")),
        ["C /srv", "C /srv/old", "D /srv/old/y", "A /srv/old/z"],
    ),
    "a file copied up as it was": ((directory("srv"), KEEP, hardlink("srv/keep2", "srv/keep")), []),
    "a file written again": ((directory("srv"), replace(KEEP, mtime=9)), ["C /srv", "C /srv/keep"]),
    "a directory copied up for what is in it": (
        (directory("srv"), directory("srv/old"), file("srv/old/y", b"neu", mtime=9)),
        ["C /srv", "C /srv/old", "C /srv/old/y"],
    ),
    "a directory in place of a file": (
        (directory("srv"), directory("srv/empty"), file("srv/empty/in")),
        ["C /srv", "C /srv/empty", "A /srv/empty/in"],
    ),
    "a file whose name is a marker's": ((file(".wh.x", b"real"),), ["A /.wh.x"]),
}


@FORMS
@pytest.mark.parametrize("what", UPPERS)
def test_changes_of_a_container_are_those_of_docker_diff(what: str, put: Put, tmp_path: Path) -> None:
    upper, lines = UPPERS[what]
    web = pick(open_images(put(docker_root([APP], [container("c", APP, *upper)]), tmp_path)), "container:c")
    assert letters(web) == lines


COMMITTED = (
    directory("srv", mtime=5), device("srv/empty", 0, 0), OPAQUE_OLD,
    file("srv/old/z", b"z" * 1000, mode=0o4755, uid=7),
    hardlink("srv/old/h", "srv/old/z"), symlink("l", "t" * 150), device("dev", 1, 3), fifo("p"), file("n" * 150, b"1"),
    file("é\udcff", b"2"), file("late", b"3", mtime=1.5), xattrs(file("x", b"4"), user_k=b"\xff\0v"),
)  # fmt: skip


@pytest.mark.parametrize("size", ["9" * 5000, "-1", "٣", ""])
def test_a_size_that_is_none_is_not_known(size: str, tmp_path: Path) -> None:
    root = docker_root([APP])
    root.update({p: file(p, size.encode()) for p in root if p.endswith("/size")})
    found = open_root(root, tmp_path)
    assert found.root is not None and {each.claimed_size for each in found.root.layers.values()} == {None}


@pytest.mark.parametrize("mtime", [-0.5, -1.25, 0, 1.5, 2.0**33])
def test_times_of_a_containers_own_layer_are_kept(mtime: float, tmp_path: Path) -> None:
    root = docker_root([APP], [container("c", APP, file("x", b"1", mtime=mtime))])
    [entry] = index_layer(pick(open_root(root, tmp_path), "container:c").layers[-1].open_plain()).entries
    assert entry.mtime == int(mtime * 1_000_000_000)


def test_a_containers_own_layer_can_be_read_as_a_tar(tmp_path: Path) -> None:
    root = docker_root([APP], [container("c", APP, *COMMITTED)])
    own = pick(open_root(root, tmp_path), "container:c").layers[-1]
    plain = b"".join(own.open_plain())
    committed = index_layer([plain])
    assert committed.trailing == 0
    assert [each._replace(name=None, link=(each.link or "").strip("/")) for each in own.entries] == [
        each._replace(name=None, link=(each.link or "").strip("/")) for each in committed.entries
    ]
    assert [each.role for each in own.entries].count("entry") == len(own.entries) - 2
    for entry in own.entries:
        if entry.type == "file":
            assert b"".join(own.open_content(entry)) == b"".join(read_content([plain], entry.offset))
    with tarfile.open(fileobj=io.BytesIO(plain)) as read:
        assert len(read.getmembers()) == len(own.entries)
    assert own.diff_id is None


REFUSED = {
    "a renamed directory": xattrs(directory("srv/new"), **{"trusted_overlay.redirect": b"old"}),
    "metadata alone": xattrs(file("srv/keep"), **{"trusted_overlay.metacopy": b""}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_lies_under_another_name_is_refused(what: str, tmp_path: Path) -> None:
    upper = (directory("srv"), REFUSED[what])
    web = pick(open_root(docker_root([APP], [container("c", APP, *upper)]), tmp_path), "container:c")
    with pytest.raises(UnsupportedInput, match="by another name"):
        list_changes(web, layer=3)


# -- losses ------------------------------------------------------------------------------------------


def lose(root: Root, *what: str) -> Root:
    """The root as somebody without privileges copies it."""
    kept: Root = {}
    for path, member in root.items():
        if member.type == "3" and "devices" in what:
            continue
        changed = replace(member, pax={}) if "attributes" in what else member
        kept[path] = replace(changed, uid=1000, gid=1000) if "owners" in what else changed
    return kept


DEVICES = layer(
    directory("dev"), device("dev/null", 1, 3), device("dev/zero", 1, 5), file("dev/x", uid=7),
    whiteout("srv/keep"), directory("etc"), opaque("etc"),
)  # fmt: skip
WITH_DEVICES = image(BASE, TOP, DEVICES)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ((), (False, False, False, False)),
        (("devices",), (True, True, False, False)),
        (("attributes",), (False, False, True, False)),
        (("owners",), (False, False, False, True)),
        (("devices", "attributes", "owners"), (True, True, True, True)),
    ],
)
def test_what_a_copy_has_lost_is_told(what: Sequence[str], found: tuple[bool, ...], tmp_path: Path) -> None:
    opened = open_root(lose(docker_root([WITH_DEVICES]), *what), tmp_path)
    assert isinstance(opened.store, RootStore)
    losses = find_losses(opened.store, opened.store.root.layers)
    assert losses == found
    assert len(list(losses.describe())) == sum(found)


def test_where_nothing_can_be_missed_the_owners_tell(tmp_path: Path) -> None:
    plain = image(layer(file("a", uid=0)))
    opened = open_root(lose(docker_root([plain]), "owners"), tmp_path)
    assert isinstance(opened.store, RootStore)
    assert find_losses(opened.store, opened.store.root.layers) == (True, True, True, True)


# -- real ones ---------------------------------------------------------------------------------------


def corpus(*names: str) -> Iterator[tuple[str, bytes]]:
    packed = SHARED / "corpus" / "small.tar.zst"
    if not packed.exists():
        pytest.skip("the corpus (../shared) is not here")
    with zstandard.open(packed, "rb") as plain, tarfile.open(fileobj=plain, mode="r|") as read:
        for member in read:
            if member.isreg() and member.name.rpartition("/")[2].startswith(names):
                yield member.name, read.extractfile(member).read()


def saved_archive(found: Image) -> bytes:
    """The archive that `docker save` makes: the plain layers are told to be right by their digests."""
    layers = [b"".join(each.open_plain()) for each in found.layers]
    assert [f"sha256:{sha256(plain)}" for plain in layers] == [str(each.diff_id) for each in found.layers]
    config = json.loads(found.config.raw)
    return archive("docker-20", image(*layers, names=found.names, **config))


@pytest.mark.conformance
@pytest.mark.parametrize("version", ["docker20", "docker28"])
def test_roots_of_real_daemons(version: str, tmp_path: Path) -> None:
    name = f"h1-dataroot.{version}"
    truth = {
        path.rpartition("/")[2]: data for path, data in corpus(f"{name}.") if not path.endswith(f"{name}.tar.json")
    }
    (tmp_path / "root.tar").write_bytes(truth[f"{name}.tar"])
    found = open_images(tmp_path / "root.tar")
    images = {each["Id"]: each for each in json.loads(truth[f"{name}.images.json"])}
    assert len(found.images) == len(images)
    for each in found.images:
        recorded = images[str(each.image_id)]
        assert [str(one.diff_id) for one in each.layers] == recorded["RootFS"]["Layers"]
        assert sum(one.size for one in each.layers) == recorded["Size"]
        assert [one for one in each.names if "@" not in one] == sorted(recorded["RepoTags"])
        saved = open_images(io.BytesIO(saved_archive(each)), contents=True).images[0]
        load_layers(each.layers, contents=True)
        assert [one.entries for one in each.layers] == [one.entries for one in saved.layers]
    for container_ in json.loads(truth[f"{name}.containers.json"]):
        ours = pick(found, f"container:{container_['Name'][1:]}")
        assert ours.container is not None
        assert ours.container.directories.items() <= container_["GraphDriver"]["Data"].items()
        assert len(ours.container.directories) == 4
        assert (ours.container.state, ours.container.created, ours.container.image_id) == (
            container_["State"]["Status"],
            container_["Created"],
            container_["Image"],
        )
        which = container_["Name"].rpartition("-")[2]
        lines = json.loads(truth[f"{name}.diff-{which}.txt.json"])["lines"]
        assert sorted(letters(ours)) == sorted(lines)


@pytest.mark.conformance
def test_a_container_is_what_docker_exports_of_it(tmp_path: Path) -> None:
    found = dict(corpus("h1-dataroot.docker20.tar", "h1-dataroot.docker20-export.tar"))
    data = {path.rpartition("/")[2]: content for path, content in found.items()}
    (tmp_path / "root.tar").write_bytes(data["h1-dataroot.docker20.tar"])
    ours = merge_layers(pick(open_images(tmp_path / "root.tar"), "container:gandin-changed").layers)
    with tarfile.open(fileobj=io.BytesIO(data["h1-dataroot.docker20-export.tar"])) as read:
        theirs = {f"/{m.name}".rstrip("/"): (m.mode & 0o7777, m.uid, m.gid) for m in read if m.name.strip("./")}
    assert {path: (entry.mode, entry.uid, entry.gid) for path, entry in ours.items()} == theirs
