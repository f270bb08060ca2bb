"""The lower bound for verifying an archive on this machine: what its bytes alone cost.

Every blob is hashed as stored, decompressed, and hashed again, one stage at a time, with the libraries that tarlayers
uses. No header is parsed, nothing is kept. A program that verifies every digest cannot be faster than

    max(all stages of all blobs / cores, the slowest single stage of any one blob)

however it overlaps its work.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard
from isal import isal_zlib

CHUNK = 1 << 20


def bound(archive: Path) -> float:
    """Seconds below which no verification of the archive can go on this machine."""
    work = slowest = 0.0
    with tarfile.open(archive) as outer:
        members = [(member.offset_data, member.size) for member in outer if member.isreg()]
    with archive.open("rb") as source:
        for start, size in members:
            took = stages(source.fileno(), start, size)
            work += sum(took)
            slowest = max(slowest, *took)
    return max(work / len(os.sched_getaffinity(0)), slowest)


def stages(descriptor: int, start: int, size: int) -> list[float]:
    """Seconds of hashing a blob, of decompressing it, and of hashing what came out."""
    chunks = [os.pread(descriptor, CHUNK, at) for at in range(start, start + min(size, 4), CHUNK)]
    magic = chunks[0][:4] if chunks else b""
    stored, _ = clock_hash(read(descriptor, start, size))
    if magic[:2] != b"\x1f\x8b" and magic != b"\x28\xb5\x2f\xfd":
        return [stored]
    plain, seconds = 0.0, 0.0
    hasher = hashlib.sha256()
    pieces = inflate(magic, read(descriptor, start, size))
    while True:
        began = time.perf_counter()
        piece = next(pieces, None)
        seconds += time.perf_counter() - began
        if piece is None:
            return [stored, seconds, plain]
        began = time.perf_counter()
        hasher.update(piece)
        plain += time.perf_counter() - began


def read(descriptor: int, start: int, size: int) -> Iterator[bytes]:
    for at in range(start, start + size, CHUNK):
        yield os.pread(descriptor, min(CHUNK, start + size - at), at)


def clock_hash(chunks: Iterator[bytes]) -> tuple[float, str]:
    hasher, seconds = hashlib.sha256(), 0.0
    for chunk in chunks:
        began = time.perf_counter()
        hasher.update(chunk)
        seconds += time.perf_counter() - began
    return seconds, hasher.hexdigest()


def inflate(magic: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    def new():
        return isal_zlib.decompressobj(31) if magic[:2] == b"\x1f\x8b" else zstandard.ZstdDecompressor().decompressobj()

    decoder = new()
    for chunk in chunks:
        data = chunk
        while data:
            yield decoder.decompress(data)
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = new()
