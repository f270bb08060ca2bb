"""Media types: what each claims, and what is answered of an image that has layers nobody can read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tarlayers.formats.mediatypes import LayerType, containerd_refusal, read_layer_type, why_unreadable
from tests.build import FLAVOURS, OCI, Files, blob, directory, file, image, layer, pack
from tests.edit import drop, edit_manifest, set_layer
from tests.run import Ran, run

DOCKER = "application/vnd.docker.image.rootfs"

CLAIMS = {
    f"{OCI}.layer.v1.tar": LayerType("tar", "none", False),
    f"{OCI}.layer.v1.tar+gzip": LayerType("tar", "gzip", False),
    f"{OCI}.layer.v1.tar+zstd": LayerType("tar", "zstd", False),
    f"{OCI}.layer.v1.tar+encrypted": LayerType("encrypted", None, False),
    f"{OCI}.layer.v1.tar+gzip+encrypted": LayerType("encrypted", None, False),
    f"{OCI}.layer.v1.tar+zstd+encrypted": LayerType("encrypted", None, False),
    f"{OCI}.layer.nondistributable.v1.tar": LayerType("tar", "none", True),
    f"{OCI}.layer.nondistributable.v1.tar+gzip": LayerType("tar", "gzip", True),
    f"{OCI}.layer.nondistributable.v1.tar+zstd": LayerType("tar", "zstd", True),
    f"{OCI}.layer.nondistributable.v1.tar+gzip+encrypted": LayerType("encrypted", None, True),
    f"{DOCKER}.diff.tar": LayerType("tar", "none", False),
    f"{DOCKER}.diff.tar.gzip": LayerType("tar", "gzip", False),
    f"{DOCKER}.diff.tar+gzip": LayerType("tar", "gzip", False),
    f"{DOCKER}.diff.tar.zstd": LayerType("tar", "zstd", False),
    f"{DOCKER}.diff.tar.gzip+encrypted": LayerType("encrypted", None, False),
    f"{DOCKER}.foreign.diff.tar": LayerType("tar", "none", True),
    f"{DOCKER}.foreign.diff.tar.gzip": LayerType("tar", "gzip", True),
    "application/vnd.docker.container.image.rootfs.diff+x-gtar": LayerType("tar", "gzip", False),
    "application/vnd.erofs": LayerType("erofs", None, False),
    "application/vnd.stacker.image.layer.squashfs+zstd+verity": LayerType("squashfs", None, False),
    "application/vnd.sylabs.sif.layer.v1.sif": LayerType("sif", None, False),
    f"{OCI}.layer.v1.tar+brotli": None,
    "application/octet-stream": None,
    "": None,
}


@pytest.mark.parametrize("media_type", CLAIMS)
def test_what_a_type_claims(media_type: str) -> None:
    assert read_layer_type(media_type) == CLAIMS[media_type]


@pytest.mark.parametrize(
    ("media_type", "compression", "why"),
    [
        (f"{OCI}.layer.v1.tar+gzip", "none", None),
        (f"{OCI}.layer.v1.tar+gzip+encrypted", "none", "encrypted"),
        (f"{OCI}.layer.v1.tar+gzip+encrypted", "gzip", "encrypted"),  # cipher text may begin like anything
        ("application/vnd.erofs", "none", "erofs"),
        ("application/vnd.erofs", "zstd", None),  # no file system image begins like that
        (None, "none", None),
    ],
)
def test_why_bytes_are_not_read(media_type: str | None, compression: str, why: str | None) -> None:
    assert why_unreadable(media_type, compression) == why


@pytest.mark.parametrize(
    ("media_type", "compression", "code"),
    [
        (f"{OCI}.layer.v1.tar", "gzip", "bad-compression"),
        (f"{OCI}.layer.v1.tar+gzip", "none", None),
        (f"{OCI}.layer.v1.tar+gzip", "xz", "bad-compression"),
        ("application/octet-stream", "gzip", "bad-media-type"),
        (None, "gzip", None),
        (f"{OCI}.layer.v1.tar", None, None),
    ],
)
def test_what_containerd_refuses(media_type: str | None, compression: str | None, code: str | None) -> None:
    refused = containerd_refusal(media_type, compression)
    assert (refused.code if refused else None) == code


# -- images with a layer that cannot be read -------------------------------------------------------

BASE = layer(directory("etc"), file("etc/x", b"x" * 700))
TOP = layer(file("etc/y", b"y" * 30))
URLS = ["https://example.org/layer.tar.gz", "https://example.com/the-same"]


def sealed(media_type: str) -> Files:
    """The top layer holds other bytes than a tar."""
    files = FLAVOURS["oci-gzip"]([image(BASE, TOP)])
    digest = blob(files, b"\x11\x22" * 40)
    return edit_manifest(files, set_layer(1, digest=digest, size=80, mediaType=media_type))


def foreign() -> Files:
    """The base has to be fetched from elsewhere, as for Windows."""
    files = FLAVOURS["oci-gzip"]([image(BASE, TOP)])
    gone = f"{OCI}.layer.nondistributable.v1.tar+gzip"
    edited = edit_manifest(files, set_layer(0, mediaType=gone, urls=URLS))
    manifest = next(c for c in edited.values() if isinstance(c, bytes) and gone.encode() in c)
    digest = json.loads(manifest)["layers"][0]["digest"].removeprefix("sha256:")
    return drop(edited, lambda name, _: name.endswith(digest))


Ask = Callable[..., Ran]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask a command of an archive."""

    def ask_command(command: str, files: Files, *arguments: str) -> Ran:
        path = tmp_path / "app.tar"
        path.write_bytes(pack(files))
        return run(command, path, *arguments)

    return ask_command


@pytest.mark.parametrize(
    ("media_type", "why"),
    [
        (f"{OCI}.layer.v1.tar+zstd+encrypted", "encrypted"),
        ("application/vnd.erofs", "erofs"),
        (f"{OCI}.layer.v1.squashfs", "squashfs"),
        ("application/vnd.sylabs.sif.layer.v1.sif", "sif"),
    ],
)
def test_all_is_answered_that_needs_no_such_layer(ask: Ask, media_type: str, why: str) -> None:
    files = sealed(media_type)
    base, top = ask("layers", files, "-f", "json").json["layers"]
    assert (top["unreadable"], top["media_type"], top["size"]) == (why, media_type, 80)
    assert top["digest"]
    assert top["diff_id"]
    assert "content_size" not in top
    assert base["content_size"] == 700
    for command in ("layers", "inspect"):
        assert f"content not readable: {why}" in ask(command, files).stdout.decode()
    newest, oldest = ask("history", files, "-f", "json").json["history"]
    assert (newest["layer"], "size" in newest, oldest["size"]) == (1, False, 700)
    assert ask("ls", files, "-R", "--at", "0").stdout.decode().split() == ["/etc", "/etc/x"]
    assert ask("cat", files, "/etc/x", "--at", "0").stdout == b"x" * 700
    refused = ask("ls", files)
    assert refused.code == 3
    assert "layer 1" in refused.stderr
    assert f"content not readable: {why}; --at 0 shows" in refused.stderr
    findings = ask("verify", files, "-f", "json").json["findings"]
    assert [(each["code"], each["severity"]) for each in findings] == [("V014", "note")]


def test_foreign_layers_say_where_they_are(ask: Ask) -> None:
    files = foreign()
    for command in ("layers", "inspect"):
        answer = ask(command, files, "-f", "json").json
        base, top = answer["images"][0]["layers"] if command == "inspect" else answer["layers"]
        assert (base["unreadable"], base["urls"]) == ("foreign", URLS)
        assert "urls" not in top
        assert f"content not readable: foreign ({' '.join(URLS)})" in ask(command, files).stdout.decode()
    verified = ask("verify", files, "-f", "json").json
    assert [each["code"] for each in verified["findings"]] == ["V014"]
    assert URLS[0] in verified["findings"][0]["message"]
    refused = ask("ls", files)
    assert (refused.code, "--at" in refused.stderr) == (3, False)
    assert ask("ls", files, "--only", "1").stdout.decode().split() == ["/etc/y"]
