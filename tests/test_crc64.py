"""CRC-64/ISO against a bit-by-bit division and the values that Go prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarlayers.formats import crc64 as crc64_module
from tarlayers.formats.crc64 import crc64, crc64_zeros

ONES = 0xFFFFFFFFFFFFFFFF
REFLECTED = 0xD800000000000000  # x^4 + x^3 + x + 1, lowest power first


def divide(data: bytes, crc: int = 0) -> int:
    register = crc ^ ONES
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (REFLECTED if register & 1 else 0)
    return register ^ ONES


# From the table of Go's hash/crc64/crc64_test.go, and the catalogue's check value.
@pytest.mark.parametrize(
    ("data", "want"),
    [(b"", 0), (b"a", 0x3420000000000000), (b"ab", 0x36C4200000000000), (b"abc", 0x3776C42000000000),
     (b"123456789", 0xB90956C775A41001)],
)  # fmt: skip
def test_is_what_go_computes(data: bytes, want: int) -> None:
    assert crc64(data) == want


@pytest.mark.parametrize("size", [*range(40), 63, 64, 65, 127, 128, 129, 1000, 4095, 4096, 4097])
def test_folds_every_length_right(size: int) -> None:
    data = bytes(i * 37 & 0xFF for i in range(size))
    assert crc64(data) == divide(data)


@given(st.binary(max_size=600), st.binary(max_size=600), st.integers(0, ONES))
def test_goes_on_from_a_checksum(first: bytes, second: bytes, crc: int) -> None:
    assert crc64(first + second, crc) == crc64(second, crc64(first, crc)) == divide(first + second, crc)


def test_cuts_large_data_into_pieces_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 8
    whole = crc64(data)
    monkeypatch.setattr(crc64_module, "_STEP", 100)
    assert crc64(data) == whole == divide(data)


@given(st.integers(0, 3000), st.integers(0, ONES))
def test_zeros_need_not_be_there(count: int, crc: int) -> None:
    assert crc64_zeros(count, crc) == divide(bytes(count), crc)


def test_a_hole_of_terabytes_costs_nothing() -> None:
    half = crc64_zeros(1 << 43, 5)
    assert crc64_zeros(1 << 43, half) == crc64_zeros(1 << 44, 5)
