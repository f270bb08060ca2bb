"""Documents are read as Go's decoder reads them; what it makes of each was asked of skopeo, which decodes into the
structs of image-spec and prints them (`skopeo inspect --config`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tarlayers.formats.document_fields import ANYTHING, CONFIG, MANIFEST, MANIFEST_JSON
from tarlayers.formats.json_fields import Field, find_repeated_keys, parse_fields
from tests.build import (
    FLAVOURS,
    OCI,
    archive,
    compact,
    descriptor,
    docker_20,
    file,
    image,
    layer,
    oci,
    oci_manifest,
    pack,
)
from tests.run import run

STEP = '"history":[{"comment":"c","created_by":"a"},{"comment":"d"}]'
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "a key in another case": ('{"OS":"linux"}', {"os": "linux"}),
    "the last of two cases": ('{"config":{"User":"app","user":"0"}}', {"config": {"User": "0"}}),
    "the right case comes last": ('{"config":{"user":"0","User":"app"}}', {"config": {"User": "app"}}),
    "a long s": ('{"config":{"U\u017fer":"0"}}', {"config": {"User": "0"}}),
    "a Kelvin sign": ('{"config":{"Healthchec\u212a":null}}', {"config": {"Healthcheck": None}}),
    "a ligature is no two letters": ('{"con\ufb01g":{}}', {"con\ufb01g": {}}),
    "a key that is escaped": ('{"config":{"User":"app","\\u0075ser":"0"}}', {"config": {"User": "0"}}),
    "a struct is added to": (
        '{"config":{"User":"app"},"Config":{"WorkingDir":"/w"}}',
        {"config": {"User": "app", "WorkingDir": "/w"}},
    ),
    "also where the key is the same": (
        '{"config":{"User":"app"},"config":{"WorkingDir":"/w"}}',
        {"config": {"User": "app", "WorkingDir": "/w"}},
    ),
    "null leaves a struct": ('{"config":{"User":"app"},"config":null}', {"config": {"User": "app"}}),
    "null leaves a text": ('{"config":{"User":"app","user":null}}', {"config": {"User": "app"}}),
    "null takes away a map": ('{"config":{"Labels":{"a":"1"},"labels":null}}', {"config": {"Labels": None}}),
    "a map is added to": (
        '{"config":{"Labels":{"a":"1","A":"2"},"labels":{"b":"3"}}}',
        {"config": {"Labels": {"a": "1", "A": "2", "b": "3"}}},
    ),
    "an array is replaced": ('{"config":{"Env":["A=1","B=2"],"env":["C=3"]}}', {"config": {"Env": ["C=3"]}}),
    "null leaves an element": ('{"config":{"Env":["A=1"],"env":[null,"B=2"]}}', {"config": {"Env": ["A=1", "B=2"]}}),
    "elements are decoded over others": (
        f'{{{STEP},"History":[{{"created_by":"b"}}]}}',
        {"history": [{"comment": "c", "created_by": "b"}]},
    ),
    "those behind a shorter array too": (
        f'{{{STEP},"History":[{{"created_by":"b"}}],"HISTORY":[{{}},{{"created_by":"z"}}]}}',
        {"history": [{"comment": "c", "created_by": "b"}, {"comment": "d", "created_by": "z"}]},
    ),
    "an empty array leaves none": (
        f'{{{STEP},"History":[],"HISTORY":[{{"created_by":"z"}}]}}',
        {"history": [{"created_by": "z"}]},
    ),
    "unknown keys stand as they are": (
        '{"Foo":1,"foo":2,"config":{"Bar":{"User":1,"user":2}}}',
        {"Foo": 1, "foo": 2, "config": {"Bar": {"User": 1, "user": 2}}},
    ),
    "an unknown number of 5,000 digits": (f'{{"os":"linux","x":{"1" * 5000}}}', {"os": "linux", "x": float("inf")}),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_fields_are_filled_as_go_fills_them(case: str) -> None:
    text, wanted = CONFIGS[case]
    assert parse_fields(text.encode(), "x", CONFIG) == wanted


@pytest.mark.parametrize(
    ("shape", "text", "keys"),
    [
        (CONFIG, '{"config":{"User":"app","user":"0"}}', ("user",)),
        (CONFIG, '{"config":{"Labels":{"size":"1","Size":"2"}}}', ()),
        (CONFIG, '{"config":{"Labels":{"a":"1","a":"2"}}}', ("a",)),
        (CONFIG, '{"x":1,"X":2}', ()),
        (MANIFEST, '{"layers":[{"size":1,"digest":"a","SIZE":2}],"Layers":[]}', ("SIZE", "Layers")),
        (MANIFEST_JSON, '[{"Config":"a","config":"b"}]', ("config",)),
        (MANIFEST, '{"manifests":[],"Manifests":[]} trailing', ("Manifests",)),
        (ANYTHING, '{"a":{"b":"1","B":"2"},"a":{}}', ("a",)),
        (ANYTHING, "{", ()),
    ],
)
def test_keys_that_stand_twice_are_named(shape: Field, text: str, keys: tuple[str, ...]) -> None:
    assert find_repeated_keys(text.encode(), shape) == keys


@pytest.mark.parametrize(
    "text",
    [
        lambda n: '{"config":{' + ",".join(f'"{i}":1' for i in range(n)) + "}" + ',"config":{}' * n + "}",
        lambda n: '{"history":[' + ",".join(["{}"] * n) + "]" + ',"history":[{}]' * n + "}",
    ],
    ids=["objects", "arrays"],
)
def test_what_is_there_is_not_copied_again_and_again(text: Any) -> None:
    raw = text(40_000).encode()
    start = time.process_time()
    parse_fields(raw, "x", CONFIG)
    assert time.process_time() - start < 4  # square: a minute and more


# -- as users see it -------------------------------------------------------------------------------

LAYER, OTHER = layer(file("etc/x", b"1")), layer(file("other", b"2"))


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def lay_out(manifest: bytes) -> bytes:
    """An OCI archive of this manifest."""
    files = {**oci([image(LAYER)], "none"), **oci([image(OTHER)], "none")}
    files["index.json"] = compact({"manifests": [descriptor(files, f"{OCI}.manifest.v1+json", manifest)]})
    return pack(files)


def test_the_layers_are_those_that_engines_take(tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    manifest = json.loads(oci_manifest(files, image(LAYER), "none"))
    other = json.loads(oci_manifest(files, image(OTHER), "none"))["layers"]
    raw = compact(manifest)[:-1] + b',"Layers":' + compact(other) + b"}"
    path = put(tmp_path / "app.tar", lay_out(raw))
    assert run("ls", path, "-q").stdout == b"/other\n"
    verified = run("verify", path)
    assert (verified.code, "V003" in str(verified.stdout), "V024" in str(verified.stdout)) == (1, True, True)


@pytest.mark.parametrize("spelled", [b"Manifests", b"manife\xc5\xbfts"])
def test_an_index_in_another_case_is_one(tmp_path: Path, spelled: bytes) -> None:
    files = oci([image(LAYER, names=["app:1"])])
    index = bytes(files["index.json"]).replace(b"manifests", spelled)  # type: ignore[arg-type]
    path = put(tmp_path / "app.tar", pack({**files, "index.json": index}))
    assert run("inspect", path, "-f", "json").json["images"][0]["names"] == ["app:1"]


def test_a_manifest_json_in_another_case_is_one(tmp_path: Path) -> None:
    files = docker_20([image(LAYER, names=["app:1"])])
    path = put(tmp_path / "app.tar", pack({**files, "manifest.json": bytes(files["manifest.json"]).lower()}))  # type: ignore[arg-type]
    assert run("ls", path, "-q").stdout == b"/etc\n"


@pytest.mark.parametrize(
    ("flavour", "name"), [("oci-none", "index.json"), ("docker-20", "manifest.json"), ("oci-none", "oci-layout")]
)
def test_what_follows_a_document_that_is_streamed_is_of_no_account(tmp_path: Path, flavour: str, name: str) -> None:
    files = FLAVOURS[flavour]([image(LAYER)])
    path = put(tmp_path / "app.tar", pack({**files, name: bytes(files[name]) + b"\n]x"}))  # type: ignore[arg-type]
    assert run("ls", path, "-q").stdout == b"/etc\n"
    assert run("verify", path).code == 0


def test_a_size_below_zero_is_a_claim_that_is_wrong(tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    manifest = json.loads(oci_manifest(files, image(LAYER), "none"))
    manifest["layers"][0]["size"] = -1
    path = put(tmp_path / "app.tar", lay_out(compact(manifest)))
    assert run("ls", path, "-q").stdout == b"/etc\n"
    findings = run("verify", path, "-f", "json").json["findings"]
    assert [(row["code"], row["claimed"]) for row in findings] == [("V002", -1)]
    manifest["layers"][0]["digest"] = f"sha256:{'0' * 64}"
    path = put(tmp_path / "absent.tar", lay_out(compact(manifest)))
    assert run("inspect", path, "-f", "json").json["images"][0]["layers"][0]["size"] is None


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (b'{"User":"app","user":"0"}', 'forbid_users = ["root"]'),
        (b'{"env":["DB_PASSWORD=hunter2hunter2"]}', 'forbid_env = ["DB_PASSWORD"]'),
        (b'{"env":["DB_PASSWORD=hunter2hunter2"]}', "forbid_secrets = true"),
    ],
)
def test_no_rule_is_got_round_by_the_case_of_a_key(tmp_path: Path, settings: bytes, rule: str) -> None:
    config = compact(image(LAYER, config={"Q": 1}).config).replace(b'{"Q":1}', settings)
    manifest = compact([{"Config": "c.json", "RepoTags": [], "Layers": ["0.tar"]}])
    path = put(tmp_path / "app.tar", pack({"c.json": config, "0.tar": LAYER, "manifest.json": manifest}))
    policy = tmp_path / "policy.toml"
    policy.write_text(f"{rule}\n")
    assert run("check", path, "--policy", policy).code == 1


def test_ordinary_documents_are_as_they_were(tmp_path: Path) -> None:
    path = put(tmp_path / "app.tar", archive("docker-25", image(LAYER)))
    assert run("verify", path).code == 0
