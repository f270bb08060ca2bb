"""The lower bound for verifying an archive on this machine: what its bytes alone cost.

Every blob is hashed as stored, decompressed, and hashed again, one stage at a time, with the libraries that tarlayers
uses. No header is parsed, nothing is kept. A program that verifies every digest cannot be faster than

    max(all stages of all blobs / cores, the slowest single stage of any one blob)

however it overlaps its work.

    python -m tests.benchmarks.limit ARCHIVE    # seconds as JSON: the bound, and the processor time of all stages
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from isal import isal_zlib

CHUNK = 1 << 20


class Bound(NamedTuple):
    """Seconds below which no verification of an archive can go on this machine."""

    elapsed: float
    processor: float


class Stage:
    """One thing that is done with all bytes of a blob."""

    def __init__(self) -> None:
        self.elapsed = self.processor = 0.0

    @contextmanager
    def clock(self) -> Iterator[None]:
        began, busy = time.perf_counter(), time.thread_time()
        yield
        self.processor += time.thread_time() - busy
        self.elapsed += time.perf_counter() - began


def bound(archive: Path) -> Bound:
    """What all blobs' stages cost, spread over the processors as well as could be."""
    with tarfile.open(archive) as outer:
        members = [(member.offset_data, member.size) for member in outer if member.isreg()]
    with archive.open("rb") as source:
        took = [stage for start, size in members for stage in stages(source.fileno(), start, size)]
    spread = sum(stage.elapsed for stage in took) / len(os.sched_getaffinity(0))
    slowest = max((stage.elapsed for stage in took), default=0.0)
    return Bound(max(spread, slowest), sum(stage.processor for stage in took))


def stages(descriptor: int, start: int, size: int) -> list[Stage]:
    """Hash a blob, decompress it, and hash what comes out."""
    magic = os.pread(descriptor, min(size, 4), start)
    stored, inflating, plain = Stage(), Stage(), Stage()
    hash_chunks(stored, read(descriptor, start, size))
    if magic[:2] != b"\x1f\x8b" and magic != b"\x28\xb5\x2f\xfd":
        return [stored]
    hash_chunks(plain, inflate(magic, read(descriptor, start, size), inflating))
    return [stored, inflating, plain]


def read(descriptor: int, start: int, size: int) -> Iterator[bytes]:
    for at in range(start, start + size, CHUNK):
        yield os.pread(descriptor, min(CHUNK, start + size - at), at)


def hash_chunks(stage: Stage, chunks: Iterator[bytes]) -> None:
    hasher = hashlib.sha256()
    for chunk in chunks:
        with stage.clock():
            hasher.update(chunk)


def inflate(magic: bytes, chunks: Iterator[bytes], stage: Stage) -> Iterator[bytes]:
    def new() -> Any:
        return isal_zlib.decompressobj(31) if magic[:2] == b"\x1f\x8b" else zstandard.ZstdDecompressor().decompressobj()

    decoder = new()
    for chunk in chunks:
        data = chunk
        while data:
            with stage.clock():
                piece = decoder.decompress(data)
            yield piece
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = new()


if __name__ == "__main__":
    print(json.dumps(bound(Path(sys.argv[1]))))
