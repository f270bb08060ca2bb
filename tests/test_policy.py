"""Policies: how they are read, and what each rule says of images built for it."""

from __future__ import annotations

import io
import tomllib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.analysis.policy.evaluation import check_image, plan_reading
from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.verdict import RuleResult
from tarlayers.analysis.waste import measure_waste
from tarlayers.errors import MalformedPolicy
from tarlayers.formats.dive_rules import DIVE_KINDS, parse_dive_rules
from tarlayers.formats.policy import EXPIRED, KINDS, find_policy, parse_policy
from tarlayers.formats.sizes import parse_size
from tarlayers.formats.toml_lines import locate_keys
from tarlayers.opening import open_images
from tests.build import archive, directory, file, image, layer, opaque, symlink, tar, whiteout
from tests.paths import ROOT

TODAY = date(2026, 6, 1)
KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEowIBAAKCAQEAx\n" * 20 + b"-----END RSA PRIVATE KEY-----\n"


def gather(
    *layers: bytes, baseline: tuple[bytes, ...] | None = None, flavour: str = "oci-gzip", **more: Any
) -> Evidence:
    archived = open_images(io.BytesIO(archive(flavour, image(*layers, **more))), keep=True)
    old = gather(*baseline) if baseline is not None else None
    return Evidence(archived.images[0], archived, baseline=old)


def judge(rules: str, *layers: bytes, today: date = TODAY, **more: Any) -> RuleResult:
    """Ask a policy of one rule of an image."""
    policy = parse_policy(rules.encode(), "policy.toml")
    [result] = check_image(policy, gather(*layers, **more), "app.tar", today).results
    return result


def subjects(result: RuleResult) -> list[str]:
    return [hit.subject for hit in result.hits]


# -- reading -----------------------------------------------------------------------------------------

DOCUMENT = '''# a comment with [brackets] = "and quotes"
max_size = "20MB" # line 2
forbid_paths = [
  "*.pem", # ] =
  "a]b",
]

[tool.tarlayers]
"a\\u0062" = {x = 1}
'q.z'.y = 3.5
[[r.s]]
paths = ["a"]
ignore = [{globs=["x"], reason="y", until=2026-01-01}]
[[r.s]]
[r.s.sub]
k = """
a = 1
"""
m = \'\'\'
[no]\'\'\'
last = [[1, 2], [3]]
'''

LINES = {
    ("max_size",): 2,
    ("forbid_paths",): 3,
    ("forbid_paths", 0): 4,
    ("forbid_paths", 1): 5,
    ("tool", "tarlayers"): 8,
    ("tool", "tarlayers", "ab"): 9,
    ("tool", "tarlayers", "ab", "x"): 9,
    ("tool", "tarlayers", "q.z", "y"): 10,
    ("r", "s"): 11,
    ("r", "s", 0): 11,
    ("r", "s", 0, "paths"): 12,
    ("r", "s", 0, "ignore", 0, "globs"): 13,
    ("r", "s", 0, "ignore", 0, "until"): 13,
    ("r", "s", 1): 14,
    ("r", "s", 1, "sub"): 15,
    ("r", "s", 1, "sub", "k"): 16,
    ("r", "s", 1, "sub", "m"): 19,
    ("r", "s", 1, "sub", "last"): 21,
}


def test_keys_are_found_on_their_lines() -> None:
    tomllib.loads(DOCUMENT)
    for text in (DOCUMENT, DOCUMENT.replace("\n", "\r\n")):
        found = locate_keys(text)
        assert {path: found.get(path) for path in LINES} == LINES
    assert ("a",) not in found and ("no",) not in found


PIECES = st.sampled_from(
    [
        'a = "x"',
        "b.c = 'y'",
        "[t]",
        "[t.u]",
        "[[v]]",
        '"k k" = """\n] = [\n"""',
        "d = [1,\n 2]",
        "e = {f = [{}]}",
        "# x",
        "",
        "g = '''\n'''",
        "h = 1.5 # =",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_every_key_of_a_valid_document_is_found(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = locate_keys(text)
    lines = text.split("\n")

    def visit(value: object, path: tuple[str | int, ...]) -> None:
        if path:
            line = lines[found[path] - 1]
            key = next(key for key in reversed(path) if isinstance(key, str))
            assert key in line or isinstance(path[-1], int)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in children:
            visit(inner, (*path, key))

    visit(document, ())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20MB", 20_000_000),
        ("20 mb", 20_000_000),
        ("1.5GiB", 3 << 29),
        ("512k", 512_000),
        ("2Ki", 2048),
        ("1,000", 1000),
        ("4096", 4096),
        ("0", 0),
        ("1B", 1),
        ("5.836 kib", 5976),
        ("20XB", None),
        ("-1MB", None),
        ("MB", None),
        ("", None),
        ("1e3", None),
        ("9" * 99, None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


WRONG = [
    ('max_sise = "1MB"', 1, "no such rule (did you mean max_size?)"),
    ('max_size = "1MB"\nzzz = 1', 2, "no such rule (there are max_size"),
    ('max_size = "many"', 1, "no size"),
    ("max_size = -1", 1, "not negative"),
    ("max_size = true", 1, "expected a number"),
    ("max_size = 1.5", 1, "whole number"),
    ("max_size = inf", 1, "not negative"),
    ("max_size = 9223372036854775808", 1, "more than 64 bits"),
    (f"\nmax_growth_percent = 1{'0' * 400}", 2, "more than 64 bits"),
    ("min_efficiency = 1.01", 1, "ratio from 0 to 1"),
    ("max_growth_percent = nan", 1, "not negative"),
    ('max_layers = "3"', 1, "not '3'"),
    ("[max_layers]\nlimit = 3\nmost = 4", 3, "no such key (there are limit, ignore)"),
    ("[max_layers]\nignore = []", 1, "limit is missing"),
    ('forbid_paths = "*.pem"', 1, "expected an array"),
    ('forbid_paths = [\n"*.pem",\n""]', 3, "expected a text"),
    ("forbid_hidden = true", 1, "expected an array"),
    ('forbid_hidden = "any"', 1, "expected an array or \"secrets\", not 'any'"),
    ('forbid_setuid = "no"', 1, "expected an array"),
    ('[forbid_env]\nnames = ["X"]\nignore = [\n {globs = ["X"]}]', 4, "reason is missing"),
    ('[[lint.ignore]]\nglobs = ["X"]\nreason = "r"\n[lint]\n', 1, "severity is missing"),
    ('[lint]\nseverity = "note"\n[[lint.ignore]]\nglobs = ["X"]\nreason = "r"\nuntil = "2026-01-01"', 6, "a date such"),
    ('[lint]\nseverity = "note"\n[[lint.ignore]]\nglobs = []\nreason = "r"\nuntil = 2026-01-01T00:00:00', 6, "a date"),
    ('[[layer_may_not_touch]]\nlayers = "top"\npaths = ["/etc"]', 2, "is no layer"),
    ('[[layer_may_not_touch]]\nlayers = 1', 1, "paths is missing"),
    ('lint = "bad"', 1, "one of error, warning, note"),
    ("lint = 3", 1, "one of error, warning, note"),
    ("max_size = \n", 1, "not TOML"),
    ('max_size = "1MB"\n\nmax_size = "2MB"\n', 3, "not TOML"),
    ("", 1, "the policy has no rule"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_a_wrong_policy_names_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        parse_policy(text.encode(), "p.toml")
    assert caught.value.place == f"p.toml:{line}"
    assert message in caught.value.reason


def test_a_policy_that_is_no_text() -> None:
    with pytest.raises(MalformedPolicy, match=r"p\.toml:2: not UTF-8"):
        parse_policy(b"max_layers = 3\n# \xff\n", "p.toml")


@pytest.mark.parametrize("text", [b"a = " + b"[" * 5000, b"max_layers = " + b"1" * 5000], ids=["deep", "long"])
def test_a_policy_that_is_too_much_for_the_parser(text: bytes) -> None:
    with pytest.raises(MalformedPolicy, match=r"p\.toml: nested too deep, or a number of too many digits"):
        parse_policy(text, "p.toml")


def test_a_policy_inside_another_file() -> None:
    text = b'[project]\nname = "x"\n[tool.tarlayers]\nmax_layers = 3\n[tool.tarlayers.forbid_paths]\npaths = ["a"]\n'
    policy = find_policy(text, "pyproject.toml", ("tool", "tarlayers"))
    assert policy is not None
    assert [(rule.kind.name, rule.line) for rule in policy.rules] == [("max_layers", 4), ("forbid_paths", 5)]
    assert find_policy(b"[tool.other]\n", "pyproject.toml", ("tool", "tarlayers")) is None


def test_every_rule_is_documented() -> None:
    page = (ROOT / "docs/policy.md").read_text()
    kinds = [*KINDS.values(), *DIVE_KINDS.values()]
    assert len({kind.code for kind in kinds} | {EXPIRED}) == len(kinds) + 1
    for kind in kinds:
        assert f"\n### {kind.code} {kind.name}\n" in page
    assert f"\n### {EXPIRED} " in page


def test_every_example_of_the_documentation_is_a_policy() -> None:
    page = (ROOT / "docs/policy.md").read_text()
    examples = [part.partition("```")[0] for part in page.split("```toml\n")[1:]]
    assert len(examples) > 20
    for text in examples:
        if not text.startswith("ignore"):
            assert parse_policy(text.encode(), "example").rules


# -- dive's file -------------------------------------------------------------------------------------

DEFAULTS = [0.9, None, 0.1]

DIVE_FILES = [
    ("rules:\n lowestEfficiency: .9\n highestWastedBytes: 20MB\n highestUserWastedPercent: .2", [0.9, 2 * 10**7, 0.2]),
    ("---\n# c\nrules: # d\n    LOWESTefficiency: '0.5' # e\n    highestWastedBytes: \"5 KiB\"\n", [0.5, 5120, 0.1]),
    ("rules: {lowestEfficiency: 0.5, highestUserWastedPercent: disabled}\n", [0.5, None, None]),
    ("rules:\n  lowestEfficiency: disabled\n  highestUserWastedPercent:\n", [None, None, 0.1]),
    ("rules:\r\n  highestWastedBytes: 5836\r\n", [0.9, 5836, 0.1]),
    ("rules:\n", DEFAULTS),
    ("", DEFAULTS),
]  # fmt: skip


@pytest.mark.parametrize(("text", "settings"), DIVE_FILES)
def test_dive_files(text: str, settings: list[float | None]) -> None:
    assert [rule.setting for rule in parse_dive_rules(text.encode(), ".dive-ci").rules] == settings


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rules:\n  lowestEficiency: 0.9\n", 2),
        ("rules:\n  lowestEfficiency: 1.5\n", 2),
        ("rules:\n  lowestEfficiency: off\n", 2),
        ("rules:\n  lowestEfficiency: nan\n", 2),
        ("rules:\n  highestWastedBytes: much\n", 2),
        ("rules:\n  lowestEfficiency: 0.9\n  lowestefficiency: 0.8\n", 3),
        ("rules:\n  lowestEfficiency: 0.9\n    highestWastedBytes: 1\n", 3),
        ("lowestEfficiency: 0.9\n", 1),
        ("  lowestEfficiency: 0.9\n", 1),
        ("rules:\n  - lowestEfficiency: 0.9\n", 2),
        ("rules:\n  lowestEfficiency: &x 0.9\n", 2),
        ("rules:\n  lowestEfficiency: >\n    0.9\n", 2),
        ("rules: [1]\n", 1),
        ("rules:\n  lowestEfficiency: '0.9\n", 2),
    ],
)
def test_a_dive_file_is_not_guessed_at(text: str, line: int) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        parse_dive_rules(text.encode(), ".dive-ci")
    assert caught.value.place == f".dive-ci:{line}"


def judge_dive(text: str, *layers: bytes) -> list[tuple[str, float | None]]:
    verdict = check_image(parse_dive_rules(text.encode(), ".dive-ci"), gather(*layers), "app.tar", TODAY)
    return [(result.status, result.value) for result in verdict.results]


def test_dive_rules_are_strict_comparisons() -> None:
    layers = layer(file("a", b"x" * 100)), layer(file("a", b"x" * 100), file("b", b"y" * 100))
    at = "rules: {lowestEfficiency: 0.6666666666666666, highestWastedBytes: 200, highestUserWastedPercent: 1}"
    assert judge_dive(at, *layers) == [("pass", 2 / 3), ("pass", 200), ("pass", 1.0)]
    beyond = "rules: {lowestEfficiency: 0.66667, highestWastedBytes: 199, highestUserWastedPercent: 0.99}"
    assert [status for status, _ in judge_dive(beyond, *layers)] == ["fail", "fail", "fail"]


def test_dive_divides_by_zero() -> None:
    percent = "rules: {lowestEfficiency: disabled, highestUserWastedPercent: 1}"
    assert judge_dive(percent, layer(file("a", b"x")))[2] == ("pass", None)
    wasted = layer(file("d/a", b"x" * 9), directory("e")), layer(whiteout("d/a"))
    assert judge_dive(percent, *wasted)[2] == ("fail", None)


# -- sizes -------------------------------------------------------------------------------------------

BASE = layer(directory("etc"), file("etc/passwd", b"root" * 10), file("big", b"b" * 1000), file("gone", b"g" * 500))
TOP = layer(whiteout("gone"), file("etc/passwd", b"user" * 20))


@pytest.mark.parametrize(
    ("rule", "value"),
    [("max_size", 1620), ("max_layers", 2), ("max_layer_size", 1540), ("max_wasted_bytes", 540)],
)
def test_a_limit_itself_is_allowed(rule: str, value: int) -> None:
    result = judge(f"{rule} = {value}", BASE, TOP)
    assert (result.status, result.value) == ("pass", value)
    assert judge(f"{rule} = {value - 1}", BASE, TOP).status == "fail"


def test_efficiency_is_that_of_waste() -> None:
    evidence = gather(BASE, TOP)
    waste = measure_waste(evidence.image)
    result = judge("min_efficiency = 0.7", BASE, TOP)
    assert (result.status, result.value) == ("fail", waste.efficiency)
    assert judge(f"min_efficiency = {waste.efficiency}", BASE, TOP).status == "pass"
    assert judge("min_efficiency = 1", layer(directory("d"))).value == 1


@pytest.mark.parametrize("flavour", ["oci-gzip", "docker-20"])  # which links the second to the first
def test_stored_size_counts_a_blob_once(flavour: str) -> None:
    once = judge("max_stored_size = 0", BASE, flavour=flavour).value
    twice = judge("max_stored_size = 0", BASE, BASE, flavour=flavour).value
    assert once is not None and once == twice


def test_growth_is_held_against_the_baseline() -> None:
    old = (BASE,)
    assert judge("max_growth = 80", BASE, TOP, baseline=old).status == "pass"
    result = judge("max_growth = 79", BASE, TOP, baseline=old)
    assert (result.status, result.value) == ("fail", 80)
    assert [(share.subject, share.bytes, share.layer) for share in result.shares] == [("step 1", 80, 1)]
    percent = judge("max_growth_percent = 5", BASE, TOP, baseline=old)
    assert (percent.status, percent.value) == ("fail", pytest.approx(100 * 80 / 1540))
    assert percent.shares == result.shares
    assert judge("max_growth_percent = 5.2", BASE, TOP, baseline=old).status == "pass"
    assert judge("max_growth = 0", BASE, baseline=(BASE, TOP)).value == -80
    assert judge("max_growth = 1", BASE).status == "skip"
    assert judge("max_growth_percent = 1", BASE, baseline=(layer(directory("d")),)).status == "skip"


@pytest.mark.parametrize(
    ("rule", "glob", "value"),
    [
        ("max_size = {limit = 0", "/big", 620),
        ("max_wasted_bytes = {limit = 0", "gone", 40),
        ("max_layers = {limit = 0", "step 1", 1),
        ("max_layer_size = {limit = 0", "step 0", 80),
        ("min_efficiency = {limit = 1", "/etc/**", 1000 / 1500),
    ],
)
def test_what_is_excepted_is_not_counted(rule: str, glob: str, value: float) -> None:
    assert judge(f'{rule}, ignore = [{{globs = ["{glob}"], reason = "r"}}]}}', BASE, TOP).value == value


def test_the_largest_shares_are_told() -> None:
    result = judge("max_wasted_bytes = 1", BASE, TOP)
    assert [(share.subject, share.bytes, share.layer) for share in result.shares] == [
        ("/gone", 500, 0),
        ("/etc/passwd", 40, 0),
    ]


# -- files -------------------------------------------------------------------------------------------


def test_paths() -> None:
    tree = layer(directory("etc"), file("etc/a.pem"), symlink("b.pem", "x"), file("etc/deep/c.key"), file("old.pem"))
    top = layer(whiteout("old.pem"))
    result = judge('forbid_paths = ["*.pem", "/etc/**/c.key"]', tree, top)
    assert subjects(result) == ["/b.pem", "/etc/a.pem", "/etc/deep/c.key"]
    assert judge('forbid_paths = ["/pem"]', tree, top).status == "pass"
    required = judge('require_paths = ["/etc/*.pem", "old.pem", "/nope"]', tree, top)
    assert subjects(required) == ["old.pem", "/nope"]


def test_hidden_files_and_secrets() -> None:
    layers = (
        layer(file("root/id", KEY), file("x", b"1"), file("srv/key", KEY)),
        layer(whiteout("root/id"), whiteout("x")),
    )
    assert subjects(judge('forbid_hidden = ["x", "/srv/**"]', *layers)) == ["/x"]
    token = {"Env": ["T=ghp_" + "a1B2" * 9]}
    secret = judge('forbid_hidden = "secrets"', *layers, run=token)
    assert (
        subjects(secret) == ["/root/id"] and "hidden by layer 1" in secret.hits[0].message and secret.hits[0].layer == 0
    )
    both = judge('forbid_hidden = {paths = ["x"], secrets = true}', *layers)
    assert subjects(both) == ["/root/id", "/x"]
    everything = judge("forbid_secrets = true", *layers, run=token)
    assert {"/root/id", "/srv/key"} < set(subjects(everything))
    assert [hit.subject for hit in everything.hits if hit.layer is None] == ["env T"]
    assert "a1B2a1B2a1B2" not in str(everything)
    assert judge("forbid_secrets = false", *layers).status == "skip"


def test_setuid() -> None:
    tree = layer(
        file("usr/bin/su", mode=0o4755),
        file("bin/wall", mode=0o2755),
        file("a", mode=0o755),
        directory("d", mode=0o2775),
    )
    assert subjects(judge("forbid_setuid = true", tree)) == ["/bin/wall", "/usr/bin/su"]
    assert subjects(judge('forbid_setuid = ["/usr/bin/*"]', tree)) == ["/bin/wall"]
    assert judge('forbid_setuid = {allow = ["su", "wall"]}', tree).status == "pass"
    assert judge("forbid_setuid = false", tree).status == "skip"
    assert subjects(judge("forbid_setuid = {}", tree, layer(whiteout("usr/bin/su")))) == ["/bin/wall"]


TOUCHING = (
    layer(directory("etc"), file("etc/a", b"1"), file("etc/b", b"2"), directory("usr/lib")),
    layer(directory("etc"), file("etc/a", b"1"), directory("usr"), directory("usr/lib"), file("usr/lib/x", b"3")),
    layer(whiteout("etc/b"), directory("usr", mode=0o700), opaque("usr/lib")),
)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        # etc stands in layer 1 only for the sake of etc/a, which is written again.
        ('layers = "1:", paths = ["/etc", "/etc/**"]', [("/etc/a", 1), ("/etc/b", 2)]),
        ('layers = 0, paths = ["/etc/*"]', [("/etc/a", 0), ("/etc/b", 0)]),
        ('layers = -1, paths = ["/usr/**"]', [("/usr/lib/x", 2)]),
        ('layers = -1, paths = ["usr"]', [("/usr", 2)]),  # another mode
        ('layers = 7, paths = ["**"]', []),
        ('layers = "5:", paths = ["**"]', []),
        ('instruction = "*1", paths = ["x"]', [("/usr/lib/x", 1)]),
        ('instruction = "step*", layers = ":-1", paths = ["x"]', [("/usr/lib/x", 1)]),
        ('paths = ["x"]', [("/usr/lib/x", 1), ("/usr/lib/x", 2)]),
    ],
)
def test_what_layers_may_not_touch(rule: str, found: list[tuple[str, int]]) -> None:
    result = judge(f"layer_may_not_touch = {{{rule}}}", *TOUCHING)
    assert [(hit.subject, hit.layer) for hit in result.hits] == found


def test_a_layer_is_named_by_its_digest() -> None:
    diff_id = str(gather(*TOUCHING).image.layers[1].diff_id)
    for name in (diff_id, diff_id.removeprefix("sha256:")[:12]):
        assert subjects(judge(f'layer_may_not_touch = {{layers = "{name}", paths = ["x"]}}', *TOUCHING)) == [
            "/usr/lib/x"
        ]


# -- configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "rule", "status"),
    [
        (None, '["root"]', "fail"),
        ("", '["root"]', "fail"),
        ("0", '["root"]', "fail"),
        ("00:0", "true", "fail"),
        ("+0", "true", "fail"),
        ("-00:app", "true", "fail"),
        ("0" * 5000, "true", "fail"),
        ("+", "true", "pass"),
        ("-7", '["7"]', "pass"),
        ("+7", '["7"]', "fail"),
        ("root:app", '["0"]', "fail"),
        ("root", '[""]', "fail"),
        ("app", '["root"]', "pass"),
        ("1000:0", '["root"]', "pass"),
        ("1000", '["01000"]', "fail"),
        ("app:root", '["nobody", "app"]', "fail"),
        (None, "false", "skip"),
    ],
)
def test_users(user: str | None, rule: str, status: str) -> None:
    run = {} if user is None else {"User": user}
    assert judge(f"forbid_users = {rule}", TOP, run=run).status == status


def test_labels() -> None:
    run = {"Labels": {"a.source": "https://x/y", "b": ""}}
    assert judge('require_labels = ["a.*", "b", "a.source=https://*"]', TOP, run=run).status == "pass"
    result = judge('require_labels = ["c", "b=?*", "a.source=http:*"]', TOP, run=run)
    assert [(hit.subject, hit.message) for hit in result.hits] == [
        ("c", "is not there"),
        ("b", "is '', not ?*"),
        ("a.source", "is 'https://x/y', not http:*"),
    ]
    assert judge('require_labels = ["c"]', TOP).status == "fail"


def test_variables() -> None:
    run = {"Env": ["PATH=/bin", "API_TOKEN=hunter2", "DEBUG=0", "EMPTY"]}
    result = judge('forbid_env = ["*_TOKEN", "DEBUG=1", "EMPTY"]', TOP, run=run)
    assert subjects(result) == ["API_TOKEN", "EMPTY"]
    assert "hunter2" not in str(result)


def test_a_bare_layer_has_no_configuration() -> None:
    archived = open_images(io.BytesIO(tar([file("a", b"1")])))
    policy = parse_policy(b'forbid_users = true\nforbid_env = ["X"]\nrequire_labels = ["x"]\nmax_size = 1', "p")
    verdict = check_image(policy, Evidence(archived.images[0], archived), "a.tar", TODAY)
    assert [result.status for result in verdict.results] == ["skip", "skip", "skip", "pass"]
    assert verdict.ok


# -- findings ----------------------------------------------------------------------------------------


def test_lint_and_verify() -> None:
    odd = layer(file("a"), whiteout("a"), file("su", mode=0o4755)), layer(whiteout("nothing"))
    severities = {name: judge(f'lint = "{name}"', *odd) for name in ("error", "warning", "note")}
    assert len(severities["error"].hits) <= len(severities["warning"].hits) < len(severities["note"].hits)
    assert any("L070" in hit.message for hit in severities["note"].hits)
    allowed = judge('lint = {severity = "note", ignore = [{globs = ["L*"], reason = "r"}]}', *odd)
    assert allowed.status == "pass" and len(allowed.allowed) == len(severities["note"].hits)
    assert judge('verify = "note"', BASE).status == "pass"
    wrong = judge('verify = "error"', BASE, rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})
    assert wrong.status == "fail" and "V003" in wrong.hits[0].message


# -- exceptions --------------------------------------------------------------------------------------

EXCEPTION = 'forbid_paths = {{paths = ["*"], ignore = [{{globs = ["a", "/d/**"], reason = "r"{until}}}]}}'


def test_an_exception_allows_until_its_last_day() -> None:
    tree = layer(file("a"), directory("d"), file("d/x"), file("b"))
    result = judge(EXCEPTION.format(until=""), tree)
    assert (subjects(result), [hit.subject for hit in result.allowed]) == (["/b", "/d"], ["/a", "/d/x"])
    only = layer(file("a"))
    assert judge(EXCEPTION.format(until=", until = 2026-06-01"), only).status == "pass"
    expired = judge(EXCEPTION.format(until=", until = 2026-05-31"), only)
    assert (expired.status, subjects(expired), len(expired.expired)) == ("fail", ["/a"], 1)


def test_an_expired_exception_fails_even_what_needs_none() -> None:
    result = judge('max_layers = {limit = 9, ignore = [{globs = ["x"], reason = "r", until = 2020-01-01}]}', BASE)
    assert result.status == "fail" and not result.over and not result.hits


# -- what is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "reading"),
    [
        ('forbid_users = true\nmax_layers = 1\nrequire_labels = ["x"]', (False, False, False, False)),
        ("max_size = 1", (True, False, False, False)),
        ('verify = "error"', (False, True, False, False)),
        ('forbid_hidden = ["x"]', (True, False, False, False)),
        ('forbid_hidden = "secrets"', (True, False, True, False)),
        ("forbid_secrets = true", (True, False, True, False)),
        ("forbid_secrets = false\nmax_layers = 1", (False, False, False, False)),
        ("max_growth = 1", (True, False, False, True)),
    ],
)
def test_only_what_rules_need_is_read(rules: str, reading: tuple[bool, ...]) -> None:
    policy = parse_policy(rules.encode(), "p")
    assert tuple(plan_reading(policy)) == reading
