"""Nouns, as messages count them."""

from __future__ import annotations


def count_noun(number: int, noun: str) -> str:
    """`1 blob`, `2 blobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
