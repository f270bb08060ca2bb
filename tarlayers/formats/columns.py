"""Records kept column by column: packed numbers, names and bytes, which compress far better than records in a row.

Facts: a varint is LEB128 (seven bits a byte, the lowest first). Signed numbers are folded (0, -1, 1, -2 are 0, 1,
2, 3), so that small ones stay small. A column of numbers is its width, one byte, and then that many planes: all
lowest bytes, all second lowest, and so on; equal bytes stand together, and planes of zeros at the top are left out.
A column of names is its size in bytes, and then the names, each with a NUL behind it, which no name of a tar holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import islice

from tarlayers.errors import MalformedInput

_WIDEST = 16
_BATCH = 1 << 12
_VARINT_BYTES = 19  # 128 bits
_UNITS = ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))


def fold_sign(value: int) -> int:
    """Give the natural number that stands for a signed one."""
    return value << 1 if value >= 0 else ((-value) << 1) - 1


def unfold_sign(value: int) -> int:
    """Give the signed number back."""
    return -((value + 1) >> 1) if value & 1 else value >> 1


class ColumnWriter:
    """Appends columns to each other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def getvalue(self) -> bytes:
        """Give everything written."""
        return b"".join(self._parts)

    def number(self, value: int) -> None:
        """Write one varint."""
        if not 0 <= value < 1 << 8 * _WIDEST:
            raise ValueError(f"{value} is no number of {8 * _WIDEST} bits")
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        self._parts.append(bytes(out))

    def data(self, value: bytes) -> None:
        """Write bytes of any length."""
        self.number(len(value))
        self._parts.append(value)

    def raw(self, value: bytes) -> None:
        """Write bytes whose length the reader will know."""
        self._parts.append(value)

    def text(self, value: str) -> None:
        """Write one name."""
        self.texts((value,))

    def texts(self, values: Iterable[str]) -> None:
        """Write a column of names."""
        names = iter(values)
        parts: list[bytes] = []
        while batch := list(islice(names, _BATCH)):  # a million names at once are three times as much as their bytes
            joined = "\0".join((*batch, ""))
            if joined.count("\0") != len(batch):
                raise ValueError("a name with a NUL in it")
            parts.append(joined.encode("utf-8", "surrogateescape"))
        self.number(sum(map(len, parts)))
        self._parts += parts

    def numbers(self, values: Sequence[int]) -> None:
        """Write a column of numbers from 0 to 2**128 - 1."""
        width = (max(values, default=0).bit_length() + 7) >> 3
        if width > _WIDEST or min(values, default=0) < 0:
            raise ValueError(f"a number of more than {8 * _WIDEST} bits, or a negative one")
        if width <= 8:
            step, raw = 8, struct.pack(f"<{len(values)}Q", *values)
        else:
            step, raw = width, b"".join(value.to_bytes(width, "little") for value in values)
        self._parts.append(bytes((width,)))
        self._parts += (raw[plane::step] for plane in range(width))


class ColumnReader:
    """Takes columns in the order in which they were written. Whatever the bytes are, each method gives a value of
    its type or raises MalformedInput with the offset.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def fail(self, reason: str) -> MalformedInput:
        """Make the error for what was just read."""
        return MalformedInput(reason, offset=self.offset)

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.offset != len(self._data):
            raise self.fail(f"{len(self._data) - self.offset} bytes more than it has to have")

    def raw(self, size: int) -> bytes:
        """Take so many bytes."""
        start, stop = self.offset, self.offset + size
        if stop > len(self._data):
            raise self.fail(f"ends {stop - len(self._data)} bytes early")
        self.offset = stop
        return self._data[start:stop]

    def number(self) -> int:
        """Take one varint."""
        value = 0
        for place in range(_VARINT_BYTES):
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise self.fail(f"a number of more than {_VARINT_BYTES} bytes")

    def count(self) -> int:
        """Take a varint that counts things of a byte or more each, all of which follow."""
        value = self.number()
        if value > len(self._data) - self.offset:
            raise self.fail(f"{value} of something, of which only {len(self._data) - self.offset} bytes follow")
        return value

    def data(self) -> bytes:
        """Take bytes of any length."""
        return self.raw(self.number())

    def text(self) -> str:
        """Take one name."""
        return self.texts(1)[0]

    def texts(self, count: int) -> list[str]:
        """Take a column of names."""
        joined = self.data()
        if joined.count(0) != count or (count and joined[-1]):
            raise self.fail(f"not {count} names")
        return joined.decode("utf-8", "surrogateescape").split("\0")[:count]

    def numbers(self, count: int) -> Sequence[int]:
        """Take a column of numbers."""
        width = self.raw(1)[0]
        if width > _WIDEST:
            raise self.fail(f"numbers of {width} bytes")
        planes = self.raw(width * count)
        if not width:
            return [0] * count
        unit, code = next(((unit, code) for unit, code in _UNITS if width <= unit), (width, ""))
        raw = bytearray(unit * count)
        for plane in range(width):
            raw[plane::unit] = planes[plane * count : (plane + 1) * count]
        if code:
            return struct.unpack(f"<{count}{code}", raw)
        return [int.from_bytes(raw[i : i + unit], "little") for i in range(0, len(raw), unit)]
