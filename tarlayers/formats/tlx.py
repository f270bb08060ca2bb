"""The index file of an image archive: all documents, entries and digests, and no contents. docs/tlx.md has it byte
by byte.

Facts: a header of 36 bytes (magic, version, sizes), the head, two sections for each layer (entries, and digests of
contents), and the sha256 of all that as the last 32 bytes. Head and sections are a zstd frame each, so that a layer
which nobody asks for is never expanded. The same values give the same bytes, as long as libzstd is the same.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import zstandard

from tarlayers.digest import Digest
from tarlayers.errors import LimitExceeded, MalformedInput, UnsupportedInput, naming, quote
from tarlayers.formats.columns import ColumnReader, ColumnWriter
from tarlayers.formats.compression import Decompressor
from tarlayers.formats.entrycolumns import DIGEST_BYTES, EntryRow, decode_entries, encode_entries
from tarlayers.formats.magic import TLX_MAGIC, is_tlx
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded
from tarlayers.nouns import count_noun

VERSION = 1

_HEADER = struct.Struct("<8sIQQQ")
_FOOTER = hashlib.sha256().digest_size
# Level 19 makes 4 % less of the entries of a large image and takes ten times as long.
_LEVEL = 9
_CONTENTS, _END_MARK, _CHOSEN = 1, 2, 4
_KIND = re.compile(r"[a-z][a-z-]*")
_COMPRESSIONS = frozenset(("none", "gzip", "zstd", "xz", "bzip2"))
_TOC_FORMATS = frozenset(("", "estargz", "zstd:chunked"))


@dataclass(frozen=True, slots=True)
class IndexedArchive:
    """The archive that an index was made from."""

    kind: str
    size: int
    compression: str


@dataclass(frozen=True, slots=True)
class Section:
    """A zstd frame, and what it expands to."""

    stored: bytes = field(repr=False)
    plain_size: int

    @classmethod
    def pack(cls, plain: bytes) -> Section:
        """Compress."""
        return cls(zstandard.ZstdCompressor(level=_LEVEL).compress(plain), len(plain))

    def expand(self, room: int) -> bytes:
        """Decompress to at most `room` bytes; what is not as large as it has to be is MalformedInput."""
        if self.plain_size > room:
            reason = f"{len(self.stored)} bytes that expand to {self.plain_size} (limit index_ratio)"
            raise LimitExceeded(reason, limit="index_ratio")
        bounded = Limits(plain_bytes=self.plain_size)
        plain = b"".join(Decompressor("zstd", bounded).run((self.stored,)))
        if len(plain) != self.plain_size:
            raise MalformedInput(f"{len(plain)} bytes, the head says {self.plain_size}")
        return plain


@dataclass(frozen=True, slots=True)
class IndexedLayer:
    """One layer blob as it was when it was indexed; all of it computed."""

    diff_id: Digest
    size: int
    plain_size: int
    compression: str
    trailing: int
    behind_gzip: int
    odd_header: bool
    toc_format: str
    """Of its table of contents, which the index does not keep; empty where it has none."""
    entries: Section
    digests: Section
    """Empty in an index without content digests."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """What an index file says."""

    origin: IndexedArchive
    contents: bool
    """Whether files carry content digests."""
    end_mark: bool
    """Whether the archive's tar ended as it has to."""
    chosen: tuple[int, ...] | None
    """Which of the archive's images are indexed, where not all are."""
    sizes: Mapping[str, int]
    """Of the archive's members."""
    aliases: Mapping[str, str]
    duplicates: Mapping[str, int]
    documents: Mapping[str, bytes]
    """Those that tell of images."""
    digests: Mapping[str, Digest]
    """Of the blobs that are no documents, as computed."""
    compressions: Mapping[str, str]
    """Of the same blobs, by magic."""
    layers: Mapping[str, IndexedLayer]
    """By blob."""


def pack_entries(rows: Sequence[EntryRow], *, contents: bool) -> tuple[Section, Section]:
    """Compress a layer's entries, and if asked the digests of their contents."""
    entries, digests = encode_entries(rows, contents=contents)
    return Section.pack(entries), Section.pack(digests)


def unpack_entries(layer: IndexedLayer, *, contents: bool, limits: Limits = DEFAULT_LIMITS) -> Iterator[EntryRow]:
    """Give the rows of a layer, with the digests of contents if asked. MalformedInput and LimitExceeded as for
    `decode_entries`.
    """
    room = find_room(layer.entries, limits)

    def expand_digests(count: int) -> bytes:
        if layer.digests.plain_size != count * DIGEST_BYTES:
            raise MalformedInput(f"{count} files with digests, but {layer.digests.plain_size} bytes of them")
        return layer.digests.expand(count * DIGEST_BYTES)

    return decode_entries(layer.entries.expand(room), expand_digests if contents else None, limits, room)


def find_room(section: Section, limits: Limits) -> int:
    """Give how many bytes a section may expand to: more than any index does."""
    return max(limits.index_grace_bytes, limits.index_ratio * len(section.stored))


# -- writing ---------------------------------------------------------------------------------------


def write_tlx(index: IndexFile) -> Iterator[bytes]:
    """Yield the bytes of the file."""
    head = Section.pack(_write_head(index))
    sections = [section for layer in index.layers.values() for section in (layer.entries, layer.digests)]
    size = _HEADER.size + len(head.stored) + sum(len(section.stored) for section in sections) + _FOOTER
    hasher = hashlib.sha256()
    header = _HEADER.pack(TLX_MAGIC, VERSION, size, len(head.stored), head.plain_size)
    for chunk in (header, head.stored, *(section.stored for section in sections)):
        hasher.update(chunk)
        yield chunk
    yield hasher.digest()


def _write_head(index: IndexFile) -> bytes:
    out = ColumnWriter()
    chosen = index.chosen
    out.number(_CONTENTS * index.contents | _END_MARK * index.end_mark | _CHOSEN * (chosen is not None))
    out.text(index.origin.kind)
    out.number(index.origin.size)
    out.text(index.origin.compression)
    out.number(len(chosen or ()))
    out.numbers(chosen or ())
    for numbered in (index.sizes, index.duplicates):
        _write_names(out, numbered)
        out.numbers(list(numbered.values()))
    for named in (index.aliases, index.digests, index.compressions):
        _write_names(out, named)
        out.texts(str(value) for value in named.values())
    _write_names(out, index.documents)
    for document in index.documents.values():
        out.data(document)
    _write_names(out, index.layers)
    _write_layers(out, list(index.layers.values()))
    return out.getvalue()


def _write_names(out: ColumnWriter, named: Mapping[str, object]) -> None:
    out.number(len(named))
    out.texts(named)


def _write_layers(out: ColumnWriter, layers: Sequence[IndexedLayer]) -> None:
    for texts in (
        [str(layer.diff_id) for layer in layers],
        [layer.compression for layer in layers],
        [layer.toc_format for layer in layers],
    ):
        out.texts(texts)
    for numbers in (
        [layer.size for layer in layers],
        [layer.plain_size for layer in layers],
        [layer.trailing for layer in layers],
        [layer.behind_gzip for layer in layers],
        [int(layer.odd_header) for layer in layers],
        [len(layer.entries.stored) for layer in layers],
        [layer.entries.plain_size for layer in layers],
        [len(layer.digests.stored) for layer in layers],
        [layer.digests.plain_size for layer in layers],
    ):
        out.numbers(numbers)


# -- reading ---------------------------------------------------------------------------------------


def parse_tlx(data: bytes, limits: Limits = DEFAULT_LIMITS) -> IndexFile:
    """Read an index file whose bytes are all there; entries are left compressed. MalformedInput for one that is cut
    short or has changed since it was written, UnsupportedInput for one of another version.
    """
    if not is_tlx(data):
        raise MalformedInput("no index: its magic is missing", offset=0)
    if len(data) >= len(TLX_MAGIC) + 4 and (version := int.from_bytes(data[8:12], "little")) != VERSION:
        raise UnsupportedInput(f"an index of version {version}; this tarlayers reads version {VERSION}", offset=8)
    if len(data) < _HEADER.size + _FOOTER:
        raise MalformedInput("the index is cut short", offset=len(data))
    _, _, size, head_size, head_plain = _HEADER.unpack_from(data)
    if len(data) < size:
        raise MalformedInput(f"the index is cut short: {len(data)} of {size} bytes", offset=len(data))
    if len(data) > size:
        raise MalformedInput(f"{count_noun(len(data) - size, 'byte')} after the end of the index", offset=size)
    end = size - _FOOTER
    if hashlib.sha256(memoryview(data)[:end]).digest() != data[end:]:
        raise MalformedInput("the index has changed since it was written: its digest is wrong", offset=end)
    start = _HEADER.size + head_size
    if start > end:
        raise MalformedInput("a head larger than the index", offset=20)
    with naming("the head of the index"):
        head = Section(data[_HEADER.size : start], head_plain)
        return _Head(head.expand(find_room(head, limits)), data[start:end], limits).read()


class _Head:
    """The state of reading a head. `sections` is what follows it."""

    def __init__(self, head: bytes, sections: bytes, limits: Limits) -> None:
        self._taken = ColumnReader(head)
        self._sections = sections
        self._limits = limits

    def read(self) -> IndexFile:
        taken = self._taken
        flags = taken.number()
        origin = IndexedArchive(self._kind(), self._size(taken.number()), self._word(taken.text(), _COMPRESSIONS))
        chosen = tuple(taken.numbers(taken.count()))
        sizes, duplicates = self._numbers(), self._numbers()
        aliases = self._texts()
        digests = {name: Digest.parse(text, name) for name, text in self._texts().items()}
        compressions = {name: self._word(text, _COMPRESSIONS) for name, text in self._texts().items()}
        documents = {name: self._document(name, sizes.get(name)) for name in self._names()}
        layers = dict(zip(names := self._names(), self._layers(len(names)), strict=True))
        taken.end()
        return IndexFile(
            origin=origin,
            contents=bool(flags & _CONTENTS),
            end_mark=bool(flags & _END_MARK),
            chosen=chosen if flags & _CHOSEN else None,
            sizes=sizes,
            aliases={name: target for name, target in aliases.items() if target in sizes},
            duplicates=duplicates,
            documents=documents,
            digests=digests,
            compressions=compressions,
            layers=layers,
        )

    def _kind(self) -> str:
        kind = self._taken.text()
        if not _KIND.fullmatch(kind):
            raise self._taken.fail(f"{quote(kind)} is no kind of archive")
        return kind

    def _word(self, word: str, known: frozenset[str]) -> str:
        if word not in known:
            raise self._taken.fail(f"{quote(word)} is none of {' '.join(sorted(known)).strip()}")
        return word

    def _size(self, size: int) -> int:
        if size >= 1 << 63:
            raise self._taken.fail(f"a size of {size} bytes")
        return size

    def _names(self) -> list[str]:
        names = self._taken.texts(self._taken.count())
        if len(set(names)) != len(names):
            raise self._taken.fail("a name that comes twice")
        return names

    def _numbers(self) -> dict[str, int]:
        names = self._names()
        return {name: self._size(n) for name, n in zip(names, self._taken.numbers(len(names)), strict=True)}

    def _texts(self) -> dict[str, str]:
        names = self._names()
        return dict(zip(names, self._taken.texts(len(names)), strict=True))

    def _document(self, name: str, size: int | None) -> bytes:
        document = self._taken.data()
        if len(document) != size:
            raise self._taken.fail(f"a document of {len(document)} bytes, but its member {name!r} has {size}")
        if len(document) > self._limits.document_bytes:
            raise limit_exceeded(self._limits, "document_bytes", f"a document of {len(document)} bytes", place=name)
        return document

    def _layers(self, count: int) -> Iterator[IndexedLayer]:
        taken = self._taken
        diff_ids, compressions, toc_formats = (taken.texts(count) for _ in range(3))
        columns = [taken.numbers(count) for _ in range(9)]
        at = 0
        for diff_id, compression, toc_format, *numbers in zip(
            diff_ids, compressions, toc_formats, *columns, strict=True
        ):
            size, plain_size, trailing, behind, odd, *sections = map(self._size, numbers)
            entries_size, entries_plain, digests_size, digests_plain = sections
            stored = self._sections[at : at + entries_size]
            stored_digests = self._sections[at + entries_size : at + entries_size + digests_size]
            at += entries_size + digests_size
            yield IndexedLayer(
                diff_id=Digest.parse(diff_id),
                size=size,
                plain_size=plain_size,
                compression=self._word(compression, _COMPRESSIONS),
                trailing=trailing,
                behind_gzip=behind,
                odd_header=bool(odd),
                toc_format=self._word(toc_format, _TOC_FORMATS),
                entries=Section(stored, entries_plain),
                digests=Section(stored_digests, digests_plain),
            )
        if at != len(self._sections):
            raise taken.fail(f"sections of {at} bytes, but {len(self._sections)} are there")
