"""Merged listings against those of the reference engines, in both flavours, and of umoci with `--engine oci`."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tarlayers import TarlayersError, open_image
from tarlayers.entry import Entry
from tarlayers.image import load_layers
from tarlayers.merging.engine import merge_layers
from tarlayers.rootfs import RootFS
from tests.paths import CASES

pytestmark = pytest.mark.conformance

# Where umoci 0.6 leaves the image-spec, or refuses what the spec does not speak of (semantics.md, the rule named).
NOT_THE_SPEC = {
    "layer-docker-types": "L9: umoci knows OCI's media types alone",
    "layer-gzip-garbage": "L7: bytes behind gzip are refused; hosts differ, so they are read and reported",
    "layer-gzip-zeros": "L7: as layer-gzip-garbage",
    "layer-type-says-gzip": "L9: umoci believes the media type, we the magic",
    "layer-type-says-tar": "L9: as layer-type-says-gzip",
    "layer-type-unknown": "L9: as layer-docker-types",
    "layer-xz": "L9: umoci reads no xz",
    "path-empty": "N4: an entry without a name is an entry for the root, which is ignored",
    "pax-global": "X6: umoci refuses global headers",
    "xattr-basic": "X2: umoci drops empty values",
    "xattr-user-on-symlink": "X2: the kernel refuses user.* there, umoci does not catch it",
}


def load_cases() -> list[Any]:
    if not CASES.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the reference cases (../shared) are not here"))]
    files = sorted((CASES / "expected").iterdir())
    return [pytest.param(json.loads(path.read_bytes()), id=path.stem) for path in files]


def describe(rootfs: RootFS) -> dict[str, dict[str, Any]]:
    """A merged view in the shape of the expected files."""
    return {path[1:]: describe_entry(rootfs[path], rootfs.links_of(path)) for path in rootfs}


def describe_entry(entry: Entry, links: tuple[str, ...]) -> dict[str, Any]:
    is_file = entry.type == "file"
    seconds, nanoseconds = divmod(entry.mtime, 10**9) if entry.mtime is not None else (None, None)
    return {
        "type": entry.type,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": seconds,
        "mtime_nsec": nanoseconds,
        "size": entry.size if is_file else None,
        "sha256": entry.sha256.hex() if is_file and entry.sha256 else None,
        "linkname": entry.link if entry.type == "symlink" else None,
        "rdev": list(entry.rdev) if entry.rdev else None,
        "xattrs": {name: value.hex() for name, value in (entry.xattrs or {}).items()},
        "links": [link[1:] for link in links],
    }


def differences(got: dict[str, dict[str, Any]], want: list[dict[str, Any]]) -> dict[str, Any]:
    """What differs, by path; times that the engine's clock decides are not compared."""
    expected = {entry["path"]: {key: value for key, value in entry.items() if key != "path"} for entry in want}
    found: dict[str, Any] = {}
    for path in sorted(got.keys() | expected.keys(), key=os.fsencode):
        a, b = got.get(path), expected.get(path)
        if a is None or b is None:
            found[path] = "missing" if a is None else "not in the reference"
            continue
        timeless = ("mtime", "mtime_nsec") if b["mtime"] is None else ()
        wrong = {key: (a[key], b[key]) for key in b if key not in timeless and a[key] != b[key]}
        if wrong:
            found[path] = wrong
    return found


def merge(case: dict[str, Any], flavour: str, engine: str) -> RootFS:
    image = open_image(CASES / f"{case['case']}.{flavour}.tar")
    load_layers(image.layers, contents=True)
    return merge_layers(image.layers, engine=engine)


@pytest.mark.parametrize("flavour", ["oci", "docker"])
@pytest.mark.parametrize("case", load_cases())
def test_shows_what_the_reference_engines_show(case: dict[str, Any], flavour: str) -> None:
    reference = (flavour == "docker" and case["reference_docker_archive"]) or case["reference"]
    if case["host_dependent"]:
        pytest.skip("the engine's answer depends on whether unpigz is installed")
    try:
        rootfs = merge(case, flavour, "containerd")
    except TarlayersError:
        assert reference["outcome"] == "error"
        return
    if reference["outcome"] == "error":
        assert rootfs.refused, reference
        if reference["layer"] is not None:
            assert rootfs.refused[0].layer == reference["layer"] - 1
    else:
        assert not rootfs.refused
        assert differences(describe(rootfs), reference["entries"]) == {}


def find_umoci_result(case: dict[str, Any]) -> dict[str, Any]:
    """What umoci 0.6 gave: the reference, an alternative, or the two put together."""
    for other in case["alternatives"]:
        if "umoci-0.6" not in other["engines"]:
            continue
        if other["outcome"] == "error" or "entries" in other:
            return other
        gone = {*other["removed"], *(entry["path"] for entry in other["changed"])}
        kept = [entry for entry in case["reference"]["entries"] if entry["path"] not in gone]
        return {"outcome": "ok", "entries": [*kept, *other["changed"]]}
    return case["reference"]


@pytest.mark.parametrize("case", load_cases())
def test_engine_oci_shows_what_umoci_unpacks(case: dict[str, Any]) -> None:
    if case["case"] in NOT_THE_SPEC:
        pytest.skip(NOT_THE_SPEC[case["case"]])
    want = find_umoci_result(case)
    try:
        rootfs = merge(case, "oci", "oci")
    except TarlayersError:
        assert want["outcome"] == "error"
        return
    if want["outcome"] == "error":
        assert rootfs.refused, want
    else:
        assert not rootfs.refused
        assert differences(describe(rootfs), want["entries"]) == {}
