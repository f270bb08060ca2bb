"""Contents against their records: what is missing, what is altered, and that everything is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tarlayers.analysis.splitcheck import verify_contents
from tarlayers.digest import Digest
from tarlayers.errors import ContentAbsent, MalformedInput
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.tarsplit import Segment
from tests.build import device, directory, file, hardlink, layer, opaque, symlink, whiteout
from tests.splits import CONTENT, REGIONS, pax_sparse

PLAIN = layer(
    directory("d"), file("d/a", b"aaaa"), file("d/b", b"bb"), file("empty"), symlink("l", "d/a"), hardlink("h", "d/a"),
    device("null", 1, 3), whiteout("gone"), opaque("d"), pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"),
)  # fmt: skip
EXPANDED = bytes(10) + CONTENT[:50] + bytes(40) + CONTENT[50:80] + bytes(3966) + CONTENT[80:] + bytes(3976)
FILES = {b"d/a": b"aaaa", b"d/b": b"bb", b"empty": b"", b"sparse": EXPANDED}


def check(files: dict[bytes, bytes]):
    def open_content(name: bytes) -> Iterator[bytes]:
        if name not in files:
            raise ContentAbsent("is not there", place=repr(name))
        yield files[name]

    return verify_contents(disassemble([PLAIN]), open_content)


def test_all_as_recorded_gives_the_diff_id() -> None:
    report = check(FILES)
    assert (report.ok, report.faults) == (True, ())
    assert (report.files, report.bytes, report.plain_size) == (4, 6 + 8192, len(PLAIN))
    assert report.diff_id == Digest.of(PLAIN)


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        (b"d/a", b"aaab", ("V022", "error", "d/a", "crc64:", "crc64:", "has CRC-64")),
        (b"d/a", b"aaa", ("V021", "error", "d/a", 4, 3, "has 3 bytes, not the 4 recorded")),
        (b"d/b", b"bbbb", ("V021", "error", "d/b", 2, 4, "has 4 bytes, not the 2 recorded")),
        (b"empty", b"!", ("V021", "error", "empty", 0, 1, "has 1 byte, not the 0 recorded")),
        (b"sparse", b"\1" + EXPANDED[1:], ("V022", "error", "sparse", "crc64:", "crc64:", "has CRC-64")),
        (b"d/b", None, ("V020", "error", "d/b", "crc64:", None, "is not there")),
        (b"empty", None, ("V020", "error", "empty", None, None, "is not there")),
    ],
)
def test_one_wrong_file_is_found_and_named(name: bytes, data: bytes | None, fault: tuple) -> None:
    files = FILES | {name: data} if data is not None else {k: v for k, v in FILES.items() if k != name}
    report = check(files)
    (found,) = report.faults
    assert not report.ok
    assert report.diff_id is None
    for value, want in zip(found, fault, strict=True):
        assert str(value).startswith(want) if isinstance(want, str) else value == want


def test_every_wrong_file_is_found() -> None:
    report = check({b"d/b": b"xx", b"sparse": EXPANDED})
    assert [(fault.code, fault.name) for fault in report.faults] == [
        ("V020", "d/a"),
        ("V022", "d/b"),
        ("V020", "empty"),
    ]


def test_a_lost_sparse_map_is_a_note() -> None:
    plain = layer(pax_sparse("sparse", REGIONS, 8192, CONTENT, "1.0"))
    first, *rest = disassemble([plain])
    assert isinstance(first, Segment)
    theirs = [first._replace(payload=first.payload[:-512]), *rest]
    report = verify_contents(theirs, lambda _name: [EXPANDED])
    assert [(fault.code, fault.severity) for fault in report.faults] == [("V023", "note")]
    assert report.ok
    assert report.diff_id is None
    report = verify_contents(theirs, lambda _name: [EXPANDED[:-1] + b"!"])
    assert [fault.code for fault in report.faults] == ["V023", "V022"]
    assert not report.ok


def test_records_that_do_not_fit_are_no_finding() -> None:
    records = list(disassemble([PLAIN]))
    with pytest.raises(MalformedInput):
        verify_contents([records[0], *records[2:]], lambda _name: [])
