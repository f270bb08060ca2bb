"""Tars for the tar-split tests: ordinary layers, and sparse files in every form."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.build import (
    END,
    Member,
    device,
    directory,
    fifo,
    file,
    hardlink,
    header,
    layer,
    pad,
    pax_record,
    symlink,
    tar,
    whiteout,
    with_checksum,
)

CONTENT = bytes(range(1, 201))


def gnu_sparse(name: bytes, regions: list[tuple[int, int]], size: int, data: bytes) -> bytes:
    """An old GNU sparse file: four regions in the header, the others in blocks of 21 behind it."""
    cells = [b"%011o\0%011o\0" % region for region in regions]
    block = bytearray(header(Member("", "S"), name, b"", len(data), b"ustar  \0"))
    block[386:482] = b"".join(cells[:4]).ljust(96, b"\0")
    block[482] = len(cells) > 4
    block[483:495] = b"%011o\0" % size
    more = [cells[i : i + 21] for i in range(4, len(cells), 21)]
    tables = [b"".join(part).ljust(504, b"\0") + bytes([i + 1 < len(more)]) + bytes(7) for i, part in enumerate(more)]
    return with_checksum(bytes(block)) + b"".join(tables) + pad(data)


def pax_sparse(name: str, regions: list[tuple[int, int]], size: int, data: bytes, version: str) -> Member:
    """A PAX sparse file of version 0.1 (map in the extended header) or 1.0 (map before the content)."""
    numbers = [number for region in regions for number in region]
    if version == "0.1":
        table = ",".join(map(str, numbers))
        keys = {"numblocks": str(len(regions)), "size": str(size), "name": name, "map": table}
        return file(f"GNUSparseFile.1/{name}", data, pax={f"GNU.sparse.{k}": v for k, v in keys.items()})
    lines = "".join(f"{number}\n" for number in (len(regions), *numbers)).encode()
    keys = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    return file(f"GNUSparseFile.1/{name}", pad(lines) + data, pax={f"GNU.sparse.{k}": v for k, v in keys.items()})


REGIONS = [(10, 50), (100, 30), (4096, 120)]
LONG_MAP = [(i * 10, 4) for i in range(50)]
ORDINARY = layer(
    directory("etc"), file("etc/passwd", b"root:x:0:0\n" * 99), file("etc/empty"), file("n" * 150, b"long name"),
    symlink("etc/link", "passwd"), hardlink("etc/hard", "etc/passwd"), whiteout("etc/shadow"),
    device("dev/null", 1, 3), fifo("run/pipe"), file("etc/<&>\u2028", b"escapes"), file("bad\udcff", b"not UTF-8"),
    file("with/xattr", b"x" * 512, pax={"SCHILY.xattr.user.a": b"1"}), file("last", b"z" * 3000),
)  # fmt: skip

TARS: dict[str, bytes] = {
    "ordinary": ORDINARY,
    "empty": b"",
    "ends without a mark": ORDINARY[: -len(END)],
    "ends inside padding": tar([file("a", b"1")], b"")[:700],
    "padding behind the end": ORDINARY + bytes(10240),
    "garbage behind the end": ORDINARY + b"garbage" * 100,
    "two megabytes behind the end": ORDINARY + b"\1" * 2_100_000,
    "one zero block": tar([file("a", b"1")], bytes(512)),
    "a name twice": layer(file("a", b"1"), file("./a", b"22"), file("a", b"333")),
    "a hard link with a size": tar(
        [file("a", b"12345")],
        header(Member("", "1"), b"hard", b"a", 5) + header(Member("", "5"), b"d/", b"", 7) + END,
    ),
    "a global header": tar(
        [Member("g", "g", pax_record("comment", "x" * 99)), file("a", b"1"), Member("g", "g", pax_record("mtime", "1"))]
    ),
    "no name": layer(file("", b"nameless")),
    "an extended header that ends the tar": header(Member("", "x"), b"x", b"", 11) + pad(b"11 path=ab\n"),
    "old GNU sparse": gnu_sparse(b"sparse", REGIONS, 8192, CONTENT) + END,
    "old GNU sparse, long map": gnu_sparse(b"sparse", LONG_MAP, 600, CONTENT) + tar([file("after", b"1")]),
    "old GNU sparse, hole alone": gnu_sparse(b"sparse", [(1 << 20, 0)], 1 << 20, b"") + END,
    "PAX sparse 0.1": layer(pax_sparse("sparse", REGIONS, 8192, CONTENT, "0.1"), file("after", b"1")),
    "PAX sparse 1.0": layer(pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"), file("after", b"1")),
    "PAX sparse 1.0, long map": layer(pax_sparse("sparse", LONG_MAP, 600, CONTENT, "1.0"), file("after", b"1")),
}
"""Every form that a tar can have, by what is odd about it."""


def bytewise(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def dribble(data: bytes) -> Iterable[bytes]:
    steps = (1, 511, 2, 512, 3, 513, 7, 5000, 100)
    position = turn = 0
    while position < len(data):
        yield data[position : position + steps[turn % 9]]
        position += steps[turn % 9]
        turn += 1


CUTS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda data: [data],
    "bytewise": bytewise,
    "dribble": dribble,
}

CASES = [(name, cut) for name in TARS for cut in CUTS if cut != "bytewise" or len(TARS[name]) < 100_000]
