"""Taking a tar apart into tar-split records, and putting it together again from records and contents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from tarlayers.errors import MalformedInput
from tarlayers.formats.crc64 import crc64, crc64_zeros
from tarlayers.formats.tar import HEADER_ONLY, ChunkFeed, Member, Walker
from tarlayers.formats.tarsplit import FileRecord, Record, Segment, show_name, walk_records
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.nouns import count_noun

# What follows the end of an archive is cut into segments of this size, as by the reference.
_TAIL_BYTES = 1 << 20
_HOLE = bytes(1 << 16)

OpenContent = Callable[[bytes], Iterable[bytes | int]]
"""Gives the expanded content of the file that a tar names so, holes as their lengths or as zeros; ContentAbsent
where there is none."""


def disassemble(chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Iterator[Record]:
    """Yield the records of an uncompressed tar, read once from front to back, one entry at a time.

    They are the reference's records but for two differences, with which every tar can be put together again: the
    map of a PAX 1.0 sparse file is in a segment (the reference loses it), and the record of a hard link or
    directory has no size, whatever its header says. The empty segment that some of its versions end with is left
    out, and entries of one name are recorded too, which it refuses. What a Walker raises is raised here.
    """
    walker = Walker(ChunkFeed(chunks), limits=limits, raw=True)
    position = 0
    for member in walker:
        if raw := walker.take_raw():
            yield Segment(raw, position)
            position += 1
        size = 0 if member.typeflag in HEADER_ONLY else member.size
        yield FileRecord(member.name, size, _run_checksum(walker.runs()) if size else None, position)
        position += 1
    for payload in chain((walker.take_raw(),), _even_pieces(walker.tail())):
        if payload:
            yield Segment(payload, position)
            position += 1


def _run_checksum(runs: Iterable[bytes | int]) -> int:
    crc = 0
    for run in runs:
        crc = crc64(run, crc) if isinstance(run, bytes) else crc64_zeros(run, crc)
    return crc


def _even_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of one size, so that the records do not depend on how the tar was read."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        while len(piece) >= _TAIL_BYTES:
            yield bytes(piece[:_TAIL_BYTES])
            del piece[:_TAIL_BYTES]
    if piece:
        yield bytes(piece)


def assemble(records: Iterable[Record], open_content: OpenContent, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the tar that the records were made of, each content asked for when it is due.

    MalformedInput names the file whose content is not the recorded one; chunks before it have been handed out.
    """
    for step in walk_records(records, limits):
        if step.raw:
            yield step.raw
        member, record = step.member, step.record
        # The reference records a size for a hard link whose header has one, though no content follows.
        if member is not None and record is not None and record.size and member.typeflag not in HEADER_ONLY:
            meter = ContentMeter(record.size)
            yield from store_content(member, meter.watch(open_content(member.name)))
            if fault := meter.judge(record):
                raise MalformedInput(fault, place=show_name(record.name))


class ContentMeter:
    """Counts a content and computes its CRC-64 as it passes; more than `most` bytes are not drawn."""

    def __init__(self, most: int) -> None:
        self.size = 0
        self.crc64 = 0
        self._most = most

    def watch(self, runs: Iterable[bytes | int]) -> Iterator[bytes | int]:
        """Pass the runs on, each counted before it is handed out."""
        for run in runs:
            if isinstance(run, bytes):
                self.size += len(run)
                self.crc64 = crc64(run, self.crc64)
            else:
                self.size += run
                self.crc64 = crc64_zeros(run, self.crc64)
            if self.size > self._most:
                return
            yield run

    def judge(self, record: FileRecord) -> str | None:
        """Say what is wrong when what has passed is not the recorded content."""
        if self.size > record.size:
            return f"has more than the {count_noun(record.size, 'byte')} recorded"
        if self.size < record.size:
            return f"has {count_noun(self.size, 'byte')}, not the {record.size} recorded"
        claimed = record.crc64 or 0
        return f"has CRC-64 {self.crc64:016x}, not the recorded {claimed:016x}" if self.crc64 != claimed else None


def store_content(member: Member, runs: Iterable[bytes | int]) -> Iterator[bytes]:
    """Yield what the tar has of a content: all of it, or a sparse file's regions. Every run is drawn.

    MalformedInput where the regions are not known.
    """
    if is_unmapped(member):
        raise MalformedInput("the map of this sparse file is not recorded", place=show_name(member.name))
    if member.sparse is not None:
        yield from _cut_regions(runs, member.sparse)
        return
    for run in runs:
        yield from (run,) if isinstance(run, bytes) else _zeros(run)


def is_unmapped(member: Member) -> bool:
    """Say whether it is lost which regions of a sparse file its tar has, as from every tar-split file that the
    reference makes of PAX 1.0 sparse files.
    """
    return member.sparse == () and member.stored > 0


def _cut_regions(runs: Iterable[bytes | int], regions: tuple[tuple[int, int], ...]) -> Iterator[bytes]:
    """What `regions`, in their order, cover of a content."""
    waiting = iter(regions)
    start, end = 0, 0  # of the region that is due
    position = 0
    for run in runs:
        length = len(run) if isinstance(run, bytes) else run
        after = position + length
        while True:
            low, high = max(start, position), min(end, after)
            if low < high:
                yield from (run[low - position : high - position],) if isinstance(run, bytes) else _zeros(high - low)
            if end > after or (region := next(waiting, None)) is None:
                break
            start, end = region[0], region[0] + region[1]
        position = after


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _HOLE[:count]
        count -= len(_HOLE)
