"""What the first bytes of a file say it is. Nothing else has to be imported to find that it is none of these."""

from __future__ import annotations

import re

# bzip2 needs the most: "BZh", the level, and six bytes of block magic.
SNIFF_BYTES = 10
# The digits of pi open a block, those of its square root close the stream.
_BZIP2_START = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")

ZSTD_MAGIC = 0xFD2FB528
ZSTD_SKIPPABLE = 0x184D2A50

# As PNG's: a byte that is no text, the name, and line ends that transfers as text would change.
TLX_MAGIC = b"\x89TLX\r\n\x1a\n"


def sniff(prefix: bytes) -> str:
    """Name the compression that `prefix`, the first SNIFF_BYTES or all there is, belongs to; else `none`."""
    if prefix.startswith(b"\x1f\x8b"):
        return "gzip"
    if prefix.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if _BZIP2_START.match(prefix):
        return "bzip2"
    magic = int.from_bytes(prefix[:4], "little")
    return "zstd" if magic == ZSTD_MAGIC or magic & ~0xF == ZSTD_SKIPPABLE else "none"


def is_tlx(prefix: bytes) -> bool:
    """Say whether a file that begins so is an index, of whatever version."""
    return prefix.startswith(TLX_MAGIC)
