"""The peak of memory of every command that reads an archive."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.child import TARLAYERS, run
from tests.benchmarks.targets.corpus import FORMS, Archive, Corpus, count_entries, list_layers
from tests.benchmarks.targets.layerset import stored_layers
from tests.benchmarks.targets.row import Row, Target, judge

FIXED, PER_ENTRY = 70e6, 450
POLICY = 'max_size = "1TB"\nmin_efficiency = 0.1\nforbid_hidden = "secrets"\n[forbid_paths]\npaths = ["*.pem"]\n'
COMMANDS = """
    inspect @IMAGE
    layers --no-cache @IMAGE
    history --no-cache @IMAGE
    ls --no-cache -R @IMAGE
    ls --no-cache -lR @IMAGE
    ls --no-cache --tree @IMAGE
    ls --no-cache --du @IMAGE
    ls --no-cache -R --digests @IMAGE
    ls --no-cache -R -f json @IMAGE
    ls --no-cache -R -f ndjson @IMAGE
    cat --no-cache @IMAGE @FILE
    changes --no-cache @IMAGE
    changes --no-cache -a -l @IMAGE
    log --no-cache @IMAGE @FILE
    blame --no-cache @IMAGE
    diff --no-cache @IMAGE @OTHER
    waste --no-cache @IMAGE
    waste --no-cache --digests @IMAGE
    hidden --no-cache @IMAGE
    hidden --no-cache --secrets @IMAGE
    verify @IMAGE
    lint --no-cache @IMAGE
    check --no-cache --policy @SCRATCH/policy.toml @IMAGE
    index -o @SCRATCH/index @IMAGE
    export --no-cache -o /dev/null @IMAGE
    extract --no-cache @IMAGE @SCRATCH/tree
    tarsplit disasm --no-stdout --output @SCRATCH/split @LAYER
    tarsplit ls @SCRATCH/split
    tarsplit verify --layer @LAYER @SCRATCH/split
    tarsplit asm --layer @LAYER --input @SCRATCH/split
"""


STREAMED = ("inspect", "verify", "layers", "ls -R", "ls -R --digests", "changes", "blame", "waste", "lint")


def rows(corpus: Corpus) -> Iterator[Row]:
    (corpus.scratch / "policy.toml").write_text(POLICY)
    for archive in corpus.each("manyfiles", "huge", forms=("docker", "oci-gzip")):
        layer, layer_entries = write_largest(archive, corpus.scratch / "layer.tar")
        yield from measure(corpus, archive, layer, layer_entries)
    for archive in corpus.each("manyfiles", forms=("docker",)):
        bare = write_bare(archive, corpus.scratch / "bare.tar")
        yield from measure(corpus, bare, bare.path, count_entries(bare.path))
        yield from measure_streamed(bare)


def measure_streamed(archive: Archive) -> Iterator[Row]:
    """Commands that are given a bare layer on standard input."""
    target = Target((FIXED + PER_ENTRY * count_entries(archive.path)) / 1e6, "MB")
    for words in STREAMED:
        peak = run([*TARLAYERS, *words.split(), "-"], fed=archive.path).peak
        yield judge(f"memory of `{words}` of standard input, {archive}", target, peak / 1e6)


def measure(corpus: Corpus, archive: Archive, layer: Path, layer_entries: int) -> Iterator[Row]:
    """Every command once: memory is the same in each run."""
    other = corpus.find("app-v1", archive.form if archive.form in FORMS else "docker") or archive
    given = {"IMAGE": archive.path, "OTHER": other.path, "LAYER": layer, "SCRATCH": corpus.scratch}
    given["FILE"] = Path(first_file(layer))
    for line in COMMANDS.split("\n")[1:-1]:
        entries = count_entries(archive.path)
        if "@OTHER" in line:
            entries += count_entries(other.path)
        if line.split()[0] == "tarsplit":
            entries = layer_entries
        words = line.strip()
        for name, path in given.items():
            words = words.replace(f"@{name}", str(path))
        peak = run([*TARLAYERS, *words.split()]).peak
        shutil.rmtree(corpus.scratch / "tree", ignore_errors=True)
        plain = " ".join(word for word in line.split() if word[0] != "@" and word != "--no-cache")
        target = Target((FIXED + PER_ENTRY * entries) / 1e6, "MB")
        yield judge(f"memory of `{plain}`, {archive}", target, peak / 1e6)


def first_file(layer: Path) -> str:
    """The path of a file with content."""
    with tarfile.open(layer) as members:
        return "/" + next(member.name for member in members if member.isreg() and member.size).removeprefix("./")


def write_bare(archive: Archive, target: Path) -> Archive:
    """Make one tar of an image's files, which is what a container's export gives: no image, but one bare layer."""
    run([*TARLAYERS, "export", "-o", str(target), str(archive.path)])
    return archive._replace(form="bare layer", path=target)


def write_largest(archive: Archive, target: Path) -> tuple[Path, int]:
    """Copy the layer with the most entries out of its archive."""
    layers = list_layers(archive.path)
    largest = max(layers, key=lambda layer: layer["entries"])
    with tarfile.open(archive.path) as outer, target.open("wb") as copy:
        content = outer.extractfile(stored_layers(outer)[largest["index"]].member)
        assert content is not None
        shutil.copyfileobj(content, copy)
    return target, largest["entries"]
