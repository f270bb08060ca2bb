"""The images to measure on: those of a directory, under either set of names, else those that images.py builds there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.child import PYTHON, TARLAYERS, ask, run

ROLES = {
    "app-v1": "distribution",
    "app-v2": "distribution-next",
    "huge": "large",
    "hundred": "layers",
    "manyfiles": "small",
}
"""What a large corpus calls them, and what images.py calls its own, smaller ones of that kind."""

FORMS = {"docker": ("docker", "docker-20"), "oci-gzip": ("oci-gzip",), "oci-zstd": ("oci-zstd",)}


class Archive(NamedTuple):
    """One image in one form."""

    name: str
    form: str
    path: Path

    def __str__(self) -> str:
        return f"`{self.name}` {self.form.removeprefix('oci-')}"


class Corpus(NamedTuple):
    """A directory of archives, and one for what is made of them."""

    directory: Path
    scratch: Path

    def find(self, role: str, form: str) -> Archive | None:
        """The archive of that kind and form, its pages warm; None if the directory has none."""
        for name in (role, ROLES[role]):
            for spelling in FORMS[form]:
                path = self.directory / f"{name}.{spelling}.tar"
                if path.exists():
                    warm(path)
                    return Archive(name, form, path)
        return None

    def each(self, *roles: str, forms: tuple[str, ...] = tuple(FORMS)) -> Iterator[Archive]:
        """Those of some kinds that there are."""
        found = (self.find(role, form) for role in roles for form in forms)
        return (archive for archive in found if archive)


@cache
def warm(path: Path) -> None:
    """Have the file in the page cache, so that no run pays for the disk."""
    with path.open("rb", buffering=0) as source:
        while source.read(1 << 20):
            pass


@cache
def list_layers(path: Path) -> tuple[dict[str, Any], ...]:
    """What `layers` says of an archive's layers."""
    return tuple(ask([*TARLAYERS, "layers", "--no-cache", "-f", "json", str(path)])["layers"])


def count_entries(path: Path) -> int:
    return sum(layer["entries"] for layer in list_layers(path))


def build(directory: Path) -> None:
    """Make images.py's own in a child, which may need as much memory as it likes."""
    run([*PYTHON, "-m", "tests.benchmarks.images", str(directory)])
