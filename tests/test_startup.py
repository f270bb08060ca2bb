"""What a command does not import: a short one is start-up for the most part, and each of these modules takes its
millisecond or more.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT, TESTDATA

SHOP = f"{TESTDATA}/shop.docker.tar#v1"  # its layers are plain
RUN = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("\\n".join(sys.modules)))
from tarlayers.cli import main
main()
"""

# No command on an archive of plain layers needs them.
NEVER = {
    "concurrent.futures", "isal", "logging", "random", "rich", "secrets", "tarfile", "tempfile", "zstandard",
    "tarlayers.formats.bolt", "tarlayers.formats.compression", "tarlayers.formats.tarsplit", "tarlayers.formats.tlx",
    "tarlayers.sources.content_store", "tarlayers.sources.dataroot", "tarlayers.sources.docker_root",
    "tarlayers.sources.filetree", "tarlayers.sources.podman_root", "tarlayers.sources.tartree",
    "tarlayers.stores.indexstore", "tarlayers.stores.layerfile", "tarlayers.stores.passedstore",
    "tarlayers.stores.rootstore",
}  # fmt: skip
PLAIN = ("tarlayers.errors", "tarlayers.stdio")  # which import nothing
MERGING = {"tarlayers.rootfs", "tarlayers.merging.tree"}
ANALYSES = {f"tarlayers.analysis.{name}" for name in ("diff", "hidden", "secrets", "verify", "waste")}


def modules_of(*words: str) -> set[str]:
    """What a process has imported when a command ends well."""
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("words", "others"),
    [
        (["ls", "-R"], ANALYSES | {"tarlayers.analysis.usage"}),
        (["ls", "-lR"], ANALYSES | {"tarlayers.analysis.usage"}),
        (["waste"], ANALYSES - {"tarlayers.analysis.waste"}),
        (["changes"], ANALYSES),
        (["inspect"], ANALYSES | MERGING),
        (["history"], ANALYSES | MERGING),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_uses(words: list[str], others: set[str]) -> None:
    found = modules_of(*words, SHOP)
    assert "tarlayers.imagearchive" in found
    assert (found & (NEVER | others)) == set()


@pytest.mark.parametrize("words", [["--help"], ["ls", "--help"]])
def test_help_imports_no_reader(words: list[str]) -> None:
    found = {name for name in modules_of(*words) if name.startswith("tarlayers.")}
    assert all(name.startswith("tarlayers.cli") or name in PLAIN for name in found), found
    assert {name for name in found if name.endswith("_command")} <= {f"tarlayers.cli.{words[0]}_command"}
