"""Reports of `check`: each is what its readers read, whatever names an archive holds."""

from __future__ import annotations

import json
from datetime import date
from io import BytesIO
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tarlayers.analysis.policy.evaluation import check_image
from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.formats.policy import parse_policy
from tarlayers.opening import open_images
from tarlayers.render.reports.document import render_json
from tarlayers.render.reports.github import render_github
from tarlayers.render.reports.junit import render_junit
from tarlayers.render.reports.markdown import render_markdown
from tarlayers.render.reports.report import CheckReport
from tarlayers.render.reports.sarif import render_sarif
from tarlayers.render.reports.text import render_text
from tests.build import archive, file, image, layer, whiteout
from tests.paths import TESTDATA

RENDERERS = {
    "text": render_text,
    "json": render_json,
    "markdown": render_markdown,
    "sarif": render_sarif,
    "junit": render_junit,
    "github": render_github,
}

HOSTILE = [
    "::error file=x::y",
    "new\nline",
    "esc\x1b[31m",
    "<b>&]]>",
    "a|b|c",
    "@everyone",
    "100%",
    "`code` **x**",
    "bad\udcff",
    "\u202eflip",
    "\uffff",
    '"quotes"',
    "##[error]x",
]

STEP = "RUN a\n::error::b | <i>"
RULES = """
max_size = 10
max_layers = 9
max_growth = 5
min_efficiency = 0.99
[forbid_paths]
paths = ["**"]
ignore = [
    { globs = ["/allowed"], reason = "so & so" },
    { globs = ["/x"], reason = "was | once", until = 2020-01-01 },
]
[[max_layer_size]]
limit = 1
[[max_layer_size]]
limit = 1000000
"""


def report(
    rules: str = RULES, *, names: list[str] | None = None, run: dict[str, Any] | None = None, step: str = STEP
) -> CheckReport:
    names = HOSTILE if names is None else names
    members = [file(name, b"123") for name in names]
    built = image(
        layer(file("allowed", b"1"), file("gone", b"2" * 50), *members),
        layer(whiteout("gone")),
        names=("example.org/app:<b>",),
        run=run,
        history=[{"created_by": step}, {"created_by": "/bin/sh -c #(nop) COPY x"}],
    )
    archived = open_images(BytesIO(archive("docker-25", built)), keep="secrets" in rules)
    policy = parse_policy(rules.encode(), "ci/policy.toml")
    verdict = check_image(policy, Evidence(archived.images[0], archived), "app.tar", date(2026, 1, 1))
    return CheckReport("ci/policy.toml", "ci/policy.toml", "ci/policy.toml", "1.2.3", (verdict,))


def test_equal_reports_are_equal_bytes() -> None:
    for render in RENDERERS.values():
        assert render(report()) == render(report())


@pytest.mark.parametrize("name", RENDERERS)
def test_no_name_drives_a_terminal(name: str) -> None:
    text = RENDERERS[name](report())
    # JSON gives names as they are, by its own escapes; the rest shows what would hide or turn text around.
    assert not set(text) & set("\x1b\x00\r" + ("" if name == "json" else "\u202e"))
    assert text.endswith("\n")
    text.encode()


@pytest.mark.parametrize("name", RENDERERS)
def test_no_report_tells_a_secret_of_an_instruction(name: str) -> None:
    secret = "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789"
    rules = (
        f"forbid_secrets = true\n{RULES}[forbid_hidden]\npaths = ['**']\n[[layer_may_not_touch]]\npaths = ['/gone']\n"
    )
    told = RENDERERS[name](report(rules, step=f"RUN |1 NPM_TOKEN={secret} npm ci"))
    assert "npm_\u2026(40) npm ci" in told.replace("\\u2026", "\u2026").replace("\\", "")
    assert secret not in told


def test_text() -> None:
    lines = render_text(report(), every=True).splitlines()
    assert lines[0].startswith("fail  P001  max_size        ")
    assert lines[-1] == "app.tar (example.org/app:<b>): 4 of 6 rules violated, 1 skipped"
    assert any(line.startswith("skip  P007  max_growth") for line in lines)
    # A runner takes what follows blanks and two colons for a command.
    named = render_text(report("forbid_env = ['*']", run={"Env": ["::error::x=1", "##[group]y=2"]}))
    assert "::error::x: is set" in named
    assert not [line for line in named.splitlines() if line.lstrip().startswith(("::", "##["))]


def test_json() -> None:
    document = json.loads(render_json(report()))
    assert document["schema"] == "tarlayers.check/1" and document["ok"] is False
    rows = document["rules"]
    assert {"image", "rule", "code", "status", "limit", "value", "message", "paths", "line"} <= rows[0].keys()
    paths = next(row for row in rows if row["rule"] == "forbid_paths")
    assert "/new\nline" in paths["paths"] and "/bad\\xff" in paths["paths"]
    raw = [hit["subject_raw"] for hit in paths["violations"] if "subject_raw" in hit]
    assert raw == ["L2JhZP8="]
    assert [(hit["subject"], hit["reason"]) for hit in paths["allowed"]] == [("/allowed", "so & so")]
    assert [hit["code"] for hit in paths["violations"] if "until" in hit] == ["P090"]
    wasted = next(row for row in rows if row["rule"] == "min_efficiency")
    assert wasted["paths"] == ["/gone"] and wasted["largest"][0]["bytes"] == 50


def test_junit() -> None:
    root = ET.fromstring(render_junit(report()))
    [suite] = root
    counts = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "4", "errors": "0", "skipped": "1"}
    assert counts == {key: suite.get(key) for key in counts}
    names = [case.get("name") for case in suite]
    assert len(set(names)) == 7 and names[-2:] == ["P004 max_layer_size", "P004 max_layer_size 2"]
    failure = next(case.find("failure") for case in suite if case.get("name") == "P010 forbid_paths")
    assert failure is not None and failure.text is not None
    assert "/<b>&]]>: fits **" in failure.text and "\\x1b" in failure.text and "\\uffff" in failure.text


def test_github() -> None:
    lines = render_github(report()).splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert len(commands) == 4 and len(lines) == 5  # a command a rule that failed, and the sum
    paths = next(line for line in commands if "P010" in line)
    head, _, data = paths[2:].partition("::")
    assert head.startswith("error file=ci/policy.toml,line=6,title=P010 forbid_paths%3A ")
    assert data.count("%0A") == 11 and data.endswith("... and 4 more")
    assert "/100%25: fits **" in render_github(report(names=["100%"]))


def test_markdown() -> None:
    text = render_markdown(report())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {4, 6}
    assert "<b>" not in text.replace("\\<b\\>", "") and "@everyone" not in text and "@<!-- -->everyone" in text
    assert text.count("<details>") == text.count("</details>") == 4
    long = render_markdown(report(names=[f"f{i:04}" for i in range(2000)]))
    assert len(long) < 65536 and "more" in long


def test_a_value_beside_its_limit_is_exact() -> None:
    text = render_text(report("max_size = 1000000", names=["x"]))
    assert "54B, at most 1MB" in text
    sizes = render_text(report("max_size = 53\nmin_efficiency = 0.0740740", names=["x"]))
    assert "54B, more than 53B" in sizes and "0.07407407407407407, at least 0.074074" in sizes


# -- SARIF -------------------------------------------------------------------------------------------


def test_sarif() -> None:
    document = json.loads(render_sarif(report()))
    [run] = document["runs"]
    assert (document["version"], run["tool"]["driver"]["version"]) == ("2.1.0", "1.2.3")
    rules = run["tool"]["driver"]["rules"]
    results = run["results"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)
    assert {result["ruleId"] for result in results} == {"P001", "P004", "P006", "P010", "P090"}
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert {place["artifactLocation"]["uri"] for place in places} == {"ci/policy.toml"}
    assert places[0]["region"]["startLine"] == 2
    suppressed = [result for result in results if "suppressions" in result]
    assert [result["suppressions"][0]["justification"] for result in suppressed] == ["so & so"]
    prints = [result["partialFingerprints"]["violation/v1"] for result in results if result["ruleId"] == "P010"]
    assert len(prints) == len(set(prints))


@pytest.mark.parametrize("rules", [RULES, "max_layers = 9", "forbid_users = true\nforbid_env = ['*']"])
def test_sarif_follows_the_published_schema(rules: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((TESTDATA / "schemas/sarif-2.1.0.json").read_bytes())
    validator = jsonschema.Draft4Validator(schema)
    document = json.loads(render_sarif(report(rules)))
    assert list(validator.iter_errors(document)) == []
    del document["runs"][0]["tool"]
    assert list(validator.iter_errors(document)) != []
