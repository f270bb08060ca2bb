"""What engines do not take of a document that is read here: `verify` says it, and every question is answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tarlayers.formats.strictness import is_time
from tests.build import FLAVOURS, Files, file, image, layer, pack
from tests.edit import bytes_of, edit_config, edit_manifest
from tests.run import run

APP = image(layer(file("a")))
MARK = b"\xef\xbb\xbf"


def config(change: Callable[[dict[str, Any]], object]) -> Files:
    return edit_config(FLAVOURS["oci-gzip"]([APP]), change)


def manifest(change: Callable[[dict[str, Any]], object]) -> Files:
    return edit_manifest(FLAVOURS["oci-gzip"]([APP]), change)


def marked(flavour: str, name: str) -> Files:
    files = FLAVOURS[flavour]([APP])
    return {**files, name: MARK + bytes_of(files, name)}


def index_without(key: str) -> Files:
    files = FLAVOURS["oci-gzip"]([APP])
    return {**files, "index.json": bytes_of(files, "index.json").replace(f'"{key}":'.encode(), b'"x":')}


REFUSED: dict[str, tuple[Files, str]] = {
    "mark before index.json": (marked("oci-gzip", "index.json"), "byte order mark"),
    "mark before manifest.json": (marked("docker-20", "manifest.json"), "byte order mark"),
    "created": (config(lambda c: c.update(created="yesterday")), "created is no time"),
    "created empty": (config(lambda c: c.update(created="")), "created is no time"),
    "history": (
        config(lambda c: c["history"].append({"created": "2024-01-01", "empty_layer": True})),
        "history[1].created",
    ),
    "Env": (config(lambda c: c.update(config={"Env": "A=1"})), "config.Env"),
    "Cmd": (config(lambda c: c.update(config={"Cmd": "sh"})), "config.Cmd"),
    "Entrypoint": (config(lambda c: c.update(config={"Entrypoint": ["sh", 1]})), "config.Entrypoint"),
    "Labels": (config(lambda c: c.update(config={"Labels": {"a": 1}})), "config.Labels"),
    "annotations": (manifest(lambda m: m.update(annotations={"a": 1})), "annotations is no map"),
    "annotations of a layer": (
        manifest(lambda m: m["layers"][0].update(annotations={"a": True})),
        "layers[0].annotations",
    ),
    "no size": (index_without("size"), "manifests[0] has no size"),
    "no media type": (index_without("mediaType"), "manifests[0] has no mediaType"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_engines_do_not_take(case: str, tmp_path: Path) -> None:
    files, said = REFUSED[case]
    path = tmp_path / "app.tar"
    path.write_bytes(pack(files))
    assert run("ls", path).stdout == b"/a\n"
    found = run("verify", path, "-f", "json")
    (finding,) = [each for each in found.json["findings"] if each["severity"] == "error"]
    assert (found.code, finding["code"], said in finding["message"]) == (1, "V029", True), finding


@pytest.mark.parametrize("more", ["manifests", "fsLayers"])
def test_a_document_that_is_two_things(more: str, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(pack(manifest(lambda m: m.update({more: None}))))
    found = run("verify", path, "-f", "json")
    assert (found.code, [each["code"] for each in found.json["findings"]]) == (1, ["V029"])


TAKEN: dict[str, Files] = {
    "nulls": config(lambda c: c.update(created=None, config={"Env": None, "Cmd": [None], "Labels": {"a": None}})),
    "no fields": config(lambda c: (c.pop("created"), c.update(config=None))),
    "annotations of null": manifest(lambda m: m.update(annotations=None)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_engines_take(case: str, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(pack(TAKEN[case]))
    assert run("verify", path, "-f", "json").json["findings"] == []


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2024-05-01T10:00:00Z", True),
        ("2024-05-01T10:00:00.123456789Z", True),
        ("2024-05-01T10:00:00+02:00", True),
        ("0001-01-01T00:00:00Z", True),
        ("0000-02-29T00:00:00Z", True),
        ("2024-02-30T10:00:00Z", False),
        ("2024-05-01T24:00:00Z", False),
        ("2024-05-01T10:00:60Z", False),
        ("2024-05-01T10:00:00", False),
        ("2024-05-01 10:00:00Z", False),
        ("2024-05-01T10:00:00,5Z", False),
        ("2024-05-01T1:00:00Z", False),
        ("٢٠٢٤-05-01T10:00:00Z", False),
        (5, False),
        (None, True),
    ],
)
def test_times_are_those_of_rfc_3339(text: object, taken: bool) -> None:
    assert is_time(text) == taken
