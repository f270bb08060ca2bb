"""Sizes as people write them: `20MB`, `1.5GiB`, `4096`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9][0-9,]{0,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})\s*([a-z]*)", re.IGNORECASE)
_POWERS = {letter: power for power, letter in enumerate("kmgtpe", 1)}


def parse_size(text: str) -> int | None:
    """Give the bytes that a size means, None for what is no size.

    MB is 10^6, MiB is 2^20, in any case, with or without the B or a blank: as go-humanize reads them, which is
    what dive reads sizes with. A fraction of a byte is dropped.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    number, unit = match[1].replace(",", ""), match[2].lower().removesuffix("b")
    if not unit:
        return int(float(number))
    base = 1024 if unit.endswith("i") else 1000
    power = _POWERS.get(unit.removesuffix("i"))
    return None if power is None else int(float(number) * base**power)
