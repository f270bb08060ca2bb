"""Archives that the producers themselves wrote, against what other tools said of them (../shared/corpus)."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.build import extract_tar
from tests.paths import SHARED, needs_shared
from tests.run import run

pytestmark = [pytest.mark.conformance, needs_shared]

CORPUS = SHARED / "corpus" / "small.tar.zst"
ENCRYPTED = "h1-app-v2-encrypted.skopeo122-oci.tar"
"""Its top layer cannot be read, so there is no listing of it."""


def read_packed() -> bytes:
    with CORPUS.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as plain:
        return plain.read()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    with tarfile.open(fileobj=io.BytesIO(read_packed())) as tar:
        extract_tar(tar, root)
    (truth,) = root.glob("**/truth")
    return truth.parent


def list_archives() -> list[str]:
    """Every archive that has a truth, but for data roots and stores, which are no image archives."""
    if not CORPUS.exists():
        return []
    with tarfile.open(fileobj=io.BytesIO(read_packed())) as tar:
        names = [Path(name).stem for name in tar.getnames() if "/truth/archives/" in f"/{name}"]
    return sorted(name for name in names if "dataroot" not in name and "-store." not in name)


def image_records(node: Any) -> Iterator[dict[str, Any]]:
    """Every image of a truth, at whatever depth."""
    if isinstance(node, list):
        for inner in node:
            yield from image_records(inner)
    elif isinstance(node, dict) and {"diff_ids", "config_sha256", "layers"} <= node.keys():
        yield node
    elif isinstance(node, dict):
        yield from image_records(list(node.values()))


def mounted(path: Path) -> dict[bytes, dict[str, Any]] | None:
    """The listing of an image as podman mounted it, where it could."""
    found = json.loads(path.read_text()).get("podman_mount") if path.exists() else None
    return {os.fsencode(row["path"]).strip(b"/"): row for row in found} if isinstance(found, list) else None


def listed(image: str) -> dict[bytes, dict[str, Any]]:
    rows = run("ls", image, "-R", "--digests", "-f", "json").json["entries"]
    raw = [base64.b64decode(row["path_raw"]) if "path_raw" in row else os.fsencode(row["path"]) for row in rows]
    return {path.strip(b"/"): row for path, row in zip(raw, rows, strict=True)}


def facts(row: dict[str, Any]) -> dict[str, Any]:
    """What both listings tell of a path."""
    kept = {key: row[key] for key in ("type", "uid", "gid")}
    if row["type"] == "file":
        kept |= {"size": row["size"], "sha256": row["sha256"].removeprefix("sha256:")}
    if row["type"] != "symlink":
        kept["mode"] = int(str(row["mode"]), 8) & 0o7777
    return kept


def check_listing(image: str, truth: Path) -> None:
    wanted = mounted(truth)
    if wanted is None:
        return
    wanted.pop(b"", None)
    found = listed(image)
    assert found.keys() == wanted.keys()
    assert {path: facts(row) for path, row in found.items()} == {path: facts(row) for path, row in wanted.items()}


def check_history(image: str, config: dict[str, Any]) -> None:
    rows = run("history", image, "--no-size", "-f", "json").json["history"]
    steps = config.get("history") or []
    assert [row["created_by"] or "" for row in rows] == [step.get("created_by") or "" for step in reversed(steps)]
    filled = [row["layer"] for row in reversed(rows) if not row["empty_layer"]]
    if len(filled) == len(config["rootfs"]["diff_ids"]):
        assert filled == list(range(len(filled)))


@pytest.mark.parametrize("name", list_archives())
def test_an_archive_agrees_with_its_truth(name: str, corpus: Path) -> None:
    truth = json.loads((corpus / "truth" / "archives" / f"{name}.json").read_text())
    path = corpus / truth["archive"]
    if truth.get("kind") == "listing" or not path.exists():
        pytest.skip("no image archive")
    found = {image["image_id"]: (i, image) for i, image in enumerate(run("inspect", path, "-f", "json").json["images"])}
    for record in image_records([truth.get(kind) for kind in ("docker", "oci", "dir")]):
        if not record["diff_ids"]:
            continue
        i, image = found[f"sha256:{record['config_sha256'].removeprefix('sha256:')}"]
        assert [layer["diff_id"] for layer in image["layers"]] == record["diff_ids"]
        if record.get("chain_ids"):
            assert [layer["chain_id"] for layer in image["layers"]] == record["chain_ids"]
        if record.get("config"):
            check_history(f"{path}#@{i}", json.loads(record["config"]))
        if record.get("rootfs") and name != ENCRYPTED:
            check_listing(f"{path}#@{i}", corpus / "truth" / "rootfs" / f"{record['rootfs']}.json")
    verified = run("verify", path, "-f", "json")
    assert (verified.code, [f for f in verified.json["findings"] if f["severity"] == "error"]) == (0, [])


@pytest.mark.parametrize("name", [name for name in list_archives() if name.endswith(".tar")])
def test_an_archive_on_standard_input_answers_as_the_file_does(name: str, corpus: Path) -> None:
    path = corpus / name
    if not path.exists():
        pytest.skip("no image archive")
    raw = path.read_bytes()
    for question in (("inspect",), ("verify",), ("ls", "-R", "--digests")):
        reference = "#@0" if question[0] == "ls" else ""
        answers = [
            run(*question, f"{path}{reference}", "-f", "json"),
            run(*question, f"-{reference}", "-f", "json", stdin=raw),
        ]
        documents = [json.loads(answer.stdout or "{}") for answer in answers]
        for document in documents:
            document.pop("archive", None)
        assert (answers[0].code, json.dumps(documents[0])) == (answers[1].code, json.dumps(documents[1]))
