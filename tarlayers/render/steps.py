"""Build steps as people read them: without what builders put around every instruction, on one line."""

from __future__ import annotations

import re

from tarlayers.render.escape import escape_text

_WIDE = 72  # characters of an instruction in a table
# What builders put before and after an instruction says nothing and takes a third of the column: docker's builder
# and buildah write `/bin/sh -c #(nop) CMD x` and `/bin/sh -c make`, BuildKit `CMD x # buildkit` and
# `RUN /bin/sh -c make # buildkit`.
_FRAME = re.compile(r"(?:/bin/sh -c (?:#\(nop\) )?|(RUN )/bin/sh -c )?(.+?)(?: # buildkit)?", re.DOTALL)
# A digest that stands for what was copied is as good with twelve digits, and where it went comes into view.
_DIGEST = re.compile(r"(?<![0-9a-f])([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])")


def brief_step(step: str | None, width: int = _WIDE) -> str:
    """A build step without its frame and with short digests, cut with an ellipsis; control characters escaped."""
    framed = _FRAME.fullmatch(" ".join((step or "").split()))
    text = (framed[1] or "") + framed[2] if framed else ""
    return cut_line(_DIGEST.sub(r"\1", text), width)


def cut_line(text: str | None, width: int = _WIDE) -> str:
    """Any text on one line, cut with an ellipsis; control characters escaped."""
    line = escape_text(" ".join((text or "").split()))
    return line if len(line) <= width else line[: width - 1] + "…"
