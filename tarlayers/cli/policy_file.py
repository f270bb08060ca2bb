"""Which policy is meant: the file that is named, or the nearest one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tarlayers.errors import MalformedPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarlayers.formats.policy import Policy

_OWN = ".tarlayers.toml"
_PROJECT = "pyproject.toml"
_TABLE = ("tool", "tarlayers")


def load_policy(path: str | None) -> Policy:
    """Read the policy at `path`, or the one found from the current directory upwards.

    A file that ends in `.dive-ci`, `.yml` or `.yaml` is dive's.
    """
    from tarlayers.formats.dive_rules import parse_dive_rules
    from tarlayers.formats.policy import find_policy, parse_policy

    if path is None:
        return _nearest_policy()
    raw = _read(Path(path))
    name = Path(path).name
    if name.endswith((".dive-ci", ".yml", ".yaml")):
        return parse_dive_rules(raw, path)
    if name != _PROJECT:
        return parse_policy(raw, path)
    policy = find_policy(raw, path, _TABLE)
    if policy is None:
        raise MalformedPolicy(f"there is no [{'.'.join(_TABLE)}]", place=path)
    return policy


def _nearest_policy() -> Policy:
    """Look here and in the directories above, as far as the root of the repository."""
    from tarlayers.formats.policy import find_policy, parse_policy

    for directory in _directories(Path.cwd()):
        own, project = directory / _OWN, directory / _PROJECT
        if own.is_file():
            return parse_policy(_read(own), _short(own))
        policy = find_policy(_read(project), _short(project), _TABLE) if project.is_file() else None
        if policy is not None:
            return policy
    raise MalformedPolicy(f"no policy: there is no {_OWN}, nor [tool.tarlayers] in {_PROJECT}; name one with --policy")


def _directories(start: Path) -> Iterator[Path]:
    for directory in (start, *start.parents):
        yield directory
        if (directory / ".git").exists():
            return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MalformedPolicy(f"cannot be read: {error.strerror}", place=_short(path)) from error


def _short(path: Path) -> str:
    """Name a file below the current directory by its relative path."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def uri_of(name: str) -> str:
    """Give the URI reference of a file: relative to the current directory where it lies below it."""
    from urllib.parse import quote

    path = Path.cwd() / name
    return quote(_short(path)) if path.is_relative_to(Path.cwd()) else path.as_uri()


def place_in_repository(name: str) -> str:
    """Give a file's path from where GitHub has checked the repository out, which its annotations have to have; from
    the current directory where nothing says that, or the file lies elsewhere.
    """
    path, root = Path.cwd() / name, os.environ.get("GITHUB_WORKSPACE")
    if root and path.resolve().is_relative_to(Path(root).resolve()):
        return str(path.resolve().relative_to(Path(root).resolve()))
    return os.path.relpath(path)
