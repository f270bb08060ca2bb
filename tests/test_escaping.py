"""No string of an archive, and none that a user pastes, reaches the terminal as it is; JSON has it exactly.

The image here is hostile in every place that has a string: names, tags, labels, steps, annotations, link targets,
attributes, media types. Every command is run on it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarlayers.cli.app import COMMANDS
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.tarsplit import encode_record
from tarlayers.render.escape import escape_text, escape_texts
from tarlayers.render.table import render_table
from tests.build import (
    Image,
    Member,
    compact,
    descriptor,
    directory,
    docker_20,
    file,
    hardlink,
    image,
    layer,
    pack,
    symlink,
    unpack,
    whiteout,
    xattrs,
)
from tests.oci_flavours import oci_layout
from tests.paths import TESTDATA
from tests.run import Ran, run

# Escape sequences of one byte and two, line breaks of every kind, text turned round, hidden, and markup.
HIDDEN = "\u034f\u3164\ufe0f\U000e0101"  # printable, for Python
H = f"h\x1b]0;t\x07\x1b[2J\r\n\t\x08\x7f\x9b31m\x85\u202e\u2066\u200b\u2028\u00ad\ufeff{HIDDEN}|`*<b>&#e"
BASE = layer(
    directory(H), file(f"{H}/x", H.encode() + b"\nold\n"), symlink(f"l{H}", f"../{H}"), hardlink(f"k{H}", f"{H}/x"),
    xattrs(file(f"a{H}", b"1"), user_x=H.encode()), file("bad\udcff\x1b", b"2"),
    Member(f"z{H}", "0", b"3", pax={f"SCHILY.xattr.user.{H}": H}),
    file(f"{H}/secret.env", f"PASSWORD={H}hunter2hunter2\nAKIA{'Q' * 16}".encode()), file(".wh..wh..odd"), file(".wh."),
)  # fmt: skip
TOP = layer(
    file(f"{H}/x", H.encode() + b"\nnew\n"), whiteout(f"a{H}"), symlink(f"loop{H}", f"loop{H}"), file(f"loop{H}/y"),
    hardlink(f"no{H}", f"nowhere{H}"), Member(f"t{H}", "Z"), file(f"{H}/secret.env", b"gone"),
)  # fmt: skip


def hostile_image(*layers: bytes) -> Image:
    made = image(
        *layers,
        names=(f"{H}:{H}",),
        run={"Env": [f"{H}={H}", f"TOKEN={H}AKIA{'Q' * 16}"], "Labels": {H: H}, "Cmd": [H], "Entrypoint": [H],
             "User": H, "WorkingDir": H, "ExposedPorts": {H: {}}, "Volumes": {H: {}}, "StopSignal": H,
             "Healthcheck": {"Test": [H]}},
        created=H, author=H, os=H, architecture=H, variant=H, **{"os.version": H},
    )  # fmt: skip
    steps = [{"created": H, "created_by": f"RUN {H}{i}", "comment": H, "author": H} for i in range(len(layers))]
    return Image(made.layers, made.names, {**made.config, "history": [*steps, {**steps[0], "empty_layer": True}]})


def hostile_oci(*layers: bytes) -> bytes:
    """Media types, annotations, platforms and URLs too; one manifest is no image, one absent."""
    files: dict[str, Any] = {}
    each = hostile_image(*layers)
    notes = {H: H, "org.opencontainers.image.ref.name": H, "containerd.io/snapshot/stargz/toc.digest": H}
    manifest = {
        "mediaType": H,
        "config": descriptor(files, "application/vnd.oci.image.config.v1+json", each.config_bytes, annotations=notes),
        "layers": [descriptor(files, H, plain, annotations=notes, urls=[H]) for plain in layers],
        "annotations": notes,
    }
    artifact = compact({"mediaType": H, "artifactType": H, "config": None, "layers": [], "annotations": notes})
    platform = {"os": H, "architecture": H, "variant": H}
    absent = {"mediaType": H, "digest": f"sha256:{'0' * 64}", "size": 1, "platform": platform, "annotations": notes}
    return pack(
        oci_layout(
            files,
            [
                descriptor(files, H, compact(manifest), annotations=notes, platform=platform),
                descriptor(files, H, artifact, annotations=notes),
                absent,
            ],
        )
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives under a name that is hostile as well."""
    root = tmp_path_factory.mktemp("hostile") / H.replace("/", "")
    root.mkdir()
    (root / "docker.tar").write_bytes(pack(docker_20([hostile_image(BASE, TOP)])))
    (root / "old.tar").write_bytes(pack(docker_20([hostile_image(BASE)])))
    (root / "oci.tar").write_bytes(hostile_oci(BASE, TOP))
    (root / "layer.tar").write_bytes(BASE)
    (root / "split.json").write_bytes(b"".join(encode_record(record) for record in disassemble([BASE])))
    (root / "broken.tar").write_bytes(
        pack({f"{H}/json": b"{", "manifest.json": compact([{"Config": H, "Layers": [H]}])})
    )
    (root / "wrong.json").write_bytes(b"".join(encode_record(r) for r in disassemble([layer(file(H, b"other"))])))
    unpack({"index.json": compact({"manifests": [{"digest": H}]}), "oci-layout": b"{}"}, root / "dir")
    return root


ARCHIVES = ("docker.tar", "oci.tar", "layer.tar", "broken.tar", "dir", "nowhere.tar")
REPORTS = ("text", "markdown", "github")
QUESTIONS: dict[str, list[list[str]]] = {
    # What follows the archive; {} stands for the second one.
    "inspect": [[], ["-v"]],
    "layers": [[]],
    "history": [[], ["--no-trunc"], ["--no-size"]],
    "ls": [[], ["-lR"], ["--tree"], ["--du"], ["--only", "0"], ["--only", "0", "-l"], ["--only", H], [f"/{H}/nothing"],
           ["--engine", "oci", "-lR"], ["--at", H], ["--type", H], ["--match", H]],
    "cat": [[f"/nothing{H}"], [f"/{H}"], [f"/a{H}"], [f"/loop{H}"]],
    "changes": [[], ["--all"], ["--layer", H], [f"/{H}"]],
    "log": [[f"/{H}/x"], [f"/a{H}"], [f"/nothing{H}"]],
    "blame": [["-l"], [f"/{H}"], [f"/nothing{H}"]],
    "diff": [["{}"], ["{}", "--stat"], ["{}", "-f", "markdown"], ["{}", "--patch", f"/{H}/x", "-f", "markdown"],
             ["{}", "--only", H], ["{}", f"/nothing{H}"]],
    "waste": [[], ["--digests"]],
    "hidden": [[], ["--secrets"], ["--all"]],
    "verify": [[], ["-v"]],
    "lint": [[], ["--all"], ["--ignore", H]],
    "export": [["-o", f"/nowhere/{H}"], ["--mtime", H, "-o", "/dev/null"], ["-v", "-o", "/dev/null"]],
    "index": [["-o", "/dev/null"], ["-o", f"/nowhere/{H}"], ["--platform", H, "-o", "/dev/null"]],
    "containers": [[], ["-v"]],
    "check": [["--policy", H], *(["--policy", str(TESTDATA / "shop-policy.toml"), "-f", f] for f in REPORTS)],
    "extract": [["{dest}", "-v"], ["{dest}", "-v"], ["/nowhere/x"], ["{dest}", f"/nothing{H}"]],
}  # fmt: skip


def seen(text: str) -> set[str]:
    """What could drive a terminal, or hide or reorder what it shows; by the Unicode database, not by our table."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in HIDDEN} - {"\n"}


def all_runs(work: Path, dest: Path) -> Iterator[tuple[list[str], Ran]]:
    for archive in ARCHIVES:
        for command, questions in QUESTIONS.items():
            for number, more in enumerate(questions):
                places = {"{}": str(work / "old.tar"), "{dest}": str(dest / f"{archive}{number // 2}")}
                words = [places.get(word, word) for word in more]
                yield [command, archive, *more], run(command, work / archive, *words)
    for more in (["ls"], ["ls", "-l"]):
        yield ["tarsplit", *more], run("tarsplit", *more, work / "split.json")
    for name in ("wrong.json", "broken.tar", "nowhere"):
        yield ["tarsplit", "verify"], run("tarsplit", "verify", work / name, "--layer", work / "layer.tar")
    yield ["tarsplit", "asm"], run("tarsplit", "asm", "--input", work / "wrong.json", "--layer", work / "layer.tar")
    for word in (f"#{H}", f"#@{H}", "#sha256:\x1b"):
        yield ["ls", word], run("ls", f"{work / 'docker.tar'}{word}")
    yield ["ls", "--platform"], run("ls", work / "oci.tar", "--platform", H)
    yield ["ls", "--limit"], run("ls", work / "docker.tar", "--limit", H)
    yield ["ls", "entries"], run("ls", work / "docker.tar", "--limit", "entries=1")
    yield ["-option"], run("ls", work / "docker.tar", f"--{H}")
    yield ["ls", "--format"], run("ls", work / "docker.tar", "--format", H)


def test_no_text_drives_the_terminal(work: Path, tmp_path: Path) -> None:
    codes = set()
    for words, ran in all_runs(work, tmp_path):
        codes.add(ran.code)
        assert "internal error" not in ran.stderr, (words, ran.stderr)
        assert seen(ran.stderr) == set(), (words, ran.stderr)
        tabs = {"\t"} if "--patch" in words else set()  # a tab of a file is a tab in its diff
        assert seen(ran.stdout.decode()) <= tabs, words
        assert ran.code in (0, 1) or ran.stderr.startswith("tarlayers: "), words
    assert codes == {0, 1, 2, 3}


def test_every_command_is_asked() -> None:
    assert QUESTIONS.keys() | {"tarsplit", "cache"} == COMMANDS.keys()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@pytest.mark.parametrize(
    ("words", "exact"),
    [
        (["inspect"], [H, f"{H}:{H}", f"{H}={H}"]),
        (["layers"], [f"RUN {H}0"]),
        (["history"], [f"RUN {H}0"]),
        (["ls", "-R"], [f"/{H}/x", f"../{H}", "/bad\\xff\x1b"]),
        (["changes"], [f"/{H}/x", f"RUN {H}1"]),
        (["blame"], [f"/{H}/x"]),
        (["waste"], [f"/{H}/secret.env"]),
        (["hidden"], [f"/{H}/secret.env", f"RUN {H}0"]),
    ],
)
def test_json_has_every_string_exactly(work: Path, words: list[str], exact: list[str]) -> None:
    ran = run(words[0], work / "docker.tar", *words[1:], "-f", "json")
    assert not {c for c in ran.stdout.decode() if unicodedata.category(c) == "Cc"} - {"\n"}
    found = set(strings(json.loads(ran.stdout)))
    assert set(exact) <= found, [text for text in exact if text not in found]


# DerivedCoreProperties.txt of Unicode, Default_Ignorable_Code_Point.
IGNORABLE = """
    00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8
    1BCA0-1BCA3 1D173-1D17A E0000-E0FFF
"""


def test_what_is_shown_as_nothing_is_shown_by_its_number() -> None:
    for word in IGNORABLE.split():
        first, _, last = word.partition("-")
        for code in range(int(first, 16), int(last or first, 16) + 1):
            number = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            assert escape_text(f"a{chr(code)}b") == f"a{number}b"
            assert escape_texts(["a", chr(code)]) == ["a", number]


@pytest.mark.parametrize("command", ["[error]", "[add-path]/x", "vso[task.setvariable variable=x]y", "teamcity[x"])
def test_no_text_is_a_command_of_a_ci_runner(command: str, tmp_path: Path) -> None:
    name = f"a ##{command}"
    assert escape_text(f"{name}###{command}") == f"a #\\x23{command}##\\x23{command}"
    (tmp_path / "app.tar").write_bytes(pack(docker_20([image(layer(file(name)), names=("x:1",))])))
    (tmp_path / "p.toml").write_text('forbid_paths = ["**"]')
    for words in (["ls"], ["blame"], ["check", "-f", "text", "--policy", str(tmp_path / "p.toml")], ["cat"]):
        ran = run(words[0], tmp_path / "app.tar", *words[1:], *(["/" + name + "2"] if words == ["cat"] else []))
        assert "##" not in ran.stdout.decode() + ran.stderr, words
        assert "#\\x23" in ran.stdout.decode() + ran.stderr, words


def test_other_text_stays() -> None:
    for text in ("plain", "Größe", "日本語", "हिन्दी", "👍", "e\u0301", "a\u00a0b", "\ue000", "## [x]", "#[x]", "##"):
        assert escape_text(text) == text
        assert escape_texts([text, "a"]) == [text, "a"]


def test_tables_on_a_terminal_keep_cells_as_they_are() -> None:
    """Cells are escaped before; markup of rich in them means nothing."""
    assert "[bold]x[/bold]" in render_table(["A"], [["[bold]x[/bold]"]], terminal=True, color=False)
