"""The examples of the documentation: each ```console block is a session in testdata, and shows what is printed there.

A line `...` stands for lines that are left out. `python -m tests.docs` fills in every block that has none, and says
what it changed. Examples with other archives are marked ```text.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.golden import ENVIRONMENT
from tests.paths import ROOT, TESTDATA
from tests.run import run

PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", TESTDATA / "README.md"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


def session(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that it is said to print."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
    return commands


def play(commands: list[str]) -> list[list[str]]:
    """Run commands one after the other in testdata; what each printed, standard output first."""
    printed: list[list[str]] = []
    code = 0
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(TESTDATA):
        for command in commands:
            if command.startswith("tarlayers ") and not _SHELL.search(command):
                done = run(*shlex.split(command)[1:])
                code, output = done.code, done.stdout.decode() + done.stderr
            else:
                code, output = _ask_shell(f"(exit {code}); {command}", Path(directory))
            printed.append(output.splitlines())
    return printed


_SHELL = re.compile("[|;&<>$]")


def _ask_shell(command: str, directory: Path) -> tuple[int, str]:
    """Run what needs a shell; `DEST` is a directory that is gone afterwards."""
    program = directory / "tarlayers"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tarlayers "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    own = {"PATH": f"{directory}:{os.environ['PATH']}", "DEST": str(directory)}
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, **ENVIRONMENT, **own},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def fits(shown: list[str], printed: list[str]) -> bool:
    """Whether a page shows what is printed; `...` stands for one line or more."""
    if "..." not in shown:
        return shown == printed
    head = shown.index("...")
    rest = shown[head + 1 :]
    if printed[:head] != shown[:head]:
        return False
    return any(fits(rest, printed[start:]) for start in range(head + 1, len(printed) + 1))


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        written = _BLOCK.sub(lambda match, page=page: _fill(page, match), text)
        if written != text:
            page.write_text(written, encoding="utf-8")
            print(f"changed: {page.relative_to(ROOT)}")


def _fill(page: Path, match: re.Match[str]) -> str:
    block = Block(page, 0, match[1], match[2])
    if block.language != "console":
        return match[0]
    commands = session(block)
    outputs = play([command for command, _ in commands])
    lines: list[str] = []
    for (command, shown), printed in zip(commands, outputs, strict=True):
        lines += [f"$ {command}", *(shown if "..." in shown and fits(shown, printed) else printed)]
    return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"


if __name__ == "__main__":
    main()
