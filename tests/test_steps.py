"""Build steps as every table shows them."""

from __future__ import annotations

import pytest

from tarlayers.render.escape import escape_markdown, quote_markdown
from tarlayers.render.steps import brief_step

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ('/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'),
        ("/bin/sh -c #(nop) ADD file:" + SHA + " in / ", "ADD file:0123456789ab in /"),
        ("/bin/sh -c apt-get update", "apt-get update"),
        ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
        ("COPY . /srv # buildkit", "COPY . /srv"),
        ("RUN |1 A=b /bin/sh -c make # buildkit", "RUN |1 A=b /bin/sh -c make"),
        ("sh -c echo /bin/sh -c x", "sh -c echo /bin/sh -c x"),
        ("/bin/sh -c", "/bin/sh -c"),
        ("/bin/sh -c #(nop)", "#(nop)"),
        ("echo " + SHA + "0", "echo " + SHA + "0"),
        ("a\n\t b", "a b"),
        ("\x1b[31m", "\\x1b[31m"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_builders_put_around_an_instruction_is_left_out(step: str | None, shown: str) -> None:
    assert brief_step(step) == shown


def test_a_long_step_is_cut_after_its_frame_is_gone() -> None:
    assert brief_step("/bin/sh -c " + "x" * 12, 12) == "x" * 12
    assert brief_step("/bin/sh -c " + "x" * 13, 12) == "x" * 11 + "…"


@pytest.mark.parametrize(
    ("text", "code", "plain"),
    [
        ("/a/b-c_d.py", "`/a/b-c_d.py`", "/a/b-c\\_d.py"),
        ("a | b", r"`a \| b`", r"a \| b"),
        ("<b>@you #1", "`<b>@you #1`", r"\<b\>@<!-- -->you #1"),
        ("a`b|", r"a\`b\|", r"a\`b\|"),
        ("a\\|b", r"a\\\|b", r"a\\\|b"),
        ("\n# x", r"\\x0a# x", r"\\x0a# x"),
        ("# x", "`# x`", r"\# x"),
        (" x ", " x ", " x "),
        ("", "", ""),
    ],
)
def test_markdown_is_escaped_where_it_has_to_be(text: str, code: str, plain: str) -> None:
    assert (quote_markdown(text), escape_markdown(text)) == (code, plain)
