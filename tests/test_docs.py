"""The documentation as its readers try it: examples print what the page shows, commands and options exist."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

from tarlayers.cli.app import COMMANDS, build_app
from tests import docs, fields

SESSIONS = [block for block in docs.blocks() if block.language == "console"]


@pytest.mark.parametrize("block", SESSIONS, ids=lambda block: block.name)
def test_an_example_prints_what_the_page_shows(block: docs.Block) -> None:
    commands = docs.session(block)
    programs = {part.split()[0] for command, _ in commands for part in command.split(" | ")} - {"tarlayers"}
    missing = sorted(program for program in programs if shutil.which(program) is None)
    if missing:
        pytest.skip(f"not on this machine: {' '.join(missing)}")
    for (command, shown), printed in zip(commands, docs.play([command for command, _ in commands]), strict=True):
        assert docs.fits(shown, printed), f"$ {command}\n" + "\n".join(printed)


def test_what_the_pages_leave_out() -> None:
    assert docs.fits(["a", "...", "d"], ["a", "b", "c", "d"])
    assert docs.fits(["..."], ["a"])
    assert not docs.fits(["a", "...", "d"], ["a", "d"])
    assert not docs.fits(["a", "..."], ["b", "c"])
    assert not docs.fits(["a"], ["a", "b"])


def test_sessions_are_marked_as_such() -> None:
    for block in docs.blocks():
        if any(line.startswith("$ ") for line in block.text.splitlines()):
            assert block.language in ("console", "text"), block.name


def calls() -> Iterator[tuple[str, str]]:
    """Every call of the command line on every page, in blocks and in the text, with where it stands."""
    for block in docs.blocks():
        text = re.sub(r"\\\n\s*", " ", block.text)  # a command over several lines
        for match in re.finditer(r"(?:^|\$ |\| )(tarlayers [a-z][^\n|]*)", text, re.MULTILINE):
            yield block.name, match[1].partition(" #")[0]
    for page in docs.PAGES:
        for match in re.finditer(r"`(tarlayers [a-z][^`|]*)", page.read_text(encoding="utf-8")):
            yield page.name, match[1]


def options_of(words: list[str]) -> set[str]:
    """The options of the command that is called."""
    group = typer.main.get_command(build_app(words))
    command = group.commands[words[0]]  # type: ignore[attr-defined]  # click's, vendored or not
    if hasattr(command, "commands"):
        command = command.commands[words[1]]
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"-h", "--help"}


def check_call(words: list[str], place: str) -> None:
    assert words[0] in COMMANDS, place
    known = options_of(words)
    given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    given |= {f"-{letter}" for word in words if re.match(r"-[a-zA-Z]", word) for letter in word[1:]}
    assert given <= known, f"{place}: {' '.join(sorted(given - known))}"


def test_every_call_on_a_page_is_one_that_there_is() -> None:
    for place, call in calls():
        check_call(shlex.split(call)[1:], place)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_on_a_page(command: str) -> None:
    assert any(shlex.split(call)[1] == command for _, call in calls()), command


def functions() -> Iterator[Callable[..., object]]:
    """The function of every command."""
    for name in COMMANDS:
        command = import_module(f"tarlayers.cli.{name}_command").command
        if isinstance(command, typer.Typer):
            yield from (each.callback for each in command.registered_commands if each.callback is not None)
        else:
            yield command


@pytest.mark.parametrize("function", [*functions()], ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_help_has_an_example_that_can_be_typed(function: Callable[..., object]) -> None:
    examples = re.findall(r"(tarlayers \S.*)", (function.__doc__ or "").partition("Example")[2])
    assert examples
    for example in examples:
        check_call(shlex.split(example)[1:], function.__module__)


def test_the_page_about_json_says_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: dict[str, str] = {}
    met: set[tuple[str, str]] = set()
    for printed in fields.printed(tmp_path, monkeypatch):
        section = fields.sections()[printed.section]
        for fault in fields.compare(printed.document, printed.inside, section, met):
            wrong.setdefault(f"{printed.section}: {fault}", printed.command)
    assert not wrong
    assert {row.said_in for section in fields.sections().values() for row in section.values()} - met == set()


def test_the_page_about_json_has_every_command_that_prints_it() -> None:
    for name in COMMANDS:
        command = typer.main.get_command(build_app([name])).commands[name]  # type: ignore[attr-defined]  # as above
        for inner, each in getattr(command, "commands", {"": command}).items():
            if any("--format" in param.opts for param in each.params):
                assert f"{name} {inner}".strip() in fields.sections()
