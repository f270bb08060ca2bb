"""Which version this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def find_version() -> str:
    """Give the installed version; `unknown` for code that is run from where it lies."""
    try:
        return version("tarlayers")
    except PackageNotFoundError:
        return "unknown"
