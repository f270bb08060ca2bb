"""What a code means: its section of the documentation, which is part of every installation."""

from __future__ import annotations

import re
from pathlib import Path

_PAGES = {"P": ("policy.md",), "L": ("lint.md",), "V": ("findings.md", "findings-data-roots.md", "tar-split.md")}
_HEADING = re.compile(r"^#{2,4} ([PLV]\d{3})\b ?(.*)$", re.MULTILINE)
_NEXT = re.compile(r"^#{1,4} ", re.MULTILINE)


def explain_code(code: str) -> str | None:
    """Give the section about a code, or about the rule of a policy that is called so; None where there is none."""
    pages = _PAGES.get(code[:1].upper(), ()) if code[1:].isdigit() else _PAGES["P"]
    for text in map(_read_page, pages):
        for heading in _HEADING.finditer(text):
            if code.upper() == heading[1] or code == heading[2]:
                end = _NEXT.search(text, heading.end())
                return text[heading.start() : end.start() if end else None].lstrip("# ").strip()
    return None


def list_rules() -> list[str]:
    """Give the rules of a policy, each with its code."""
    return [f"{heading[1]} {heading[2]}" for page in _PAGES["P"] for heading in _HEADING.finditer(_read_page(page))]


def _read_page(name: str) -> str:
    """The wheel carries the pages inside the package, a checkout beside it."""
    package = Path(__file__).parent.parent
    for folder in (package / "docs", package.parent / "docs"):
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    return ""
