"""Content digests: the value, the chain of layers, and a meter that hashes what passes.

A digest is `algorithm:hex` (OCI image-spec, descriptor.md "Digests"). Only sha256 and sha512 are
registered there; sha256 is what every engine writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tarlayers.errors import MalformedInput, quote

_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_BY_LENGTH = {length: name for name, length in _HEX_LENGTH.items()}
_HEX = re.compile(r"[0-9a-f]+")


class Digest(NamedTuple):
    """A validated digest. Build it with `parse` or `of`; `str()` gives the text back."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: object, place: str = "") -> Digest:
        """Read `algorithm:hex`; anything else is MalformedInput that names `place`."""
        if isinstance(text, str):
            algorithm, _, digits = text.partition(":")
            if _HEX_LENGTH.get(algorithm) == len(digits) and _HEX.fullmatch(digits):
                return cls(algorithm, digits)
        raise MalformedInput(f"{quote(text)} is not a digest", place=place)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """Hash `data`."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def is_meant(self, text: str, least: int) -> bool:
        """Say whether a text is this digest, with its algorithm or without, or `least` and more of its first digits."""
        digits = text.removeprefix(f"{self.algorithm}:")
        return len(digits) >= least and self.hex.startswith(digits)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def name_algorithm(name: str) -> str:
    """Give the algorithm by which a blob is called, going by how many hex digits its name ends in."""
    return _BY_LENGTH.get(len(name) - len(name.rstrip("0123456789abcdef")), "sha256")


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """Give the chain ID of every layer, base first (image-spec config.md, "Layer ChainID").

    chain(0) = diffID(0); chain(n) = sha256(chain(n-1) + " " + diffID(n)).
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


class Meter:
    """Counts and, if asked, hashes the bytes of one stream as they pass.

    `size` and `digest()` are those of the bytes seen so far; whoever needs the whole stream's must
    drain it first.
    """

    def __init__(self, *, hashed: bool = True, algorithm: str = "sha256") -> None:
        self.size = 0
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm) if hashed else None

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass `chunks` on unchanged, each counted and hashed before it is handed out."""
        for chunk in chunks:
            self.size += len(chunk)
            if self._hash is not None:
                self._hash.update(chunk)
            yield chunk

    def stop_hashing(self) -> None:
        """Go on counting alone: the digest turned out not to be needed."""
        self._hash = None

    def digest(self) -> Digest | None:
        """The digest of what has passed, or None when hashing was not asked for."""
        return Digest(self.algorithm, self._hash.hexdigest()) if self._hash else None
