"""The fields of docs/json.md, and runs of all commands that print them: `tests.test_docs` holds the two together.

A section of the page has its schema and a table: names of fields, the type, the meaning. A dot goes into an object,
`[]` into a list. `?` behind a type: the field may be absent; `or null`: so may its value. A type that is a link stands
for the fields of the section that it leads to.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import dataroot
from tests.build import (
    OCI,
    archive,
    compact,
    descriptor,
    device,
    directory,
    file,
    hardlink,
    image,
    layer,
    oci,
    oci_manifest,
    opaque,
    pack,
    symlink,
    whiteout,
    xattrs,
)
from tests.lazy import estargz
from tests.paths import ROOT, TESTDATA
from tests.run import run

PAGE = ROOT / "docs" / "json.md"

# -- what the page says ------------------------------------------------------------------------------

_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (?!field |---)(.+?) \| (.+?) \| ?(.*?) ?\|$", re.MULTILINE)
_LINK = re.compile(r"\[[\w ]+\]\(#([\w-]+)\)(?: without (.+))?")
_JSON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "map": (dict,),
    "list": (list,),
    "any": (object,),
}


class Row(NamedTuple):
    """One field as a section has it, and as which row of which section the page does."""

    types: tuple[str, ...]
    optional: bool
    said_in: tuple[str, str]


@cache
def sections() -> dict[str, dict[str, Row]]:
    """The fields of every section of the page, those that links stand for included."""
    rows = {title.lower(): _ROW.findall(text) for title, text in _SECTION.findall(PAGE.read_text(encoding="utf-8"))}
    return {title: _expand(title, rows) for title in rows if rows[title]}


def _expand(title: str, rows: dict[str, list[tuple[str, str, str]]]) -> dict[str, Row]:
    fields: dict[str, Row] = {}
    for names, kind, _ in rows[title]:
        types = tuple(kind.removesuffix("?").split(" or "))
        link = _LINK.search(kind)
        linked: dict[str, Row] = {}
        if link:
            linked = _expand(link[1].replace("-", " "), rows)
            left_out = re.findall(r"`(\w+)`", link[2] or "")
            assert set(left_out) <= set(linked), (title, kind)
            linked = {name: row for name, row in linked.items() if name.split("[")[0] not in left_out}
        if names == "all of":
            fields |= linked
            continue
        for name in re.findall(r"`(.+?)`", names):
            assert name not in fields, (title, name)
            fields[name] = Row(tuple(map(_plain, types)), kind.endswith("?"), (title, name))
            inner = f"{name}[]." if kind.startswith("list") else f"{name}."
            fields |= {inner + below: row for below, row in linked.items()}
    return fields


def _plain(kind: str) -> str:
    return _LINK.sub("object", kind)


# -- the one held against the other ------------------------------------------------------------------


def compare(value: Any, at: str, fields: Mapping[str, Row], seen: set[tuple[str, str]]) -> Iterator[str]:
    """Say where an object is not as the page has it; note the rows of the page that were met."""
    inside = f"{at}." if at else ""
    known = {name[len(inside) :]: row for name, row in fields.items() if re.fullmatch(re.escape(inside) + r"\w+", name)}
    yield from (f"{inside}{key} is not on the page" for key in value if key not in known)
    for key, row in known.items():
        if key in value:
            seen.add(row.said_in)
            yield from _compare_types(value[key], inside + key, row.types, fields, seen)
        elif not row.optional:
            yield f"{inside}{key} is absent"


def _compare_types(
    value: Any, at: str, types: Sequence[str], fields: Mapping[str, Row], seen: set[tuple[str, str]]
) -> Iterator[str]:
    fitting = [kind for kind in types if _fits(value, kind)]
    if not fitting:
        yield f"{at} is {value!r}, not {' or '.join(types)}"
        return
    kind, _, inner = fitting[0].partition(" of ")
    if kind == "object":
        yield from compare(value, at, fields, seen)
    for each in value if kind == "list" else value.values() if kind == "map" and inner else ():
        yield from _compare_types(each, f"{at}[]", (inner,), fields, seen)


def _fits(value: Any, kind: str) -> bool:
    wanted = _JSON[kind.partition(" of ")[0]]
    return isinstance(value, wanted) and (not isinstance(value, bool) or bool in wanted or object in wanted)


# -- what commands print -----------------------------------------------------------------------------

BAD = "caf\udce9"  # not UTF-8
SECRET = b"AWS_ACCESS_KEY_ID=AKIA" + b"Z7Q4PL2MXW3B5TRY\n"
BASE = layer(
    directory("etc"),
    xattrs(file("etc/x", b"1" * 50), user_note=b"\x01"),
    file("etc/same", b"2"),
    file("etc/mode", b"3", mode=0o4755),
    symlink("link", f"etc/{BAD}"),
    device("null", 1, 3),
    file(f"etc/{BAD}", b"4"),
    file(f"{BAD}/.env", SECRET),
    file("gone/old", b"5" * 500),
    file("gone/deep/older", b"6"),
    file("moved/here", b"7" * 40),
    file("twin", b"8"),
    hardlink("twin2", "twin"),
    hardlink(f"twin {BAD}", "twin"),
    file("twin3", b"9"),
    hardlink("twin4", "twin3"),
    hardlink(f"twin4 {BAD}", "twin3"),
    symlink("way", "etc"),
    file("token", SECRET),
)
TOP = layer(
    file("etc/x", b"one"),
    file("etc/mode", b"3", mode=0o755),
    whiteout(f"etc/{BAD}"),
    whiteout(BAD),
    whiteout("gone"),
    whiteout("twin3"),
    whiteout("twin4"),
    whiteout(f"twin4 {BAD}"),
    file(f"new/{BAD}", b"10"),
    file("way/same", b"through a link"),
    file("text", b"a\nb\n"),
)
REFUSED = layer(hardlink(f"bad{BAD}", "nowhere"), directory("etc"), opaque("etc"), file("way", b""))
ENV = {"Env": ["PATH=/bin", "DB_PASSWORD=h8dk3Ls92mQp"], "Labels": {"a": "b"}, "User": "app"}
V1 = image(BASE, TOP, names=("example.org/app:v1",), run=ENV)
V2 = image(
    BASE,
    layer(
        file("etc/x", b"two"),
        whiteout("moved/here"),
        file(f"moved/{BAD}", b"7" * 40),
        whiteout("text"),
        file("text", b"a\nc\n"),
        whiteout(f"etc/{BAD}"),
        file("bin", b"\0"),
    ),
    names=("example.org/app:v2",),
    run={"Cmd": ["/other"]},
)
PLAIN = image(layer(file("a", b"1")), layer(file("b", b"2")))
STRANGE = layer(replace(file("strange"), type="V"), file(f"{BAD}/x", b"1"), hardlink("y", f"{BAD}/x"))
CHECKS = b"""
max_size = 1
max_layers = { limit = 1, ignore = [{ globs = ["step 1"], reason = "to come", until = 2020-01-01 }] }
forbid_setuid = true
min_efficiency = 0.1
max_growth = 1
forbid_users = ["app"]
forbid_hidden = { paths = ["*"], ignore = [{ globs = ["/gone/**", "*.env"], reason = "old", until = 2999-01-01 },
    { globs = ["/etc/x"], reason = "ever" }] }
layer_may_not_touch = { layers = "1:", paths = ["/new/**"] }
"""


class Printed(NamedTuple):
    """A document, or a line of ndjson, and the section of the page that is about it."""

    section: str
    command: str
    document: dict[str, Any]
    inside: str
    """The list that a line of ndjson is an item of; empty for a document."""


def printed(where: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Printed]:
    """Run all commands that print JSON on archives that have something to say for every field."""
    monkeypatch.chdir(where)
    _build(where)
    yield from _ask("cache info")  # there is none in tests
    monkeypatch.setenv("TARLAYERS_CACHE", str(where / "cache"))
    for command in RUNS.strip().splitlines():
        yield from _ask(command)


def _ask(command: str) -> Iterator[Printed]:
    section = max((title for title in sections() if f"{command} ".startswith(f"{title} ")), key=len)
    lines = "-f ndjson" in command
    ran = run(*shlex.split(command), *([] if lines else ["-f", "json"]))
    assert ran.code in (0, 1), (command, ran.stderr)
    inside = ("members[]" if section == "tarsplit ls" else "entries[]") if lines else ""
    for line in ran.lines:
        yield Printed(section, command, json.loads(line), inside)


def _build(where: Path) -> None:
    """Make the archives in a directory."""
    shop = TESTDATA.glob("shop*")
    files: dict[str, bytes] = {path.name: path.read_bytes() for path in shop}
    files |= {
        "v1.tar": archive("oci-gzip", V1),
        "v2.tar": archive("docker-25", V2),
        "old.tar": archive("docker-20", replace(V1, config={**V1.config, "history": []})),
        "bare.tar": BASE,
        "strange.tar": STRANGE,
        "refused.tar": archive("oci-gzip", image(BASE, REFUSED)),
        "windows.tar": archive(
            "oci-gzip", image(layer(directory("Files"), file("Files/x"), directory("Hives")), platform="windows/amd64")
        ),
        "wrong.tar": archive("docker-25", V1).replace(b"1" * 50, b"0" * 50),
        "aside.tar": archive(
            "oci-gzip",
            image(
                layer(directory("etc"), symlink(BAD, "etc"), file(f"{BAD}/f\udcff", b"1")),
                layer(whiteout("etc/f\udcff")),
            ),
        ),
        "step.tar": archive(
            "oci-gzip",
            image(
                layer(file("a")),
                history=[{"created_by": "RUN curl -H 'Authorization: Bearer abcdef0123456789abcdef0123456789'"}],
            ),
        ),
        "opaque.tar": archive("oci-gzip", image(layer(file(f"{BAD}/a")), layer(opaque(BAD)))),
        "policy.toml": CHECKS,
        "dive.yml": b"rules:\n  lowestEfficiency: disabled\n",
    }
    files["odd.tar"] = pack(_odd())
    made = dataroot.container("web", PLAIN, file("new", b"1"))
    files["root.tar"] = dataroot.pack_root(dataroot.docker_root([PLAIN], [made]))
    files["podman.tar"] = dataroot.pack_root(dataroot.podman_root([PLAIN], [made]))
    for name, data in files.items():
        (where / name).write_bytes(data)
    for name in ("v1", "bare"):
        assert run("index", f"{name}.tar", "-o", f"{name}.tlx").code == 0
    for name in ("bare", "strange"):
        assert run("tarsplit", "disasm", f"{name}.tar", "--no-stdout", "--output", f"{name}.json.gz").code == 0
    (where / "empty").mkdir()


def _odd() -> dict[str, Any]:
    """An image with a lazy layer, one with a foreign layer, an attestation, and a platform that is absent."""
    lazy = estargz(file("a", b"1"))
    each = image(lazy.plain, layer(file("b")))
    files = oci([])
    manifest = json.loads(oci_manifest(files, each, "gzip"))
    kind = f"{OCI}.layer.v1.tar+gzip"
    manifest["layers"][0] = descriptor(files, kind, lazy.blob, annotations=lazy.annotations)
    manifest["layers"][1] |= {"digest": f"sha256:{'0' * 64}", "urls": ["https://example.org/layer"]}
    manifest["annotations"] = {"a": "b"}
    kind = f"{OCI}.manifest.v1+json"
    absent = {
        "mediaType": kind,
        "digest": f"sha256:{'1' * 64}",
        "size": 5,
        "platform": {"os": "linux", "architecture": "arm"},
    }
    nothing = descriptor(files, "application/vnd.oci.empty.v1+json", b"{}")
    artifact = compact(
        {"schemaVersion": 2, "mediaType": kind, "artifactType": "a/b", "config": nothing, "layers": [nothing]}
    )
    manifests = [
        descriptor(files, kind, compact(manifest), annotations={"org.opencontainers.image.ref.name": "v1"})
        | {"platform": {"os": "linux", "architecture": "arm64"}},
        absent | {"annotations": {"org.opencontainers.image.ref.name": "arm"}},
        descriptor(files, kind, artifact),
        descriptor(files, kind, b"{"),
    ]
    return files | {"index.json": compact({"schemaVersion": 2, "manifests": manifests})}


# With `-f json` where no format is given. The section of the page is the longest that a line begins with.
RUNS = f"""
inspect v1.tar
inspect old.tar
inspect odd.tar
inspect bare.tar
inspect v1.tlx
inspect bare.tlx
inspect root.tar
inspect root.tar#container:web
layers v1.tar
layers old.tar
layers odd.tar
layers bare.tar
layers windows.tar
layers root.tar#container:web
history v1.tar
history shop-v1.oci.tar
history odd.tar
history --no-size v1.tar
ls -R v1.tar
ls -R --digests v1.tar
ls -R --digests v1.tar -f ndjson
ls -R --at 0 v1.tar
ls -R refused.tar
ls --only 0 -R --digests bare.tar
ls --only 0 -R strange.tar
ls --only 0 -R strange.tar -f ndjson
ls --only 1 -R v1.tar
ls --du -R --digests v1.tar
ls --du refused.tar
ls --du v1.tar -f ndjson
changes --all v1.tar
changes refused.tar
changes opaque.tar
log v1.tar /etc/x
log v1.tar /gone/old
log v1.tar /twin
log v1.tar /{BAD}/.env
log v1.tar /null
log v1.tar /link
log refused.tar /etc/x
blame v1.tar
blame v1.tar -f ndjson
blame refused.tar
diff v1.tar v2.tar
diff v2.tar v1.tar
diff refused.tar v1.tar
diff refused.tar odd.tar --only config,layers,history
diff v1.tar root.tar#container:web
diff --patch /text v1.tar v2.tar
diff --patch /bin v1.tar v2.tar
diff --patch /moved/{BAD} v1.tar v2.tar
waste v1.tar
waste --digests v1.tar
waste refused.tar
hidden v1.tar
hidden --all --secrets v1.tar
hidden --secrets step.tar
hidden aside.tar
hidden refused.tar
verify v1.tar
verify wrong.tar
verify v1.tlx
lint v1.tar
lint strange.tar
lint refused.tar
check v1.tar refused.tar --policy policy.toml --baseline bare.tar
check v1.tar --policy dive.yml
containers root.tar
containers podman.tar
cache info
cache clear
tarsplit ls strange.json.gz
tarsplit ls bare.json.gz
tarsplit ls bare.json.gz -f ndjson
tarsplit verify bare.json.gz --layer bare.tar
tarsplit verify bare.json.gz --path empty
"""
