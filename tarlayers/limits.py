"""Every bound on untrusted input, in one value that all readers take.

Each field says what it bounds, its unit, and a precedent for the default. docs/security.md lists them for users, who
change them with `--limit NAME=VALUE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tarlayers.errors import LimitExceeded

_VALUE = r"([0-9]{1,19})([kMGT]?)"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_ENDLESS = 1 << 63


class Limits(NamedTuple):
    """Bounds on what an archive may make us read, keep or expand. Passing one is LimitExceeded."""

    # One JSON document, bytes. containerd's importer stops at 20 MiB (core/images/archive/importer.go).
    document_bytes: int = 20 << 20
    # All documents kept of one archive, bytes: twelve times the largest single one. Each layer that an image of a data
    # root has counts as 1000.
    documents_bytes: int = 256 << 20
    # Arrays and objects inside each other in one JSON document. Real ones nest eight deep. encoding/json of Go stops at
    # 10 000, orjson at 1024 when it reads and at 254 when it writes.
    document_depth: int = 200
    # Depth of nested indexes. Real archives have at most three (index, manifest list, manifest).
    index_depth: int = 16
    # Manifests reached from all indexes of one archive, images of a manifest.json, images and containers of a data
    # root. diffoci stops at 4096.
    manifests: int = 4096
    # Names of one image. Producers write those that were asked for, and nobody asks for hundreds.
    names: int = 1024
    # Layers of one image. Docker stops at 125 (moby layer.go), umoci and crane have no limit.
    layers: int = 20_000
    # One PAX record block or GNU long name, bytes: maxSpecialFileSize of Go's archive/tar. Extended attributes
    # stand in such a block, so it bounds them too; Linux takes 64 KiB of one (XATTR_SIZE_MAX).
    extension_bytes: int = 1 << 20
    # A layer's table of contents (eStargz, zstd:chunked), bytes, compressed or not. containers/storage stops at
    # 150 MiB (maxTocSize, pkg/chunked).
    toc_bytes: int = 150 << 20
    # Entries of one layer. The largest real layers seen hold about three million. Extended attributes, which take about
    # as much memory, count as well, as do 512 bytes of them: else a header of 1 MiB would be as large as 10 000.
    entries: int = 50_000_000
    # Entries of all layers of one image that are merged. A few times what one layer may have.
    image_entries: int = 200_000_000
    # Bytes of a name or link target, and of a file in a data root that holds one line. PATH_MAX of Linux is 4096;
    # engines join it below a root of their own.
    path_bytes: int = 1 << 16
    # Components of a name. A path of PATH_MAX has no more than 2048.
    path_depth: int = 1 << 11
    # Bytes of the names of all directories that a merge, a score or a tar of a data root has because only children are
    # listed. A deep name costs the square of its length, as each of its parents has one. Real images have a few
    # megabytes.
    implied_bytes: int = 1 << 28
    # Steps that a merge takes beyond one look at each entry: components of symlinks followed, lower layers searched for
    # a directory, paths looked through for an opaque marker, every fourth component of a path that is not there,
    # extended attributes put together. Real images take a few million; here it is a minute.
    merge_steps: int = 1 << 26
    # Headers and extensions of one tar entry when they are kept, bytes: three extensions and a long sparse map.
    segment_bytes: int = 8 << 20
    # One line of a tar-split file, bytes. tar-split before 2017 wrote all that follows a tar's end as one record.
    record_bytes: int = 64 << 20
    # Regions of one sparse file: what fits into Go's 1 MiB bound on a sparse map.
    sparse_regions: int = 1 << 16
    # Bytes that the holes of sparse files may add when their contents are read or hashed: of a layer those of all files
    # that are read in one pass, of an archive those of all members.
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
        changed = [f"{name}={value}" for name, value in self._asdict().items() if value != self._field_defaults[name]]
        return f"Limits({', '.join(changed)})"


DEFAULT_LIMITS = Limits()
# The depth of documents stays: it is what the JSON encoder can write.
NO_LIMITS = Limits(**{name: _ENDLESS for name in Limits._fields if name != "document_depth"})


def require_limits(limits: Limits) -> None:
    """Raise ValueError for a bound that is no whole number of 0 or more."""
    for name, value in limits._asdict().items():
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"the limit {name} is a whole number of 0 or more, not {value!r}")


def limit_exceeded(
    limits: Limits, name: str, what: str, *, place: str = "", offset: int | None = None
) -> LimitExceeded:
    """Make the error for input that passes the bound `name`, and says so: `what (limit NAME = VALUE)`."""
    return LimitExceeded(f"{what} (limit {name} = {getattr(limits, name)})", limit=name, place=place, offset=offset)


def change_limits(limits: Limits, words: Iterable[str]) -> Limits:
    """Apply `NAME=VALUE`, a whole number with an optional k, M, G or T (powers of 1024); of one name the last counts.

    ValueError says what is wrong with a word, and which names there are.
    """
    names = Limits._fields
    changes: dict[str, int] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in names:
            from difflib import get_close_matches  # noqa: PLC0415 # for a mistake alone

            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {' '.join(names)}"
            raise ValueError(f"no limit is called {name!r}; {hint}")
        match = re.fullmatch(_VALUE, text, re.IGNORECASE)
        if match is None:
            raise ValueError(f"{text!r} is no value of {name}: give a whole number, with k, M, G or T if it is large")
        changes[name] = int(match[1]) * _UNITS[match[2].lower()]
        if name == "document_depth" and changes[name] > DEFAULT_LIMITS.document_depth:
            raise ValueError(f"document_depth cannot be more than {DEFAULT_LIMITS.document_depth}")
    return limits._replace(**changes)
