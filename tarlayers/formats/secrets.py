"""What credentials look like, by a file's name and by its content: one table, and how it is applied.

A rule is precise before it is complete. Public keys and certificates are no secrets; a private key counts only
with a body behind its header, a token only in its issuer's own form. What stands in a directory of tests or
documentation, or says EXAMPLE, is likely a fixture: it is reported, and marked so. No value is ever given whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from tarlayers.formats.glob import compile_glob, find_literal

SCAN_BYTES = 1 << 20  # of one file; what is longer and holds a key is mostly something else than a key file
SMALL_BYTES = 64 << 10  # a file of this size is searched also when it is not text
_LEAST_BYTES = 3
_MOST_VALUES = 128  # that are masked in one text, each wherever it stands: more would cost the square of the text
_TEXT_BYTES = 8 << 10  # git, too, takes a file with a NUL in its first 8000 bytes for binary


class NameRule(NamedTuple):
    """Files that are credentials, or hold some, by their names alone."""

    rule: str
    meaning: str
    globs: tuple[str, ...]
    unless: tuple[str, ...] = ()


class ContentRule(NamedTuple):
    """A form that only a credential has. The value is the pattern's group, the one that matched, or all of it."""

    rule: str
    meaning: str
    hint: re.Pattern[bytes]
    """Stands in every match and starts with one letter, which is found at 1 GB/s; rules share hints."""
    pattern: re.Pattern[bytes]
    globs: tuple[str, ...] = ()
    """Where it is looked for; empty for every file and text."""


class Match(NamedTuple):
    """One rule that a file or a text fits."""

    rule: str
    line: int | None
    """Of the first match, from 1; None for a name."""
    masked: str | None
    """The first match's value, masked; None for a name."""
    matches: int
    fixture: bool
    """Whether it is likely an example."""


NAME_RULES = (
    NameRule(
        "ssh-private-key", "an SSH identity or host key",
        ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "/etc/ssh/ssh_host_*_key",
         "*.ppk"),
    ),
    NameRule(
        "env-file", "variables of an environment",
        (".env", ".env.*", "*.env"),
        (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults"),
    ),
    NameRule("netrc", "machine logins", (".netrc", "_netrc")),
    NameRule("git-repository", "a git repository: its history holds what was deleted", ("**/.git/**",)),
    NameRule("git-credentials", "git's stored passwords", (".git-credentials", "**/git/credentials")),
    NameRule(
        "shell-history", "typed commands",
        (".bash_history", ".zsh_history", ".ash_history", ".sh_history", ".history", "fish_history", ".python_history",
         ".node_repl_history", ".mysql_history", ".psql_history", ".sqlite_history", ".rediscli_history", ".dbshell"),
    ),
    NameRule(
        "registry-login", "logins of container registries",
        ("**/.docker/config.json", ".dockercfg", ".dockerconfigjson", "**/containers/auth.json"),
    ),
    NameRule(
        "kube-config", "access to a Kubernetes cluster",
        ("**/.kube/config", "kubeconfig", "*.kubeconfig", "/etc/kubernetes/*.conf"),
    ),
    NameRule(
        "cloud-login", "logins of cloud command lines",
        ("**/.aws/credentials", "**/.aws/sso/cache/*.json", "**/gcloud/application_default_credentials.json",
         "**/gcloud/credentials.db", "**/gcloud/access_tokens.db", "**/.azure/accessTokens.json",
         "**/.azure/msal_token_cache.json", ".s3cfg", ".boto", "rclone.conf", "**/doctl/config.yaml", "**/.oci/config"),
    ),
    NameRule(
        "package-login", "logins of package registries",
        (".pypirc", "**/.cargo/credentials", "**/.cargo/credentials.toml", "**/.gem/credentials",
         "**/.composer/auth.json"),
    ),
    NameRule("database-login", "database passwords", (".pgpass", ".mylogin.cnf")),
    NameRule(
        "token-file", "a stored token",
        (".vault-token", "**/gh/hosts.yml", "**/.terraform.d/credentials.tfrc.json", ".terraformrc"),
    ),
    NameRule("terraform-state", "state of Terraform, secrets included", ("*.tfstate", "*.tfstate.backup", "*.tfvars")),
    NameRule("mounted-secret", "a secret that was mounted for a build", ("/run/secrets/**", "/var/run/secrets/**")),
    NameRule("gnupg-keys", "private keys of GnuPG", ("**/.gnupg/secring.gpg", "**/.gnupg/private-keys-v1.d/*")),
    NameRule("keystore", "a container of keys", ("*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx")),
    NameRule(
        "secret-file", "a file that says so",
        ("secret.yml", "secret.yaml", "secret.json", "secret.toml", "secret.txt", "secrets.yml", "secrets.yaml",
         "secrets.json", "secrets.toml", "secrets.txt", "credentials.yml", "credentials.yaml", "credentials.json",
         "credentials.csv", "credentials.txt", "password.txt", "passwords.txt", "master.key"),
    ),
    NameRule("password-file", "password hashes of a web server", (".htpasswd",)),
)  # fmt: skip

_CONFIGURATION = (
    ".env", ".env.*", "*.env", "**/.git/config", ".gitconfig", ".git-credentials", "pip.conf", "*.properties", "*.ini",
    "*.cfg", "*.conf", "sources.list", "*.list", "*.yml", "*.yaml", "*.toml",
)  # fmt: skip

_A = re.compile(rb"A(?:KIA|SIA|Iza|GE-SECRET|ccountKey=)")
_G = re.compile(rb"g(?:h[pousr]_|ithub_pat_|lpat-)")
_H = re.compile(rb"h(?:f_|v[sbr]\.|ooks\.slack)")
_K = re.compile(rb"k(?:_live_|-ant-|-proj-|-svcacct-)")
_P = re.compile(rb"p(?:m_|ypi-AgE)")
_AWS = re.compile(rb"_[sS][eE][cCsS][rRsS]")

CONTENT_RULES = (
    ContentRule(
        "private-key", "a private key", re.compile(rb"PRIVATE KEY"),
        # Each repetition fits in one way alone, and is bounded: what follows one BEGIN may hold thousands more.
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\r?\\?n)"
            rb"(?:[A-Za-z-]{1,64}: [^\n]{0,256}\n){0,16}\s{0,256}"
            rb"([A-Za-z0-9+/=]{4}(?:[A-Za-z0-9+/=\s]|\\n)*)"
        ),
    ),
    ContentRule(
        "aws-access-key", "an AWS access key", _A,
        re.compile(rb"(?<![A-Za-z0-9/+])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9/+])"),
    ),
    ContentRule(
        "aws-secret-key", "an AWS secret key", _AWS,
        re.compile(rb"(?i:aws_secret_(?:access_)?key|aws_session_token)[\"']?\s{0,4}[:=]\s{0,4}[\"']?([A-Za-z0-9/+=]{40,})"),
    ),
    ContentRule(
        "github-token", "a GitHub token", _G,
        re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36,}"),
    ),
    ContentRule("github-token", "a GitHub token", _G, re.compile(rb"\bgithub_pat_[A-Za-z0-9_]{40,}")),
    ContentRule("gitlab-token", "a GitLab token", _G, re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}")),
    ContentRule(
        "slack-token", "a Slack token", re.compile(rb"xox"), re.compile(rb"\bxox[abeoprs]-[0-9]+-[A-Za-z0-9-]{10,}")
    ),
    ContentRule(
        "slack-webhook", "a Slack webhook", _H,
        re.compile(rb"https://hooks\.slack\.com/services/(T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{16,})"),
    ),
    ContentRule(
        "google-api-key", "a Google API key", _A, re.compile(rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")
    ),
    ContentRule("stripe-key", "a live key of Stripe", _K, re.compile(rb"\b[sr]k_live_[A-Za-z0-9]{16,}")),
    ContentRule(
        "model-api-key", "a key for a language model", _K,
        re.compile(rb"\bsk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}"),
    ),
    ContentRule("hugging-face-token", "a Hugging Face token", _H, re.compile(rb"\bhf_[A-Za-z]{34}\b")),
    ContentRule("npm-token", "an npm token", _P, re.compile(rb"\bnpm_[A-Za-z0-9]{36}\b")),
    ContentRule(
        "npm-token", "an npm token", re.compile(rb"_auth"),
        re.compile(rb"(?m)^[^\s#;]*:?_auth(?:Token)?\s*=\s*[\"']?([^\s\"'$]{8,})"), (".npmrc", "npmrc"),
    ),
    ContentRule("pypi-token", "a PyPI token", _P, re.compile(rb"\bpypi-AgE[A-Za-z0-9_-]{50,}")),
    ContentRule(
        "vault-token", "a token of Vault", _H, re.compile(rb"\bhv[sbr]\.[A-Za-z0-9_-]{24,}")
    ),
    ContentRule(
        "digitalocean-token", "a DigitalOcean token", re.compile(rb"_v1_"), re.compile(rb"\bdo[opr]_v1_[a-f0-9]{64}\b")
    ),
    ContentRule(
        "sendgrid-key", "a SendGrid key", re.compile(rb"SG\."),
        re.compile(rb"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
    ),
    ContentRule("age-key", "a secret key of age", _A, re.compile(rb"AGE-SECRET-KEY-1[A-Z0-9]{58}")),
    ContentRule(
        "azure-key", "a key of an Azure account", _A, re.compile(rb"AccountKey=([A-Za-z0-9+/]{86}==)")
    ),
    ContentRule(
        "json-web-token", "a signed JSON web token", re.compile(rb"\.eyJ"),
        re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    ),
    ContentRule(
        "url-password", "a password in a URL", re.compile(rb"://"),
        re.compile(rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>$]*:([^\s/@\"'<>{}$*]{3,})@[A-Za-z0-9.-]"), _CONFIGURATION,
    ),
    ContentRule(
        "secret-setting", "a setting that is named like a secret", re.compile(rb"="),
        re.compile(
            rb"(?im)^[ \t]*(?:export[ \t]+)?[a-z0-9_.-]{0,60}"
            rb"(?:password|passwd|passphrase|secret|token|api_?key|access_?key)"
            rb"[ \t]*=[ \t]*[\"']?([^\s\"'$<{(%/][^\s\"']{3,})"
        ),
        (".env", ".env.*", "*.env", "*.properties", "*.ini", "*.cfg", "*.conf", ".my.cnf", "my.cnf"),
    ),
    ContentRule(
        "password-hash", "a password hash of a system account", re.compile(rb":\$"),
        re.compile(rb"(?m)^[^:\n]+:(\$(?:y|gy|7|6|5|1|2[abxy])\$[^:\n]+)"),
        ("/etc/shadow", "/etc/shadow-", "/etc/gshadow"),
    ),
    ContentRule(
        "wireguard-key", "a private key of WireGuard", re.compile(rb"PrivateKey"),
        re.compile(rb"(?m)^[ \t]*PrivateKey[ \t]*=[ \t]*([A-Za-z0-9+/]{43}=)"), ("*.conf", "*.netdev"),
    ),
    ContentRule(
        "maven-password", "a password of Maven", re.compile(rb"<password>"),
        re.compile(rb"<password>([^<$]{3,})</password>"), ("**/.m2/settings.xml",),
    ),
)  # fmt: skip

_SECRET_NAME = (
    rb"(?:[a-z0-9_]{0,80}_)?(?:password|passwd|passphrase|secret|token|api_?key|access_?key|secret_?key|"
    rb"private_?key|credentials?)(?:_[a-z0-9_]{0,80})?(?<!_file)(?<!_path)(?<!_dir)(?<!_id)(?<!_url)="
)
_NO_REFERENCE = rb"(?![\"']?[$<(/])"  # to another variable or a file
# Where a quoted value ends, a word does, or the text; what goes on behind the quote is of the same word.
_QUOTED = (
    rb"\"((?:[^\"\\]|\\.)++)(?:\"(?![^\s\"');|&\]},:])|\Z)|"
    rb"'([^']++)(?:'(?![^\s\"');|&\]},:])|\Z)|"
)
# A word of a shell: quotes in it hide blanks and what else would end it. A quote with nothing behind it that a word
# would have is the end of what the word stands in. CPython before 3.11.5 is wrong about possessive groups that look
# ahead (gh-106052), and atomic ones cost 200 bytes for each turn of a loop: no word has so many quotes.
_WORD = (
    rb"((?>(?:(?:[^\s\"';|&\\]|\\.)++|\"(?![\s\"');|&\]},:]|\Z)(?:[^\"\\]|\\.)*+\"?|"
    rb"'(?![\s\"');|&\]},:]|\Z)[^']*+'?){1,65536}))"
)
_NEXT_SETTING = rb"\s[a-z_][a-z0-9_.-]*="


def _variable_rule(pattern: bytes) -> ContentRule:
    compiled = re.compile(b"(?is)" + pattern)
    return ContentRule("secret-variable", "a variable that is named like a secret", re.compile(rb"="), compiled)


# In instructions and variables there is no file name to go by, but every one was written by hand.
_TOKEN_RULES = tuple(rule for rule in CONTENT_RULES if not rule.globs or rule.rule == "url-password")
_COMMAND_RULES = (
    ContentRule(
        "password-option", "a password on a command line", re.compile(rb"-"),
        re.compile(
            rb"(?is)(?<!\S)--?(?-i:password|passwd|token|secret|api-key|auth-token)[= ](?!-)" + _NO_REFERENCE
            + rb"(?:" + _QUOTED + _WORD + rb")"
        ),
    ),
    ContentRule(
        "authorization-header", "an HTTP login", re.compile(rb"uthorization:"),
        re.compile(rb"[Aa]uthorization:\s*(?:[Bb]earer|[Bb]asic|[Tt]oken)\s+([^\s\"'$]{8,})"),
    ),
)  # fmt: skip
# Of a variable or label alone the value is all behind its name. In a build step that sets some it goes on to the next
# of them: builders leave its quotes out. Elsewhere, as in a command, it is a word of a shell.
_SETTING = re.compile(rb"(?i)\A(?:[a-z0-9_.-]{0,200}[.-])?" + _SECRET_NAME)
_STEP = re.compile(rb"(?:/bin/sh -c #\(nop\)\s+)?(?:ENV|ARG|LABEL)\s")
_WHOLE_VALUE = _variable_rule(_SETTING.pattern[4:] + _NO_REFERENCE + rb"(.+)")
_STEP_VALUE = _variable_rule(
    rb"(?<![a-z0-9_])" + _SECRET_NAME + _NO_REFERENCE
    + rb"(?:" + _QUOTED + rb"(?!" + _NEXT_SETTING + rb")(.+?)(?=" + _NEXT_SETTING + rb"|\Z))"
)  # fmt: skip
_WORD_VALUE = _variable_rule(rb"(?<![a-z0-9_])" + _SECRET_NAME + _NO_REFERENCE + rb"(?:" + _QUOTED + _WORD + rb")")

_FIXTURES = frozenset(
    ("test", "tests", "testing", "testdata", "test-data", "testsuite", "spec", "fixtures", "__fixtures__", "example",
     "examples", "sample", "samples", "doc", "docs", "demo", "demos")
)  # fmt: skip
_LINE_ENDS = re.compile(rb"\\n|\s")
_HARMLESS = frozenset((b"true", b"false", b"none", b"null", b"yes"))


def _index_rules() -> tuple[dict[str, list[NameRule]], list[tuple[str, NameRule]]]:
    """Split the table by the globs' last component: plain names to look up, and patterns to try on paths that have
    their longest literal in them: to look for it costs an eighth of trying.
    """
    by_base: dict[str, list[NameRule]] = {}
    by_literal: list[tuple[str, NameRule]] = []
    for rule in NAME_RULES:
        for glob in rule.globs:
            alone = rule._replace(globs=(glob,))
            if "*" in glob.rpartition("/")[2]:
                by_literal.append((find_literal(glob), alone))
            else:
                by_base.setdefault(glob.rpartition("/")[2], []).append(alone)
    return by_base, by_literal


def _index_globs() -> tuple[str, ...]:
    """Give texts of which each path has one that any rule for contents is meant for alone."""
    literals = {find_literal(glob) for rule in CONTENT_RULES for glob in rule.globs}
    return tuple(one for one in literals if not any(other in one for other in literals - {one}))


_BY_BASE, _BY_LITERAL = _index_rules()
_EVERYWHERE = tuple(rule for rule in CONTENT_RULES if not rule.globs)
_SOMEWHERE = _index_globs()


@lru_cache(maxsize=256)
def _compile(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{compile_glob(glob).pattern})" for glob in globs))


def _fits(path: str, globs: tuple[str, ...]) -> bool:
    return bool(globs) and _compile(globs).fullmatch(path) is not None


def match_name(path: str) -> Iterator[Match]:
    """Yield the rules that an absolute path fits, each once."""
    base = path.rpartition("/")[2]
    candidates = [*_BY_BASE.get(base, ()), *[rule for literal, rule in _BY_LITERAL if literal in path]]
    fitting = {rule.rule for rule in candidates if _fits(path, rule.globs) and not _fits(path, rule.unless)}
    for rule in sorted(fitting):
        yield Match(rule, None, None, 1, is_fixture(path))


def is_scanned(size: int, head: bytes) -> bool:
    """Say whether a file of this size that starts like this is searched: text, and what is small."""
    return size <= SMALL_BYTES or b"\0" not in head[:_TEXT_BYTES]


def match_content(path: str, content: bytes) -> Iterator[Match]:
    """Yield the rules that a file's content fits, each once; a value counts for the first rule that it fits."""
    seen: set[bytes] = set()
    for rule, values in _search(content, choose_rules(path)):
        found = [(start, value) for start, value in values if value not in seen]
        seen.update(value for _, value in found)
        if found:
            start, value = found[0]
            line = content.count(b"\n", 0, start) + 1
            fixture = is_fixture(path) or b"EXAMPLE" in value
            yield Match(rule.rule, line, mask_value(value), len(found), fixture)


def choose_rules(path: str) -> Sequence[ContentRule]:
    """Give the rules that are meant for the contents of a path, in their order."""
    if not any(literal in path for literal in _SOMEWHERE):
        return _EVERYWHERE
    return [rule for rule in CONTENT_RULES if not rule.globs or _fits(path, rule.globs)]


def _choose_text_rules(raw: bytes) -> Sequence[ContentRule]:
    """Give the rules for a variable, a build step or a command."""
    whole, step = _SETTING.match(raw), _STEP.match(raw)
    return (*_TOKEN_RULES, _WHOLE_VALUE if whole else _STEP_VALUE if step else _WORD_VALUE, *_COMMAND_RULES)


def match_text(text: str) -> Iterator[Match]:
    """Yield what a variable (`NAME=value`) or an instruction holds, each rule once."""
    raw = text.encode("utf-8", "surrogateescape")
    seen: set[bytes] = set()
    for rule, values in _search(raw, _choose_text_rules(raw)):
        found = [value for _, value in values if value not in seen]
        seen.update(found)
        if found:
            yield Match(rule.rule, None, mask_value(found[0]), len(found), b"EXAMPLE" in found[0])


def mask_text(text: str) -> str:
    """Give a text with every value that looks like a secret masked; one of more than 128 values is masked whole."""
    raw = text.encode("utf-8", "surrogateescape")
    values = {value for _, found in _search(raw, _choose_text_rules(raw)) for _, value in found}
    if len(values) > _MOST_VALUES:
        return mask_value(raw)
    # The longest first: one value may be a part of another.
    for value in sorted(values, key=len, reverse=True):
        raw = raw.replace(value, mask_value(value).encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def _search(content: bytes, rules: Iterable[ContentRule]) -> Iterator[tuple[ContentRule, list[tuple[int, bytes]]]]:
    """Yield each rule with where its matches start and what their values are."""
    hinted: dict[re.Pattern[bytes], bool] = {}
    for rule in rules:
        if rule.hint not in hinted:
            hinted[rule.hint] = rule.hint.search(content) is not None
        if hinted[rule.hint]:
            found = [(match.start(), match[match.lastindex or 0]) for match in rule.pattern.finditer(content)]
            yield rule, [(start, value) for start, value in found if not _is_harmless(value)]


def _is_harmless(value: bytes) -> bool:
    """Say whether a value is too short, or stands for another: `true`, `XXXX`."""
    return len(value) < _LEAST_BYTES or value.lower() in _HARMLESS or len(set(_LINE_ENDS.sub(b"", value))) == 1


def mask_value(value: bytes) -> str:
    """Show at most the first four characters, never more than a quarter, and the length."""
    text = value.decode("utf-8", "surrogateescape").strip()
    return f"{text[: min(4, len(text) // 4)]}…({len(text)})"


def is_fixture(path: str) -> bool:
    """Say whether a path looks like a test's or an example's."""
    return not _FIXTURES.isdisjoint(path.split("/"))
