"""What a code means: its section of the documentation, which is part of every installation."""

from __future__ import annotations

import re
from pathlib import Path

_PAGES = {"P": ("policy.md",), "L": ("lint.md",), "V": ("findings.md", "findings-data-roots.md", "tar-split.md")}
_HEADING = re.compile(r"^#{2,4} ([PLV]\d{3})\b", re.MULTILINE)


def explain_code(code: str) -> str | None:
    """Give the section about a code, None for a code that there is not."""
    text = "\n".join(_read_page(page) for page in _PAGES.get(code[:1], ()))
    headings = list(_HEADING.finditer(text))
    for heading in headings:
        if heading[1] == code:
            end = re.compile(r"^#{1,4} ", re.MULTILINE).search(text, heading.end())
            return text[heading.start() : end.start() if end else None].lstrip("# ").strip()
    return None


def _read_page(name: str) -> str:
    """The wheel carries the pages inside the package, a checkout beside it."""
    package = Path(__file__).parent.parent
    for folder in (package / "docs", package.parent / "docs"):
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    return ""
