"""What looks like a secret and what does not, where it is looked for, and that no value is ever shown whole."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import tarlayers
from tarlayers.analysis.secrets import Secret, find_secrets
from tarlayers.errors import ContentAbsent
from tarlayers.formats.secrets import (
    CONTENT_RULES,
    NAME_RULES,
    SCAN_BYTES,
    choose_rules,
    is_scanned,
    mask_text,
    mask_value,
    match_content,
    match_name,
    match_text,
)
from tarlayers.image import Image
from tarlayers.render import hidden as render
from tarlayers.shipped import trace_files
from tests.build import archive, file, image, layer, whiteout
from tests.paths import ROOT

# Assembled, so that no scanner takes this file for a leak.
KEY = b"-----BEGIN " + b"RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nc2VjcmV0c2VjcmV0\n-----END RSA PRIVATE KEY-----\n"
AWS_ID = "AKIA" + "Z7Q4PL2MXW3B5TRY"
GITHUB = "ghp_" + "x9Kd82mQ" * 5
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dBjftJeZ4CVPmB92K27uhbUJU1p1r"

NAMES = {
    "/root/.ssh/id_rsa": "ssh-private-key",
    "/home/u/.ssh/id_ed25519": "ssh-private-key",
    "/etc/ssh/ssh_host_ed25519_key": "ssh-private-key",
    "/app/.env": "env-file",
    "/app/.env.production": "env-file",
    "/app/prod.env": "env-file",
    "/root/.netrc": "netrc",
    "/src/.git/HEAD": "git-repository",
    "/src/.git/objects/ab/cdef": "git-repository",
    "/root/.git-credentials": "git-credentials",
    "/root/.bash_history": "shell-history",
    "/root/.docker/config.json": "registry-login",
    "/root/.kube/config": "kube-config",
    "/root/.aws/credentials": "cloud-login",
    "/root/.config/gcloud/application_default_credentials.json": "cloud-login",
    "/root/.pypirc": "package-login",
    "/root/.pgpass": "database-login",
    "/root/.vault-token": "token-file",
    "/infra/terraform.tfstate": "terraform-state",
    "/run/secrets/token": "mounted-secret",
    "/var/run/secrets/kubernetes.io/serviceaccount/token": "mounted-secret",
    "/root/.gnupg/private-keys-v1.d/0A.key": "gnupg-keys",
    "/opt/server.p12": "keystore",
    "/srv/.htpasswd": "password-file",
    "/app/config/secrets.yml": "secret-file",
    "/app/credentials.json": "secret-file",
}
HARMLESS_NAMES = [
    "/root/.ssh/id_rsa.pub",
    "/root/.ssh/authorized_keys",
    "/etc/ssh/ssh_host_rsa_key.pub",
    "/app/.env.example",
    "/usr/bin/env",
    "/etc/environment",
    "/app/.gitignore",
    "/app/.github/workflows/ci.yml",
    "/app/git/config",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/share/ca-certificates/mozilla/X.crt",
    "/etc/docker/config.json",
    "/app/config.json",
    "/app/credentials.py",
    "/usr/lib/python3/secrets.py",
    "/usr/lib/python3/netrc.py",
    "/app/config",
]

CONTENTS: dict[str, tuple[bytes, str]] = {
    "a key in a file of any name": (b"# mine\n" + KEY, "private-key"),
    "an encrypted key": (
        KEY.replace(b"-----\nMIIE", b"-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\nMIIE"),
        "private-key",
    ),
    "a key in JSON": (b'{"private_key": "' + KEY.replace(b"\n", b"\\n") + b'"}', "private-key"),
    "a key with DOS line ends": (KEY.replace(b"\n", b"\r\n"), "private-key"),
    "an AWS access key": (f"id = {AWS_ID}\n".encode(), "aws-access-key"),
    "an AWS secret key": (b"AWS_SECRET_ACCESS_KEY=" + b"wJalrXUtnFEMIK7MDENGbPxRfiCYqwertyuiop12", "aws-secret-key"),
    "a GitHub token": (f"token: {GITHUB}".encode(), "github-token"),
    "a GitLab token": (b"glpat-" + b"Zk3m8Qp1Vw7Yt5Rb2Xc9", "gitlab-token"),
    "a Slack token": (b"xoxb-" + b"123456789012-abcdefABCDEF", "slack-token"),
    "a Google API key": (b"AIza" + b"SyD3x7Kq9Lm2Np5Rt8Vw1Zb4Cf6Hj0Gk3s1", "google-api-key"),
    "a JSON web token": (f"jwt={JWT}".encode(), "json-web-token"),
    "a key for a model": (b"sk-ant-" + b"api03-abcdefghij0123456789", "model-api-key"),
}
HARMLESS_CONTENTS: dict[str, bytes] = {
    "a certificate": KEY.replace(b"RSA PRIVATE KEY", b"CERTIFICATE"),
    "a public key": KEY.replace(b"RSA PRIVATE KEY", b"PUBLIC KEY"),
    "a program that reads keys": b'if line == "-----BEGIN ' + b'RSA PRIVATE KEY-----":\n    read()\n',
    "a key of nothing but X": b"-----BEGIN " + b"PRIVATE KEY-----\nXXXX\nXXXX\n-----END PRIVATE KEY-----",
    "a key of nothing but X in a string": b'"-----BEGIN ' + b"PRIVATE KEY-----\\nXXXX\\nXXXX\\n-----END",
    "a header alone": b"-----BEGIN " + b"PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "AKIA inside base64": b"xxAKIA" + b"Z7Q4PL2MXW3B5TRYxx",
    "a token's prefix": b"tokens start with ghp_ or gho_",
    "a URL with a password, outside configuration": b"see http://user:password@host/",
    "a test of strings": b"npm_config_registry npm_package_name hf_hub SG.example",
}

TEXTS = {
    "POSTGRES_PASSWORD=hunter22": "secret-variable",
    "DB_PASSWD=x1y2z3": "secret-variable",
    "SECRET_KEY_BASE=0a1b2c3d": "secret-variable",
    "API_KEY=abcdef": "secret-variable",
    "RUN |1 NPM_TOKEN=abcdef123456 /bin/sh -c npm ci": "secret-variable",
    "RUN /bin/sh -c export password=hunter22 && make": "secret-variable",
    "RUN /bin/sh -c login --token abcdefgh": "password-option",
    "RUN curl -H 'Authorization: Bearer abcdefghijkl' https://x": "authorization-header",
    "DATABASE_URL=postgres://app:s3cret@db/app": "url-password",
    f"RUN echo {AWS_ID} > /key": "aws-access-key",
    f"GH={GITHUB}": "github-token",
}
HARMLESS_TEXTS = [
    "PATH=/usr/local/sbin:/usr/bin",
    "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568",
    "POSTGRES_PASSWORD_FILE=/run/secrets/pg",
    "POSTGRES_PASSWORD=",
    "PASSWORD=$PASSWORD",
    "RUN --mount=type=secret,id=npmrc npm ci",
    "TOKEN=true",
    "TOKENIZERS_PARALLELISM=false",
    "KEYBOARD=us",
    "COPY id_rsa.pub /etc/",
    "CMD [\"server\" \"--token-file\" \"/x\"]",
    "LANG=C.UTF-8",
    "RUN curl https://example.org/a@b",
]  # fmt: skip


@pytest.mark.parametrize("path", NAMES)
def test_names(path: str) -> None:
    assert [match.rule for match in match_name(path)] == [NAMES[path]]


@pytest.mark.parametrize("path", HARMLESS_NAMES)
def test_harmless_names(path: str) -> None:
    assert list(match_name(path)) == []


@pytest.mark.parametrize("case", CONTENTS)
def test_contents(case: str) -> None:
    content, rule = CONTENTS[case]
    (match,) = match_content("/srv/data", content)
    assert match.rule == rule
    assert not match.fixture


@pytest.mark.parametrize("case", HARMLESS_CONTENTS)
def test_harmless_contents(case: str) -> None:
    assert list(match_content("/srv/data", HARMLESS_CONTENTS[case])) == []


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert [match.rule for match in match_text(text)] == [TEXTS[text]]
    assert mask_text(text) != text


def test_more_values_than_are_masked_one_by_one() -> None:
    words = [f"PASSWORD=abcdef{i:07d}" for i in range(129)]
    assert mask_text(" ".join(["RUN", *words[:128]])) == " ".join(["RUN", *["PASSWORD=abc…(13)"] * 128])
    assert mask_text(" ".join(["RUN", *words, *words])) == f"RUN …({4 + 23 * 258 - 1})"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_step_is_masked_once_for_all_that_it_hides(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(render, "mask_text", lambda text: texts.append(text) or f"masked {text}")
    steps = [{"created_by": "one"}, {"created_by": "two"}]
    lower, upper = ([each(f"{i}") for i in range(9)] for each in (file, whiteout))
    data = archive("docker-25", image(layer(*lower), layer(*upper), history=steps))
    hidden = tarlayers.list_hidden(tarlayers.open_image(io.BytesIO(data)))
    if as_json:
        rows = list(render.hidden_document(hidden, [], (), None)["hidden"])
        assert {(row["created_by"], row["hidden_by_step"]) for row in rows} == {("masked one", "masked two")}
    else:
        assert {cells[-1] for cells in map(render.row_teller(masked=True), hidden)} == {"1 masked two"}
    assert len(texts) == len(set(texts))


MASKED = {
    # Of a variable all is the value, of a step that sets some what stands before the next, of a command a word.
    "DB_PASSWORD=correct horse battery staple": "DB_PASSWORD=corr…(28)",
    "DB_PASSWORD=a&b;'c\nd": "DB_PASSWORD=a&…(8)",
    "com.example.db-password=a b c": "com.example.db-password=a…(5)",
    "ENV A=1 DB_PASSWORD=correct horse; battery B=2": "ENV A=1 DB_PASSWORD=corr…(22) B=2",
    "/bin/sh -c #(nop)  ENV DB_PASSWORD=a b c d": "/bin/sh -c #(nop)  ENV DB_PASSWORD=a…(7)",
    'ENV DB_PASSWORD="correct horse" B="2"': 'ENV DB_PASSWORD="cor…(13)" B="2"',
    'RUN export DB_PASSWORD="correct horse battery" && make': 'RUN export DB_PASSWORD="corr…(21)" && make',
    "RUN DB_PASSWORD='abc;Sup3rS3cret99' make": "RUN DB_PASSWORD='abc;…(17)' make",
    "RUN TOKEN='abc'def\"g h\" make": "RUN TOKEN='ab…(13) make",
    "RUN TOKEN=abc\\ def\\;ghi; make": "RUN TOKEN=abc…(13); make",
    'RUN TOKEN="with \\" quotes" make': 'RUN TOKEN="wit…(14)" make',
    'RUN TOKEN="without an end': 'RUN TOKEN="wit…(14)',
    'CMD ["sh" "-c" "TOKEN=abcdef", "--port=80"]': 'CMD ["sh" "-c" "TOKEN=a…(6)", "--port=80"]',
    'RUN sh -c "TOKEN=abcdef; make"': 'RUN sh -c "TOKEN=a…(6); make"',
    "RUN sh -c 'TOKEN=\"a b c d\" make'": "RUN sh -c 'TOKEN=\"a…(7)\" make'",
    'RUN login --password "a b c d" x': 'RUN login --password "a…(7)" x',
    "RUN login --token='abc def'; y": "RUN login --token='a…(7)'; y",
}


@pytest.mark.parametrize("text", MASKED)
def test_a_mask_goes_to_the_end_of_the_value(text: str) -> None:
    assert mask_text(text) == MASKED[text]
    assert [match.matches for match in match_text(text)] == [1]


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_harmless_texts(text: str) -> None:
    assert list(match_text(text)) == []
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("between", "found"),
    [
        (b"A: x\r\n" * 16 + b"\r\n", 1),
        (b"A: x\r\n" * 17 + b"\r\n", 0),
        (b"A: " + b"x" * 256 + b"\n", 1),
        (b"A: " + b"x" * 257 + b"\n", 0),
        (b"A" * 64 + b": x\n", 1),
        (b"A" * 65 + b": x\n", 0),
        (b" " * 256, 1),
        (b" " * 257, 0),
    ],
)
def test_what_may_stand_before_the_body_of_a_key(between: bytes, found: int) -> None:
    """Without bounds a megabyte of headers would be read as often as keys begin in it."""
    content = KEY.replace(b"-----\nMIIE", b"-----\n" + between + b"MIIE")
    assert len(list(match_content("/x", content))) == found


def test_where_in_a_file_and_how_often() -> None:
    (match,) = match_content("/x", b"a\nb\n" + f"{AWS_ID}\n{AWS_ID}\n".encode())
    assert (match.line, match.matches, match.masked) == (3, 2, "AKIA…(20)")


@pytest.mark.parametrize(
    ("path", "content", "fixture"),
    [
        ("/usr/lib/node_modules/x/test/key.pem", KEY, True),
        ("/usr/share/doc/x/README", KEY, True),
        ("/etc/ssl/private/key.pem", KEY, False),
        ("/etc/latest/key.pem", KEY, False),
        ("/etc/x", b"AKIA" + b"IOSFODNN7EXAMPLE", True),
    ],
)
def test_what_is_likely_an_example(path: str, content: bytes, fixture: bool) -> None:
    assert [match.fixture for match in match_content(path, content)] == [fixture]


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("db.password = hunter22", "hu…(8)"),
        ("export API_KEY='abcdefgh'", "ab…(8)"),
        ("  token=abcdefgh1234", "abc…(12)"),
        ("# password = hunter22", None),
        ("password = ${PASSWORD}", None),
        ("password_file = /run/x", None),
        ("passwd: files", None),
        ("token = true", None),
    ],
)
def test_settings_named_like_secrets(line: str, masked: str | None) -> None:
    found = [(match.rule, match.masked) for match in match_content("/etc/app.conf", f"[x]\n{line}\n".encode())]
    assert found == ([("secret-setting", masked)] if masked else [])
    assert list(match_content("/app/main.py", line.encode())) == []


def test_a_value_counts_for_the_most_precise_rule() -> None:
    content = f"TOKEN={GITHUB}\nDB_PASSWORD=hunter22\n".encode()
    found = [(match.rule, match.line, match.matches) for match in match_content("/app/.env", content)]
    assert found == [("github-token", 1, 1), ("secret-setting", 2, 1)]


def test_rules_that_hold_for_some_files_only() -> None:
    shadow = b"root:$6$salt$abcdefgh:19000::::::\ndaemon:*:19000::::::\n"
    assert [m.rule for m in match_content("/etc/shadow", shadow)] == ["password-hash"]
    assert list(match_content("/srv/shadow", shadow)) == []
    npmrc = b"//registry.example.org/:_authToken=abcdefgh12345\n"
    assert [m.rule for m in match_content("/root/.npmrc", npmrc)] == ["npm-token"]
    assert [m.rule for m in match_content("/a/.git/config", b"url = https://u:passw0rd@example.org/r.git")] == [
        "url-password"
    ]
    compose = b"environment:\n  DATABASE_URL: postgres://app:passw0rd@db/app\n"
    assert [m.rule for m in match_content("/srv/compose.yaml", compose)] == ["url-password"]
    assert list(match_content("/srv/README", compose)) == []
    tunnel = b"[Interface]\nPrivateKey = " + b"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk" + b"=\n"
    assert [m.rule for m in match_content("/etc/wireguard/wg0.conf", tunnel)] == ["wireguard-key"]


def made_path(glob: str) -> str:
    """A path that a rule is meant for."""
    return glob.replace("**/", "/home/u/").replace("*", "x") if "/" in glob else f"/srv/{glob.replace('*', 'x')}"


def test_no_rule_is_left_out_where_its_literal_is_looked_for_first() -> None:
    for named in NAME_RULES:
        for glob in named.globs:
            assert named.rule in {match.rule for match in match_name(made_path(glob))}, glob
    for rule in CONTENT_RULES:
        for glob in rule.globs or ("README",):
            assert rule in choose_rules(made_path(glob)), glob
    assert [rule for rule in choose_rules("/srv/README") if rule.globs] == []


@pytest.mark.parametrize("length", range(3, 60))
def test_a_mask_shows_a_quarter_at_most(length: int) -> None:
    value = bytes(97 + i % 26 for i in range(length))
    shown = mask_value(value).partition("…")[0]
    assert len(shown) <= min(4, length / 4)
    assert mask_value(value).endswith(f"({length})")


@pytest.mark.parametrize("rule", CONTENT_RULES, ids=lambda rule: rule.rule)
def test_hints_start_with_one_letter(rule: Any) -> None:
    """Two to begin with are looked for at a tenth of the speed."""
    outside = re.sub(rb"\(.*\)", b"", rule.hint.pattern)
    assert b"|" not in outside
    assert re.match(rb"\\?[^\\\[(]", rule.hint.pattern)


@pytest.mark.parametrize("rule", CONTENT_RULES, ids=lambda rule: rule.rule)
def test_hints_stand_in_every_match(rule: Any) -> None:
    """A hint that is not in the pattern would hide a rule: each of the samples that a rule fits has it."""
    samples = [content for content, _ in CONTENTS.values()] + [text.encode() for text in TEXTS]
    for sample in samples:
        assert rule.hint.search(sample) or not rule.pattern.search(sample)


def test_binary_files_are_searched_when_they_are_small() -> None:
    assert is_scanned(10, b"\0" * 10)
    assert is_scanned(1 << 30, b"text " * 2000)
    assert not is_scanned(1 << 20, b"\0" + b"x" * 9000)


# -- images ----------------------------------------------------------------------------------------


def opened(stack: Any, *, flavour: str = "oci-gzip", keep: bool = True) -> Image:
    return tarlayers.open_images(io.BytesIO(archive(flavour, stack)), keep=keep).images[0]


def secrets_of(stack: Image) -> tuple[Secret, ...]:
    return find_secrets(stack, trace_files(stack.layers).files)


LEAK = image(
    layer(file("root/.ssh/id_rsa", KEY), file("app/settings", f"id={AWS_ID}".encode())),
    layer(whiteout("root/.ssh/id_rsa")),
    run={"Env": ["PATH=/bin", "DB_PASSWORD=hunter22"], "Labels": {"build": f"t={GITHUB}"}, "Cmd": ["x", f"--t={JWT}"]},
    history=[
        {"created_by": f"RUN |1 TOKEN=abcdefgh1234 echo {AWS_ID}"},
        {"created_by": "ENV DB_PASSWORD=hunter22", "empty_layer": True},
        {"created_by": "RUN rm /root/.ssh/id_rsa"},
    ],
)


def test_somebody_may_watch_the_bytes_that_are_searched() -> None:
    stack, read = opened(LEAK, flavour="oci-gzip"), []
    assert find_secrets(stack, on_read=read.append) == secrets_of(stack)
    assert sum(read) == stack.layers[0].size  # the other one has markers alone


@pytest.mark.parametrize("flavour", ["docker-20", "docker-25", "oci-gzip", "oci-zstd"])
def test_secrets_of_an_image(flavour: str) -> None:
    found = secrets_of(opened(LEAK, flavour=flavour))
    assert [(s.place, s.rule, s.path or s.name, s.layer, s.hidden_by) for s in found] == [
        ("file", "aws-access-key", "/app/settings", 0, None),
        ("file", "private-key", "/root/.ssh/id_rsa", 0, 1),
        ("file", "ssh-private-key", "/root/.ssh/id_rsa", 0, 1),
        ("env", "secret-variable", "DB_PASSWORD", None, None),
        ("label", "github-token", "build", None, None),
        ("command", "json-web-token", "Cmd", None, None),
        ("history", "aws-access-key", "0", 0, None),
        ("history", "secret-variable", "0", 0, None),
        ("history", "secret-variable", "1", None, None),
    ]


def test_a_stream_that_was_not_kept_cannot_be_searched() -> None:
    with pytest.raises(ContentAbsent):
        secrets_of(opened(LEAK, keep=False))


def test_empty_files_and_what_stands_far_behind_are_not_reported() -> None:
    far = b"x" * SCAN_BYTES + KEY
    found = secrets_of(opened(image(layer(file("run/secrets/empty"), file("far", far), file("near", KEY)))))
    assert [(s.path, s.rule) for s in found] == [("/near", "private-key")]


def test_a_layer_that_comes_twice_is_reported_for_both() -> None:
    same = layer(file("key", KEY))
    found = secrets_of(opened(image(same, same)))
    assert [(s.path, s.layer, s.hidden_by) for s in found] == [("/key", 0, 1), ("/key", 1, None)]


# -- the command -----------------------------------------------------------------------------------

VALUES = [AWS_ID, GITHUB, JWT, "hunter22", "abcdefgh1234", "MIIEpAIBAAKCAQEA7bq"]


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_value_is_printed_whole(output: str, stream: bool, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "leak.tar"
    path.write_bytes(archive("docker-25", LEAK))
    printed = run(
        "hidden", "-" if stream else path, "--secrets", "-f", output, stdin=path.read_bytes() if stream else None
    )
    assert b"DB_PASSWORD" in printed
    assert not [value for value in VALUES if value.encode() in printed]


def test_json_marks_the_hidden_file(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "leak.tar"
    path.write_bytes(archive("docker-25", LEAK))
    document = json.loads(run("hidden", path, "--secrets", "-f", "json"))
    assert document["hidden"][0]["secrets"] == ["private-key", "ssh-private-key"]
    assert document["hidden"][0]["created_by"] == "RUN |1 TOKEN=abc…(12) echo AKIA…(20)"
    assert document["secrets"][1] == {
        "place": "file",
        "rule": "private-key",
        "path": "/root/.ssh/id_rsa",
        "visible": False,
        "hidden_by": 1,
        "offset": 0,
        "layer": 0,
        "line": 1,
        "value": "MIIE…(36)",
        "matches": 1,
        "likely_example": False,
    }


def test_a_repository_is_one_line_of_text(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "git.tar"
    path.write_bytes(archive("docker-25", image(layer(file("a/.git/HEAD", b"x"), file("a/.git/config", b"[core]")))))
    lines = run("hidden", path, "--secrets").decode().splitlines()
    assert [line.split() for line in lines if line.startswith("git-")] == [
        ["git-repository", "/a/.git/", "visible", "0"]
    ]


def test_what_was_asked_for_is_not_below_thousands_of_hidden_files(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "many.tar"
    many = [file(f"d/{number:02}", b"x") for number in range(30)]
    path.write_bytes(archive("docker-25", image(layer(file("root/.netrc", b"x"), *many), layer(whiteout("d")))))
    words = ("hidden", path, "--secrets")
    lines = run(*words).decode().splitlines()
    rows = [line for line in lines if " /d/" in line]
    assert len(rows) == 20
    assert lines[21:25] == [
        "... and 10 more (--top 0 shows all)",
        "",
        "30 hidden files, 30B; read one with cat --only LAYER",
        "",
    ]
    assert lines[-1] == "looks like a secret: 1 in visible files"
    for top, shown in ((0, 30), (5, 5)):
        lines = run(*words, "--top", top).decode().splitlines()
        assert sum(" /d/" in line for line in lines) == shown
    assert len(json.loads(run(*words, "-f", "json"))["hidden"]) == 30
    assert run("hidden", path).count(b" /d/") == 30


def test_the_rules_are_documented() -> None:
    text = (ROOT / "docs" / "hidden.md").read_text()
    documented = set(re.findall(r"^\| `([a-z-]+)`", text, re.MULTILINE))
    rules = {rule.rule for rule in (*NAME_RULES, *CONTENT_RULES)}
    assert documented == rules | {"secret-variable", "password-option", "authorization-header"}
