"""Text from an archive made safe for where it is printed.

Nothing that an archive holds may drive a terminal, or what reads the log of a job: control characters, escape
sequences, line breaks, characters that reorder or hide text, and commands of CI runners are shown by their numbers.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Sequence

# C0 and C1 controls, line and paragraph separators, bidi controls, surrogates (bytes that are not UTF-8), annotations,
# and all that Unicode calls default ignorable: what is shown as nothing. Joiners and variation selectors of emoji and
# Indic text are among it: a name that looks like another is worse than one that looks odd.
# Compiled when something is found to be unsafe: for most commands that is never, and it takes a millisecond.
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
    # `##[error]`, `##vso[task.setvariable]`, `##teamcity[...]`: runners of CI obey these wherever in a line they stand.
    r"|(?<=#)#(?=[A-Za-z.]*\[)"
)
_SURROGATE = re.compile("[\udc80-\udcff]")
# Inside of a line; at its start also what makes a heading or a list.
_MARKDOWN = r"([\\`*_\[\]<>|~&]|^[#+=-])"


def escape_text(text: str) -> str:
    r"""Show what is unsafe on a terminal as `\xNN` or `\uNNNN`, which shells read between `$'` and `'`; the rest stays.

    `\xff` is a byte that is not UTF-8, `\u00ff` would be the character.
    """
    # Some of what hides is printable for Python, but nothing in ASCII.
    plain = text.isascii() and text.isprintable() and "##" not in text
    return text if plain else re.sub(_UNSAFE, _number, text)


def escape_texts(texts: Sequence[str]) -> Sequence[str]:
    """The same for many texts, of which few or none need it: they are tested together."""
    together = "".join(texts)
    return texts if escape_text(together) == together else [*map(escape_text, texts)]


def _number(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_path(path: str) -> str:
    r"""A name for JSON: bytes that are not UTF-8 become `\xNN`, everything else is exact."""
    if path.isascii():
        return path
    return _SURROGATE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", path)


def raw_base64(path: str) -> str | None:
    """The exact bytes of a name that is not UTF-8, in base64; None where the name is text."""
    if path.isascii() or not _SURROGATE.search(path):
        return None
    return spell_base64(path)


def spell_base64(path: str) -> str:
    """The exact bytes of a name in base64."""
    return b2a_base64(path.encode("utf-8", "surrogateescape"), newline=False).decode()


def escape_markdown(text: str) -> str:
    """Text for a line or a table's cell of markdown, on one line. A name after an @ is nobody who has to be told."""
    return re.sub(_MARKDOWN, r"\\\1", escape_text(text)).replace("@", "@<!-- -->")


def quote_markdown(text: str) -> str:
    """The same as code, which is never taken for a link, a mention or an issue; escaped text where it holds what
    would end the code or the cell.
    """
    safe = escape_text(text)
    if not safe or safe != safe.strip() or "`" in safe or "\\" in safe:
        return escape_markdown(text)
    code = safe.replace("|", r"\|")
    return f"`{code}`"
