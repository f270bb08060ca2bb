"""Every bound on untrusted input, in one value that all readers take.

Each field says what it bounds, its unit, and a precedent for the default.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, repr=False)
class Limits:
    """Bounds on what an archive may make us read, keep or expand. Passing one is LimitExceeded."""

    # One JSON document, bytes. containerd's importer stops at 20 MiB (core/images/archive/importer.go).
    document_bytes: int = 20 << 20
    # All documents kept of one archive, bytes: twelve times the largest single one.
    documents_bytes: int = 256 << 20
    # Depth of nested indexes. Real archives have at most three (index, manifest list, manifest).
    index_depth: int = 16
    # Manifests reached from all indexes of one archive. diffoci stops at 4096.
    manifests: int = 4096
    # Layers of one image. Docker stops at 125 (moby layer.go), umoci and crane have no limit.
    layers: int = 20_000
    # One PAX record block or GNU long name, bytes: maxSpecialFileSize of Go's archive/tar.
    extension_bytes: int = 1 << 20
    # A layer's table of contents (eStargz, zstd:chunked), bytes, compressed or not. containers/storage stops at
    # 150 MiB (maxTocSize, pkg/chunked).
    toc_bytes: int = 150 << 20
    # Entries of one layer. The largest real layers seen hold about three million.
    entries: int = 50_000_000
    # Bytes of a cleaned path. PATH_MAX of Linux is 4096; engines join it below a root of their own.
    path_bytes: int = 1 << 20
    # Headers and extensions of one tar entry when they are kept, bytes: three extensions and a long sparse map.
    segment_bytes: int = 8 << 20
    # One line of a tar-split file, bytes. tar-split before 2017 wrote all that follows a tar's end as one record.
    record_bytes: int = 64 << 20
    # Regions of one sparse file: what fits into Go's 1 MiB bound on a sparse map.
    sparse_regions: int = 1 << 16
    # Bytes that the holes of one sparse file may add when its content is read or hashed.
    sparse_bytes: int = 1 << 40
    # Decompressed bytes of one layer.
    plain_bytes: int = 1 << 42
    # Decompressed bytes for each stored byte, looked at once `ratio_grace_bytes` have come out.
    # deflate reaches 1032, zstd far more on zeros; a disk image of zeros in zstd is at 20 000.
    ratio: int = 50_000
    ratio_grace_bytes: int = 1 << 30
    # A whole index file (docs/tlx.md), bytes. Fifty million entries with content digests are at 2 GB.
    index_bytes: int = 1 << 32
    # Bytes that an index's entries and paths may take in memory for each stored byte, looked at above
    # `index_grace_bytes`. Real layers are at 30, a million files numbered in sequence at 250.
    index_ratio: int = 4096
    index_grace_bytes: int = 16 << 20

    def __repr__(self) -> str:
        """What is not as by default: the signatures in `help()` stay readable."""
        changed = [
            f"{each.name}={value}" for each in fields(self) if (value := getattr(self, each.name)) != each.default
        ]
        return f"Limits({', '.join(changed)})"


DEFAULT_LIMITS = Limits()
