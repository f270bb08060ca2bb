"""Odd archives: what each is, and what is answered. What is wrong is said in one line that names the place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.build import OCI, Files, Link, compact, descriptor, docker_20, docker_25, image, pack, sha256
from tests.edit import bytes_of
from tests.oci_flavours import INDEX, nested, oci_layout
from tests.run import run
from tests.test_flavours import AGAIN, BASE, app, every_answer

PLAIN = {"0.tar": BASE, "1.tar": AGAIN}


def test_what_breaks_off_between_two_members_is_told_of() -> None:
    """What is left is a tar, though of a `docker save` that died nobody wants an answer."""
    whole = pack(docker())
    ends = len(whole.rstrip(b"\0")) + 511 & -512
    said = "standard input: ends without its end-of-archive mark"
    for cut in (whole[:ends], pack({"blobs/sha256/x": b""})[:512]):
        for question in ("ls", "inspect"):
            told = run(question, "-", stdin=cut)
            assert (told.code, f"warning: {said}: it may be cut short" in told.stderr) == (0, True), told.stderr
            assert run(question, "-", "-q", stdin=cut).stderr == ""
        assert run("verify", "-", stdin=cut).code == 3
    assert run("ls", "-", stdin=whole).stderr == ""


def config_of(layers: Mapping[str, bytes | Link], **overrides: Any) -> dict[str, Any]:
    made = image(*(plain for plain in layers.values() if isinstance(plain, bytes))).config
    return {key: value for key, value in {**made, **overrides}.items() if value is not ...}


def docker(layers: Mapping[str, bytes | Link] = PLAIN, config: Any = None, **item: Any) -> Files:
    """A docker-archive with something odd in it; `...` leaves a key out."""
    raw = config if isinstance(config, bytes) else compact(config_of(PLAIN) if config is None else config)
    entry = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": list(layers), **item}
    entry = {key: value for key, value in entry.items() if value is not ...}
    return {**layers, "c.json": raw, "manifest.json": compact([entry])}


def oci_image(config: Any = None, plain: Sequence[bytes] | None = (BASE, AGAIN), **manifest: Any) -> Files:
    """An OCI layout of one manifest with something odd in it."""
    files: Files = {}
    kind = manifest.pop("config_type", f"{OCI}.config.v1+json")
    layer_kind = manifest.pop("layer_type", f"{OCI}.layer.v1.tar")
    raw = compact(config_of(PLAIN) if config is None else config)
    layers = None if plain is None else [descriptor(files, layer_kind, each) for each in plain]
    document = {"schemaVersion": 2, "config": descriptor(files, kind, raw), "layers": layers, **manifest}
    return oci_layout(files, [descriptor(files, f"{OCI}.manifest.v1+json", compact(document))])


def platform_of(files: Files, platform: Mapping[str, str]) -> Files:
    """An OCI layout whose index says this of its image."""
    document = json.loads(bytes_of(files, "index.json"))
    document["manifests"][0]["platform"] = platform
    return {**files, "index.json": compact(document)}


def without(files: Files, *names: str) -> Files:
    return {name: content for name, content in files.items() if name not in names}


def with_title(title: bytes) -> bytes:
    """A configuration with these bytes as the value of a label."""
    return compact(config_of(PLAIN, config={"Labels": {"title": "?"}})).replace(b"?", title)


def in_other_case(files: Files) -> Files:
    """An OCI layout whose manifest spells its keys otherwise."""
    found: Files = {}
    for content in files.values():
        if isinstance(content, bytes) and b'"layers":[' in content:
            raw = content.replace(b'"layers"', b'"Layers"').replace(b'"config"', b'"CONFIG"')
            found |= oci_layout(found, [descriptor(found, f"{OCI}.manifest.v1+json", raw)])
    return {**files, **found}


def absent(*platforms: str) -> list[dict[str, Any]]:
    return [
        {
            "mediaType": f"{OCI}.manifest.v1+json", "digest": f"sha256:{sha256(platform.encode())}", "size": 9,
            "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True)),
        }
        for platform in platforms
    ]  # fmt: skip


LISTED = ["/bin", "/etc", "/srv", "/usr"]

NO_PLATFORM = {"architecture": "", "os": "", "config": {}}
"""As cosign writes the configuration of what it stores."""

ODD: dict[str, tuple[Files, dict[str, Any]]] = {
    # What the archive is: {what is answered}. `ls` is a listing, or the exit code and words of the error.
    "RepoTags null": (docker(RepoTags=None), {"names": [[]], "ls": LISTED}),
    "RepoTags empty": (docker(RepoTags=[]), {"names": [[]], "ls": LISTED}),
    "RepoTags absent": (docker(RepoTags=...), {"names": [[]], "ls": LISTED}),
    "Layers null": (docker({}, config_of({}), Layers=None), {"layers": [0], "ls": []}),
    "manifest.json null": (
        {"manifest.json": b"null"},
        {"kind": "docker-archive", "names": [], "ls": (2, "holds no image")},
    ),
    "manifest.json empty": (
        {"manifest.json": b"[]"},
        {"kind": "docker-archive", "names": [], "ls": (2, "holds no image")},
    ),
    "manifest.json null beside layers": (
        {**docker_20([image(BASE), image(AGAIN)]), "manifest.json": b"null"},
        {"kind": "docker-archive", "names": [], "ls": (2, "holds no image")},
    ),
    "fewer Layers than diff IDs": (
        docker(Layers=["0.tar"]),
        {"layers": [1], "ls": ["/bin", "/etc", "/usr"], "verify": ["V004", "V009"]},
    ),
    "Layers spelled as paths": (docker(Layers=["./0.tar", "//1.tar"], Config="./c.json"), {"ls": LISTED}),
    "no diff IDs": (
        docker(config=config_of(PLAIN, rootfs=...)),
        {"layers": [2], "ls": LISTED, "verify": ["V016"]},
    ),
    "diff_ids null": (
        docker(config=config_of(PLAIN, rootfs={"diff_ids": None})),
        {"layers": [2], "ls": LISTED, "verify": ["V016"]},
    ),
    "no history": (docker(config=config_of(PLAIN, history=...)), {"history": [], "ls": LISTED}),
    "history null": (docker(config=config_of(PLAIN, history=None)), {"history": [], "ls": LISTED}),
    "short history": (
        docker(config=config_of(PLAIN, history=[{"created_by": "a"}])),
        {"history": [None], "ls": LISTED, "verify": ["V009"]},
    ),
    "long history": (
        docker(config=config_of(PLAIN, history=[{"created_by": word} for word in "abc"])),
        {"history": [None, None, None], "ls": LISTED, "verify": ["V009"]},
    ),
    "configuration of nothing": (
        docker(config={}),
        {"platform": None, "history": [], "ls": LISTED, "verify": ["V016"]},
    ),
    # Go's decoder, and with it every engine, takes these three.
    "configuration with text that is not UTF-8": (docker(config=with_title(b"caf\xe9")), {"ls": LISTED}),
    "configuration with half of a surrogate pair": (docker(config=with_title(b"\\ud83d")), {"ls": LISTED}),
    "annotation that is a number of more than 64 bits": (
        oci_image(annotations={"a": 10**30, "b": "\udcff"}),
        {"ls": LISTED, "verify": ["V029"]},
    ),
    "manifest with keys in another case": (in_other_case(oci_image()), {"layers": [2], "ls": LISTED}),
    "configuration with a number that is none": (
        docker(config=b'{"a": NaN, "b": "\xff"}'),
        {"error": "c.json: not JSON"},
    ),
    "configuration absent": (
        without(docker(), "c.json"),
        {"error": "manifest.json[0]: its Config 'c.json' is not in the archive"},
    ),
    "configuration that is text": (docker(config=b"x"), {"error": "c.json: the configuration is no JSON document"}),
    "configuration that is a list": (docker(config=b"[]"), {"error": "c.json: document: expected an object"}),
    "layer absent": (
        without(docker(), "1.tar"),
        {"layers": [2], "ls": (3, "layer 1 (sha256:65e786d7aaeb): content not readable: absent"), "verify": ["V006"]},
    ),
    "layer that is a dangling link": (
        docker({"0.tar": BASE, "1.tar": Link("nowhere")}),
        {"ls": (3, "content not readable: absent"), "verify": ["V006"]},
    ),
    "layer that links to itself": (
        docker({"0.tar": BASE, "1.tar": Link("1.tar")}),
        {"ls": (3, "content not readable: absent"), "verify": ["V006"]},
    ),
    "layer behind three links": (
        docker({"0.tar": BASE, "1.tar": Link("a/b")})
        | {"a/b": Link("c"), "a/c": Link("../d"), "d": Link("e", hard=True), "e": AGAIN},
        {"ls": LISTED},
    ),
    "layer that is JSON": (
        docker({"0.tar": b"{}", "1.tar": AGAIN}),
        {"ls": (3, "0.tar at offset 0: the archive ends inside a header"), "verify": ["V005"]},
    ),
    "layer that is text": (
        docker({f"{'0' * 64}.tar": b"text\n" * 300, "1.tar": AGAIN}),
        {"ls": (3, f"{'0' * 64}.tar at offset 0: "), "verify": ["V005"]},
    ),
    "layers of no bytes": (
        docker({"0.tar": b"", "1.tar": bytes(1024)}, config_of({"0.tar": b"", "1.tar": bytes(1024)})),
        {"layers": [2], "ls": []},
    ),
    "two members of one name": (
        {**docker({"0.tar": BASE}, config_of({"0.tar": BASE})), "./0.tar": BASE, "a/../0.tar": BASE},
        {"ls": ["/bin", "/etc", "/usr"], "verify": ["V017"]},
    ),
    "OCI layers empty": (oci_image(config_of({}), ()), {"layers": [0], "ls": []}),
    "OCI layers null": (oci_image(config_of({}), None), {"layers": [0], "ls": []}),
    "OCI configuration of nothing": (oci_image({}), {"platform": None, "ls": LISTED, "verify": ["V016"]}),
    "OCI configuration absent": (
        without(oci_image(), f"blobs/sha256/{sha256(compact(config_of(PLAIN)))}"),
        {"platform": None, "ls": LISTED, "verify": ["V027", "V013"]},
    ),
    "OCI layer absent": (
        without(oci_image(), f"blobs/sha256/{sha256(AGAIN)}"),
        {"layers": [2], "ls": (3, "absent"), "verify": ["V027", "V013"]},
    ),
    "OCI layer of no bytes": (oci_image(config_of({"0": b""}), [b""]), {"layers": [1], "ls": []}),
    "OCI layer twice": (
        oci_image(config_of({"0": BASE, "1": BASE}), [BASE, BASE]),
        {"layers": [2], "ls": ["/bin", "/etc", "/usr"]},
    ),
    "names that differ": (
        docker_25([image(BASE, names=["app:1"])])
        | {"manifest.json": docker_25([image(BASE, names=["app:2"])])["manifest.json"]},
        {"names": [["app:1", "app:2"]], "ls": ["/bin", "/etc", "/usr"], "verify": ["V010"]},
    ),
    "name of the index alone": (
        docker_25([image(BASE, names=["app:1", "app:2"])])
        | {"manifest.json": docker_25([image(BASE, names=["app:1"])])["manifest.json"]},
        {"names": [["app:2", "app:1"]], "ls": ["/bin", "/etc", "/usr"]},
    ),
    "name of manifest.json alone": (
        docker_25([image(BASE, names=["app:1"])])
        | {"manifest.json": docker_25([image(BASE, names=["app:1", "app:2"])])["manifest.json"]},
        {"names": [["app:1", "app:2"]], "ls": ["/bin", "/etc", "/usr"], "verify": ["V010"]},
    ),
    "names spelled as containerd and as docker do": (
        docker_25([image(BASE, names=["docker.io/library/app:1"])])
        | {"manifest.json": docker_25([image(BASE, names=["app:1"])])["manifest.json"]},
        {"names": [["app:1"]], "ls": ["/bin", "/etc", "/usr"]},
    ),
    "no oci-layout": (without(oci_image(), "oci-layout"), {"kind": "oci-archive", "ls": LISTED, "verify": ["V028"]}),
    "artifact with an empty configuration": (
        oci_image({}, [b"x"], config_type="application/vnd.oci.empty.v1+json"),
        {"others": ["artifact"], "ls": (2, "only artifact")},
    ),
    "platform of nothing": (
        platform_of(oci_image(), {}),
        {"others": [], "platform": "linux/amd64", "ls": LISTED},
    ),
    "platform of no text": (
        platform_of(oci_image(), {"os": "", "architecture": ""}),
        {"others": [], "platform": "linux/amd64", "ls": LISTED},
    ),
    "artifact of its own type": (
        oci_image({}, [b"x"], layer_type="text/plain", artifactType="application/x"),
        {"others": ["artifact"], "ls": (2, "only artifact")},
    ),
    "attestation of cosign": (
        oci_image(NO_PLATFORM, [b"{}"], layer_type="application/vnd.dsse.envelope.v1+json"),
        {"others": ["artifact"], "ls": (2, "only artifact")},
    ),
    "bill of materials of cosign": (
        oci_image(NO_PLATFORM, [b"{}"], layer_type="text/spdx+json"),
        {"others": ["artifact"], "ls": (2, "only artifact")},
    ),
    "layers of a type that nobody knows": (
        oci_image(layer_type="application/x-tar"),
        {"others": [], "ls": LISTED, "refused": ["bad-media-type", "bad-media-type"]},
    ),
    "layers of a type that nobody knows, without a platform": (
        oci_image(NO_PLATFORM, [BASE, AGAIN], layer_type=f"{OCI}.layer.v1.tar+lz4"),
        {"others": [], "ls": LISTED, "verify": ["V016"]},
    ),
    "image that calls itself an artifact": (oci_image(artifactType="application/x"), {"others": [], "ls": LISTED}),
    "layers without a media type": (
        oci_image(layer_type=None),
        {"ls": LISTED, "refused": ["bad-media-type", "bad-media-type"]},
    ),
    "build cache": (
        oci_image({}, [BASE], config_type="application/vnd.buildkit.cacheconfig.v0"),
        {"others": ["artifact"], "ls": (2, "only artifact")},
    ),
    "index alone": (
        oci_layout({}, absent("linux/amd64", "linux/arm64")),
        {
            "others": ["absent", "absent"],
            "ls": (3, "the manifest is not in the archive: linux/amd64 sha256:"),
            "verify": ["V027", "V013", "V013"],
        },
    ),
    "index of nothing": (
        {"index.json": b'{"schemaVersion":2,"manifests":null}', "oci-layout": b"{}"},
        {"names": [], "ls": (2, "holds no image"), "verify": ["V028"]},
    ),
    "index that is cut short": (
        {"index.json": b'{"schemaVersion":2,', "oci-layout": b"{}"},
        {"error": "index.json: not JSON"},
    ),
    "digest that is none": (
        oci_layout({}, [{"mediaType": "x", "digest": "sha256:zz", "size": 1}]),
        {"error": "index.json: manifests[0].digest: 'sha256:zz' is not a digest"},
    ),
    "size that is text": (
        oci_layout({}, [{**absent("linux/s390x")[0], "size": "9"}]),
        {"error": "index.json: manifests[0].size: expected a number of bytes"},
    ),
    "indexes too deep": (
        nested([INDEX] * 20)([app()]),
        {"error": "indexes nested deeper than is allowed (limit index_depth = 16)"},
    ),
    # A root file system may hold files that are called like an archive's documents.
    "root with a manifest.json": (
        {"manifest.json": b'{"name":"x"}', "etc/": b""},
        {"kind": "layer", "ls": ["/etc", "/manifest.json"]},
    ),
    "root with a list in manifest.json": (
        {"manifest.json": b'["x"]', "etc/": b""},
        {"kind": "layer", "ls": ["/etc", "/manifest.json"]},
    ),
    "root with an index.json": (
        {"index.json": b'{"x":1}', "etc/": b""},
        {"kind": "layer", "ls": ["/etc", "/index.json"]},
    ),
    "root with repositories": (
        {"repositories": b'{"a":{"b":"c"}}', "etc/": b""},
        {"kind": "layer", "ls": ["/etc", "/repositories"]},
    ),
    "tar of nothing": ({}, {"kind": "layer", "ls": []}),
}


@pytest.mark.parametrize("title", [b"caf\xe9", b"caf\\udce9"])
def test_text_that_json_cannot_hold_is_shown_as_go_reads_it(title: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    path.write_bytes(pack(docker(config=with_title(title))))
    assert run("inspect", path, "-f", "json").json["images"][0]["config"] == {"Labels": {"title": "caf\ufffd"}}


def test_what_json_cannot_hold_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    config = compact(config_of(PLAIN, config={"Q": 1, "R": 10**30})).replace(b'"Q":1', b'"Q":1e999')
    path.write_bytes(pack(docker(config=config)))
    assert b'"Q":null' in run("inspect", path, "-f", "json").stdout


@pytest.mark.parametrize("case", ODD)
def test_odd_archives(case: str, tmp_path: Path) -> None:
    files, wanted = ODD[case]
    path = tmp_path / "odd.tar"
    path.write_bytes(pack(files))
    assert every_answer("-", path.read_bytes()) == every_answer(path)
    inspected = run("inspect", path, "-f", "json")
    if "error" in wanted:
        assert inspected.code == 3
        assert wanted["error"] in inspected.stderr
        assert inspected.stderr.startswith(f"tarlayers: {path}: ") and inspected.stderr.count("\n") == 1
        return
    images = inspected.json["images"]
    listed = run("ls", path, "-q")
    found = {
        "kind": inspected.json["archive"]["kind"],
        "names": [image["names"] for image in images],
        "others": [other["kind"] for other in inspected.json["others"]],
        "layers": [len(image["layers"]) for image in images],
        "platform": images[0]["platform"] if images else None,
        "history": [row["layer"] for row in images[0]["history"]] if images else [],
        "ls": listed.stdout.decode().splitlines() if listed.code == 0 else (listed.code, listed.stderr),
        "verify": [finding["code"] for finding in run("verify", path, "-f", "json").json["findings"]],
    }
    wanted = {"verify": [], **wanted}
    if "refused" in wanted:
        found["refused"] = [row["code"] for row in run("ls", path, "-q", "-f", "json").json["refused"]]
    if isinstance(wanted["ls"], tuple):
        code, words = wanted.pop("ls")
        assert (found["ls"][0], words in found["ls"][1]) == (code, True), found["ls"]
    assert {key: found[key] for key in wanted} == wanted
