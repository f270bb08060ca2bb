"""The script that measures the targets, on archives so small that nothing can be said of time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.child import ROOT, run
from tests.benchmarks.targets.row import Target, judge
from tests.build import archive, directory, file, image, layer

FORMS = {"docker": "docker-20", "oci-gzip": "oci-gzip", "oci-zstd": "oci-zstd"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("corpus")
    base, old, new = (layer(directory("srv"), file("srv/f", name * 500)) for name in (b"base", b"old", b"new"))
    images = {"app-v1": image(base, old), "app-v2": image(base, new), "huge": image(base, old), "manyfiles": image(old)}
    for name, made in images.items():
        for form, flavour in FORMS.items():
            (where / f"{name}.{form}.tar").write_bytes(archive(flavour, made))
    return where


def measure(corpus: Path, *groups: str) -> str:
    words = [sys.executable, "-m", "tests.benchmarks.targets", "--images", corpus, "--runs", "1", *groups]
    done = subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={"PATH": ""})
    return done.stdout


def test_groups(corpus: Path) -> None:
    text = measure(corpus, "parts", "verify", "diff")
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert all(row.count("|") == 6 for row in rows)
    assert [row for row in rows if "`verify` against the bound, `huge` zstd" in row]
    assert len(rows) == 6 + 9 + 7


def test_a_peer_that_is_missing_is_said_so(corpus: Path) -> None:
    assert "dive is not installed" in measure(corpus, "dive")


def test_a_target_is_met_by_elapsed_or_else_by_processor_time() -> None:
    target = Target(1.3)
    assert [judge("", target, *both).met for both in ((1.2, 1.5), (1.5, 1.2), (1.5, 1.5))] == [
        "yes",
        "by processor time",
        "**no**",
    ]
    assert judge("", Target(5, least=True), 4, sign=">= ").met == "not known"
    assert judge("", Target(5, least=True), 6, sign=">= ").met == "yes"


def test_a_program_that_runs_on_is_cut_off() -> None:
    cost = run([sys.executable, "-c", "while True: pass"], timeout=0.2)
    assert not cost.ended
    assert cost.elapsed >= 0.2


def test_a_program_that_fails_is_not_measured() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run([sys.executable, "-c", "raise SystemExit(3)"])
