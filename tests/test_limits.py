"""Every limit: what lies at the bound is read, what lies one beyond it is refused by name, and both cost little."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tarlayers import TarlayersError, index_layer, merge_layers, open_image, open_images
from tarlayers.analysis.dive import score_image
from tarlayers.analysis.lint.report import lint_image
from tarlayers.cli.app import COMMANDS
from tarlayers.errors import LimitExceeded
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.compression import Decompressor
from tarlayers.formats.tarsplit import decode_records, encode_record
from tarlayers.limits import DEFAULT_LIMITS, NO_LIMITS, Limits, change_limits
from tests.build import (
    END,
    FLAVOURS,
    archive,
    compact,
    directory,
    docker_20,
    file,
    hardlink,
    image,
    layer,
    oci,
    opaque,
    pack,
    pax_record,
    symlink,
    tar,
    whiteout,
    xattrs,
)
from tests.edit import bytes_of, with_layers
from tests.lazy import estargz
from tests.oci_flavours import INDEX, nested
from tests.paths import ROOT
from tests.run import run
from tests.splits import CONTENT, LONG_MAP, REGIONS, gnu_sparse, pax_sparse

APP = image(layer(file("a", b"1")), layer(file("b", b"2")), layer(file("c", b"3")), names=("app:1", "app:2"))


def open_all(data: bytes, limits: Limits) -> None:
    """Open, merge, and read every file."""
    for each in open_images(io.BytesIO(data), keep=True, limits=limits).images:
        rootfs = merge_layers(each.layers)
        for path in rootfs:
            if rootfs[path].type == "file":
                for _ in each.layers[rootfs.layer_of(path)].open_content(rootfs[path]):
                    pass


def bare(*members: Any) -> Callable[[Limits], None]:
    return lambda limits: open_all(layer(*members), limits)


def built(data: bytes) -> Callable[[Limits], None]:
    return lambda limits: open_all(data, limits)


def merged(*layers: bytes) -> Callable[[Limits], None]:
    return built(archive("docker-25", image(*layers)))


def deep_labels(depth: int) -> bytes:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return pack(docker_20([image(layer(), run={"Deep": value})]))


def documents_of(data: bytes) -> list[bytes]:
    return list(open_images(io.BytesIO(data), limits=NO_LIMITS).store.documents.values())


def expand(limits: Limits) -> None:
    for _ in Decompressor("gzip", limits).run([BOMB]):
        pass


BOMB = gzip.compress(bytes(5 << 20), mtime=0)
OCI = archive("oci-none", APP)
LAZY = estargz(file("a", b"1" * 99), file("b"))
RECORDS = [encode_record(record) for record in disassemble([layer(file("n" * 300, b"1"))])]
OPAQUE = layer(*(file(f"d/{i}") for i in range(9)), opaque("d"))

HOLED = [pax_sparse(name, REGIONS, 5000, CONTENT, "1.0") for name in ("s", "t")]

COMMENT = len(pax_record("comment", "c" * 500))

AT_THE_BOUND: dict[str, tuple[Callable[[Limits], object], dict[str, int]]] = {
    # By what it passes: something to read, and the bounds at which it just passes.
    "document": (built(OCI), {"document_bytes": max(map(len, documents_of(OCI)))}),
    "document depth": (built(deep_labels(20)), {"document_depth": 22}),
    "nested indexes": (built(pack(nested([INDEX] * 3)([APP]))), {"index_depth": 3}),
    "manifests of an index": (built(OCI), {"manifests": 2}),
    "images of a manifest.json": (built(pack(docker_20([APP, image(layer())]))), {"manifests": 2}),
    "names": (built(OCI), {"names": 2}),
    "layers": (built(OCI), {"layers": 3}),
    "PAX records": (bare(file("x", pax={"comment": "c" * 500})), {"extension_bytes": COMMENT}),
    "extended attribute": (
        bare(file("x", pax={"SCHILY.xattr.user.a": "c" * 500})),
        {"extension_bytes": len(pax_record("SCHILY.xattr.user.a", "c" * 500))},
    ),
    "long name": (bare(file("n" * 500)), {"path_bytes": 500}),
    "long link target": (bare(symlink("l", "n" * 500)), {"path_bytes": 500}),
    "short name": (bare(file("abc")), {"path_bytes": 3}),
    "components": (bare(file("a/b/c/d")), {"path_depth": 4}),
    "entries of a layer": (merged(layer(*(file(f"{i}") for i in range(30)))), {"entries": 30}),
    "extended attributes": (bare(file("a"), xattrs(file("b"), user_x=b"", user_y=b"1")), {"entries": 2 + 2}),
    "bytes of extended attributes": (bare(xattrs(file("b"), user_x=b"1" * 2000)), {"entries": 1 + 1 + 3}),
    "members of the archive": (built(OCI), {"entries": 9}),
    "entries of an image": (merged(layer(file("a")), layer(file("b"), file("c"))), {"image_entries": 3}),
    "implied directories": (bare(file("aaa/bbb/c")), {"implied_bytes": len("/aaa" + "/aaa/bbb")}),
    # Those that a directory has when it comes again, and a file's that gets one more name.
    "attributes that are put together": (
        merged(layer(xattrs(directory("d"), user_x=b"", user_y=b""), xattrs(directory("d"), user_z=b""))),
        {"merge_steps": 2},
    ),
    "attributes of links": (
        merged(layer(xattrs(file("f"), user_x=b"", user_y=b""), hardlink("g", "f"), hardlink("h", "g"))),
        {"merge_steps": 2 * 2},
    ),
    # Links cost a step each and one for each component of their target.
    "links followed": (bare(directory("t/u"), symlink("l", "t/u"), file("l/x"), file("l/y")), {"merge_steps": 6}),
    "paths a marker looks through": (merged(OPAQUE), {"merge_steps": 1 + 9}),
    # /d is found in the next layer; /d/e is looked for in both, and not in the one that has nothing of /d.
    "lower layers searched": (
        merged(layer(), layer(directory("d")), layer(directory("d")), layer(file("d/e/x"))), {"merge_steps": 3}
    ),
    # Four components that are not there cost a step as well: here of the paths of 1 to 11, by the parent, and below.
    "a deep name over a lower layer": (
        merged(layer(directory("d")), layer(file("d/" * 11 + "x"))), {"merge_steps": 11 + 2 * 1 + 4 * 1 + 4 * 2}
    ),
    "components of a hard link's target": (
        merged(layer(), layer(hardlink("l", "d/" * 81 + "x"))), {"merge_steps": 2 * 20}
    ),
    "headers that are kept": (
        lambda limits: list(disassemble([layer(file("x", pax={"comment": "c" * 500}))], limits)),
        {"segment_bytes": 512 + COMMENT},
    ),
    "line of a tar-split file": (
        lambda limits: list(decode_records(RECORDS, limits)), {"record_bytes": max(map(len, RECORDS)) - 1}
    ),
    "regions, old GNU": (built(gnu_sparse(b"s", LONG_MAP, 600, bytes(200)) + tar([])), {"sparse_regions": 50}),
    "regions, PAX 1.0": (bare(pax_sparse("s", LONG_MAP, 600, bytes(200), "1.0")), {"sparse_regions": 50}),
    "regions, PAX 0.1": (bare(pax_sparse("s", LONG_MAP, 600, bytes(200), "0.1")), {"sparse_regions": 50}),
    "holes": (bare(pax_sparse("s", REGIONS, 5000, CONTENT, "1.0")), {"sparse_bytes": 4800}),
    "holes of several files": (
        lambda limits: index_layer((layer(*HOLED),), contents=True, limits=limits), {"sparse_bytes": 2 * 4800}
    ),
    "plain bytes": (expand, {"plain_bytes": 5 << 20}),
    "ratio": (expand, {"ratio": (5 << 20) // len(BOMB) + 1, "ratio_grace_bytes": 0}),
}  # fmt: skip


@pytest.mark.parametrize("what", AT_THE_BOUND)
def test_the_bound_itself_passes_and_one_more_fails(what: str) -> None:
    read, bounds = AT_THE_BOUND[what]
    read(Limits(**bounds))
    name = next(iter(bounds))
    with pytest.raises(LimitExceeded) as caught:
        read(Limits(**{**bounds, name: bounds[name] - 1}))
    assert caught.value.limit == name
    assert f"(limit {name} = {bounds[name] - 1})" in str(caught.value)
    read(NO_LIMITS)


# documents_bytes and toc_bytes below, those of an index file in test_tlx.py.
TRIED_ELSEWHERE = {"documents_bytes", "toc_bytes", "index_bytes", "index_ratio", "index_grace_bytes"}


def test_every_limit_is_tried() -> None:
    tried = {name for _, bounds in AT_THE_BOUND.values() for name in bounds}
    assert set(Limits._fields) - tried == TRIED_ELSEWHERE


def test_documents_are_bounded_together() -> None:
    """Every look at one counts, so that ten thousand references to a large one cost no more than it."""
    total = sum(map(len, documents_of(OCI)))
    built(OCI)(Limits(documents_bytes=4 * total))
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        built(OCI)(Limits(documents_bytes=total - 1))


@pytest.mark.parametrize("stream", [False, True])
def test_documents_that_are_kept_are_bounded_together(stream: bool, tmp_path: Path) -> None:
    """A blob may look like JSON and be 20 MB of holes, and there may be thousands: verify looks at all of them."""
    document = b"{" + b" " * 9998 + b"}"
    path = tmp_path / "a.tar"
    path.write_bytes(pack({**oci([APP]), **{f"blobs/sha256/{n:064}": document for n in range(30)}}))
    words, data = (["-"], path.read_bytes()) if stream else ([path], b"")
    assert run("verify", *words, "--limit", "documents_bytes=320000", stdin=data).code == 1  # digests are wrong
    ran = run("verify", *words, "--limit", "documents_bytes=290000", stdin=data)
    assert (ran.code, ran.stdout) == (3, b"")
    assert "a document of 10000 bytes (limit documents_bytes = 290000)" in ran.stderr


@pytest.mark.parametrize("stream", [False, True])
def test_the_holes_of_an_archives_members_are_bounded_together(stream: bool, tmp_path: Path) -> None:
    """Each may be hashed, for the digest that its name claims."""
    holed = [pax_sparse(f"blobs/sha256/{n:064}", REGIONS, 5000, CONTENT, "1.0") for n in range(3)]
    path = tmp_path / "a.tar"
    path.write_bytes(pack(oci([APP]))[: -len(END)] + tar(holed))
    words, data = (["-"], path.read_bytes()) if stream else ([path], b"")
    most = 3 * 4800
    assert run("verify", *words, "--limit", f"sparse_bytes={most}", stdin=data).code == 1  # digests are wrong
    ran = run("verify", *words, "--limit", f"sparse_bytes={most - 1}", stdin=data)
    assert (ran.code, ran.stdout) == (3, b"")
    assert f"holes of {most} bytes in sparse files (limit sparse_bytes = {most - 1})" in ran.stderr
    if not stream:  # of which nobody can tell what will be asked for
        assert run("ls", f"{path}#app:1", "--limit", "sparse_bytes=0").code == 0


def test_what_an_index_says_counts_for_each_of_its_manifests() -> None:
    files = oci([APP])
    index = json.loads(bytes_of(files, "index.json"))
    index["manifests"] += [{"digest": f"sha256:{i:064}", "size": 1} for i in range(50)]
    index["annotations"] = {f"key {i}": "value" for i in range(500)}
    data = pack({**files, "index.json": compact(index)})
    total = sum(map(len, documents_of(data)))
    built(data)(Limits(documents_bytes=400 * total))
    with pytest.raises(LimitExceeded, match="limit documents_bytes"):
        built(data)(Limits(documents_bytes=100 * total))


def test_a_table_of_contents_that_is_too_large_is_left_alone() -> None:
    """It is not needed to read the layer, so it is a note of verify and no error."""
    size = len(json.dumps({"version": 1}))
    ran = run("verify", "-", "--limit", f"toc_bytes={size}", stdin=pack(with_layers(LAZY)))
    assert (ran.code, "limit toc_bytes" in ran.stdout.decode()) == (0, True)


# -- what hostile archives claim -------------------------------------------------------------------

HUGE = (1 << 63) - 1


def sparse_of(size: int) -> bytes:
    return layer(*(pax_sparse(f"s{i}", [(0, 4)], size, b"1234", "0.1") for i in range(3)))


def test_a_sparse_file_of_eight_exabytes_costs_nothing_until_it_is_read() -> None:
    data = archive("docker-25", image(sparse_of(HUGE)))
    assert run("ls", "-l", "-", stdin=data).code == 0
    assert run("layers", "-", "-f", "json", stdin=data).json["layers"][0]["content_size"] == 3 * HUGE
    assert run("waste", "-", stdin=data).code == 0
    ran = run("cat", "-", "/s0", stdin=data)
    assert (ran.code, ran.stdout) == (3, b"")
    assert "limit sparse_bytes" in ran.stderr
    for command in (["ls", "--digests", "-"], ["export", "-"], ["changes", "-"], ["verify", "-"]):
        ran = run(*command, stdin=data)
        assert ran.code in (0, 3), command


def test_a_blob_that_inflates_without_end_stops_early() -> None:
    """A gzip member is repeated: ten megabytes stored would be ten gigabytes of zeros."""
    piece = gzip.compress(bytes(10 << 20), mtime=0)
    drawn = 0

    def stored() -> Any:
        nonlocal drawn
        for _ in range(1000):
            drawn += 1
            yield piece

    with pytest.raises(LimitExceeded, match="limit plain_bytes"):
        for _ in Decompressor("gzip", Limits(plain_bytes=50 << 20)).run(stored()):
            pass
    assert drawn < 10


def test_documents_nested_without_end_are_an_error() -> None:
    for depth in (250, 900, 100_000):
        with pytest.raises(TarlayersError):
            open_all(pack({"manifest.json": b"[" * depth + b"]" * depth, "oci-layout": b"{}"}), NO_LIMITS)


def test_the_deepest_document_that_is_read_can_be_written() -> None:
    ran = run("inspect", "-", "-f", "json", stdin=deep_labels(DEFAULT_LIMITS.document_depth - 2))
    assert ran.json["images"][0]["config"]["Deep"]


def test_numbers_out_of_range_are_errors_or_exact() -> None:
    for size in (-1, 1 << 63, 1 << 64, 10**30, 1e308, 0.5):
        files = FLAVOURS["oci-none"]([APP])
        index = json.loads(files["index.json"])  # type: ignore[arg-type] # it is bytes
        for entry in index["manifests"]:
            entry["size"] = size
        ran = run("verify", "-", stdin=pack({**files, "index.json": compact(index)}))
        assert ran.code == (1 if size < 1 << 63 and isinstance(size, int) else 3), (size, ran)


# -- the command line ------------------------------------------------------------------------------


def test_an_error_says_how_to_go_on() -> None:
    ran = run("ls", "-", "--limit", "entries=3", stdin=OCI)
    assert ran.code == 3
    assert "(limit entries = 3): raise it with --limit entries=..., or --no-limits" in ran.stderr
    assert run("ls", "-#1", "--limit", "entries=3", "--limit", "entries=1k", stdin=OCI).code == 0
    assert run("ls", "-", "--limit", "entries=3", "--no-limits", stdin=OCI).code == 3  # what is named counts
    assert run("ls", "-", "--no-limits", stdin=OCI).code == 0


@pytest.mark.parametrize("words", [(), ("--no-limits",), ("--limit", "document_depth=9")])
def test_an_error_advises_nothing_that_does_not_work(words: tuple[str, ...]) -> None:
    ran = run("inspect", "-", *words, stdin=deep_labels(250))
    shown = 9 if "--limit" in words else 200
    assert ran.code == 3 and "raise" not in ran.stderr
    assert ran.stderr.endswith(f"(limit document_depth = {shown}): no more than 200 can be read\n")


WRONG = ["entries", "entries=", "entries=-1", "entries=1.5", "entries=1X", "x=1", "=1", "document_depth=201"]


@pytest.mark.parametrize("word", WRONG)
def test_a_wrong_limit_is_a_wrong_call(word: str) -> None:
    ran = run("ls", "-", "--limit", word, stdin=OCI)
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.stderr.count("\n") == 1


def test_every_command_takes_limits() -> None:
    for name in COMMANDS:
        if name not in ("tarsplit", "cache"):  # groups of commands; cache opens no archive
            assert "--limit NAME=VALUE" in run(name, "--help").stdout.decode(), name
    for name in ("ls", "disasm", "asm", "verify"):
        assert "--limit NAME=VALUE" in run("tarsplit", name, "--help").stdout.decode(), name


def test_limits_of_one_call_are_gone_in_the_next() -> None:
    run("ls", "-", "--limit", "entries=3", stdin=OCI)
    assert run("ls", "-", stdin=OCI).code == 0


def test_values_have_units() -> None:
    changed = change_limits(DEFAULT_LIMITS, ["plain_bytes=2T", "entries=3", "entries=4k", "ratio=5M"])
    assert (changed.plain_bytes, changed.entries, changed.ratio) == (2 << 40, 4096, 5 << 20)


def test_limits_reach_the_library() -> None:
    found = open_image(io.BytesIO(archive("oci-gzip", image(layer(file("a/b"))))), limits=Limits(implied_bytes=1))
    with pytest.raises(LimitExceeded, match=r"layer 0 .*limit implied_bytes"):
        merge_layers(found.layers)


BURIED = layer(directory("d"), *(file(f"d/{n}") for n in range(9)), opaque("d"))
"""As a first layer the marker looks through the directory, as any other it does not."""


@pytest.mark.parametrize(
    ("layers", "limits", "named"),
    [
        ([layer(file("a/b"))], Limits(implied_bytes=1), r"layer 0 .*limit implied_bytes"),
        ([layer(file("a")), BURIED], Limits(merge_steps=5), r"layer 1 .*limit merge_steps"),
    ],
)
def test_limits_reach_each_way_in_which_a_layer_is_linted(layers: list[bytes], limits: Limits, named: str) -> None:
    data = archive("oci-gzip", image(*layers))
    with pytest.raises(LimitExceeded, match=named):
        lint_image(open_image(io.BytesIO(data), limits=limits))
    lint_image(open_image(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("layers", "bounds"),
    [
        ([layer(directory("a"), file("a/b/c"))], {"implied_bytes": len("/a/b")}),
        ([layer(file("x"), file("d/y")), layer(file("d/e/z"), whiteout("x"))], {"implied_bytes": len("/d/d/d/e")}),
        # What a whiteout hides is added up: /d with nine files and a directory of one.
        (
            [layer(directory("d"), directory("d/e"), *(file(f"d/{n}") for n in range(9)), file("d/e/x")),
             layer(whiteout("d"))],
            {"merge_steps": 1 + 10 + 1 + 1},
        ),
        # Dive drops this directory, after all parents of the file were looked for.
        ([layer(*(file(f".wh..wh..x/{'d' * 4095}/{n}/y") for n in range(5)))], {"merge_steps": 5 * 3}),
    ],
)  # fmt: skip
def test_limits_reach_the_score_of_dive(layers: list[bytes], bounds: dict[str, int]) -> None:
    data = archive("oci-gzip", image(*layers))
    score_image(open_image(io.BytesIO(data), limits=Limits(**bounds)))
    ((name, bound),) = bounds.items()
    with pytest.raises(LimitExceeded, match=rf"layer {len(layers) - 1} .*limit {name}"):
        score_image(open_image(io.BytesIO(data), limits=Limits(**{name: bound - 1})))


def test_the_documentation_lists_every_limit() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    defaults = DEFAULT_LIMITS._asdict()
    assert "`ratio_grace_bytes` (1G)" in text
    assert defaults.pop("ratio_grace_bytes") == 1 << 30
    assert {
        name: getattr(change_limits(DEFAULT_LIMITS, [f"{name}={value}"]), name) for name, value in told.items()
    } == defaults
