"""Numbers and times of PAX records, as Go's `strconv.ParseInt` and `parsePAXTime` read them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tarlayers.formats.tar_fields import FieldError, ParsedPax, parse_records, read_records
from tests.build import pax_record


def _parse(data: bytes) -> ParsedPax:
    return read_records(parse_records(data))


NUMBERS = {
    b"7": 7,
    b"-7": -7,
    b"+7": 7,
    b"007": 7,
    b"0" * 30 + b"7": 7,
    b"-" + b"0" * 5000 + b"7": -7,
    b"0" * 5000: 0,
    b"9223372036854775807": (1 << 63) - 1,
    b"-9223372036854775808": -(1 << 63),
    b"9223372036854775808": None,
    b"-9223372036854775809": None,
    b"1" * 5000: None,
    b"+": None,
    b"0x7": None,
    b"1_000": None,
    b" 7": None,
    b"7 ": None,
    b"--7": None,
    b"+-7": None,
    b"0" * 30 + b"-7": None,
}
SECOND = 10**9
TIMES = {
    b"1.5": 1_500_000_000,
    b"-1.5": -1_500_000_000,
    b"-0.5": -500_000_000,
    b"1.": SECOND,
    b"1.123456789": 1_123_456_789,
    b"1.1234567899": 1_123_456_789,
    b"1." + b"1" * 5000: 1_111_111_111,
    b"0" * 30 + b"1.5": 1_500_000_000,
    b"1.123456789x": None,
    b"1.1234567890 ": None,
    b"1.12x456789": None,
    b"1.+5": None,
    b"1.-5": None,
    b"1.2.3": None,
    b".5": None,
    b".": None,
    b"1e9": None,
}


def read(key: str, value: bytes) -> object:
    try:
        return getattr(_parse(pax_record(key, value)), key)
    except FieldError:
        return None


@pytest.mark.parametrize("key", ["uid", "gid", "size"])
@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: repr(text[:12]))
def test_numbers_are_those_of_go(text: bytes, key: str) -> None:
    assert read(key, text) == NUMBERS[text]


@pytest.mark.parametrize("text", TIMES, ids=lambda text: repr(text[:16]))
def test_times_are_those_of_go(text: bytes) -> None:
    assert read("mtime", text) == TIMES[text]
    for key in ("atime", "ctime"):
        with pytest.raises(FieldError) if TIMES[text] is None else nullcontext():
            _parse(pax_record(key, text))


BODY = b" path=abc\n"


def test_the_length_of_a_record_may_have_zeros_in_front() -> None:
    for total in (15, 40, 5000):
        length = b"%d" % total
        assert _parse(length.rjust(total - len(BODY), b"0") + BODY).path == b"abc"
        assert _parse(b"+" + length.rjust(total - len(BODY) - 1, b"0") + BODY).path == b"abc"


@pytest.mark.parametrize("length", [b"", b"12_", b"0xd", b"-12", b"1" * 5000, b"13"])
def test_a_record_of_another_length_is_refused(length: bytes) -> None:
    with pytest.raises(FieldError):
        _parse(length + BODY)
