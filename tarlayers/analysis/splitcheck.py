"""Are the contents still those that a tar-split file recorded? Each file is read once and compared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tarlayers.digest import Digest, Meter
from tarlayers.errors import ContentAbsent
from tarlayers.finding import CODES
from tarlayers.formats.assembly import ContentMeter, OpenContent, is_unmapped, store_content
from tarlayers.formats.tar import HEADER_ONLY, Member
from tarlayers.formats.tarsplit import FileRecord, Record, show_name, walk_records
from tarlayers.formats.whiteout import PREFIX
from tarlayers.limits import DEFAULT_LIMITS, Limits
from tarlayers.nouns import count_noun

_UNBOUNDED = 1 << 63


class ContentFault(NamedTuple):
    """A file that is not what was recorded."""

    code: str
    """`V020` it is missing or cannot be read, `V021` its size is another, `V022` its CRC-64 is; `V023` it is a sparse
    file whose map is not recorded, so that the tar cannot be put together."""
    severity: str
    name: str
    claimed: str | int | None
    computed: str | int | None
    message: str


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a check of contents against their tar-split records found."""

    files: int
    bytes: int
    """Of content, holes included."""
    diff_id: Digest | None
    """sha256 of the tar that records and contents make; None where a content is not the recorded one."""
    plain_size: int
    """Bytes of that tar."""
    faults: tuple[ContentFault, ...]

    @property
    def ok(self) -> bool:
        """Whether every content is as recorded."""
        return all(fault.severity != "error" for fault in self.faults)


def verify_contents(
    records: Iterable[Record], open_content: OpenContent, limits: Limits = DEFAULT_LIMITS
) -> SplitReport:
    """Read every regular file and put the tar together in passing. Faults of the records themselves are raised.

    Whiteouts are not looked for: an engine that unpacks turns them into something else.
    """
    tar = Meter()
    files = size = 0
    faults: list[ContentFault] = []
    for piece in walk_records(records, limits):
        _pass(tar, (piece.raw,))
        member, record = piece.member, piece.record
        if member is None or record is None or not _is_file(member):
            continue
        content = ContentMeter(_UNBOUNDED)
        try:
            runs = content.watch(open_content(member.name))
            if is_unmapped(member):
                faults.append(_fault("V023", record, None, None, "the map of this sparse file is not recorded"))
                deque(runs, maxlen=0)
            else:
                _pass(tar, store_content(member, runs))
            faults.extend(_judge(record, content))
        except ContentAbsent as error:
            faults.append(_fault("V020", record, _claim(record), None, error.reason))
        files += 1
        size += content.size
    return SplitReport(files, size, None if faults else tar.digest(), tar.size, tuple(faults))


def _pass(tar: Meter, chunks: Iterable[bytes]) -> None:
    for _ in tar.watch(chunks):
        pass


def _is_file(member: Member) -> bool:
    base = member.name.rpartition(b"/")[2]
    return member.typeflag not in HEADER_ONLY | {b"g"} and not base.startswith(PREFIX.encode())


def _fault(
    code: str, record: FileRecord, claimed: str | int | None, computed: str | int | None, message: str
) -> ContentFault:
    return ContentFault(code, CODES[code], show_name(record.name), claimed, computed, message)


def _claim(record: FileRecord) -> str | None:
    return None if record.crc64 is None else f"crc64:{record.crc64:016x}"


def _judge(record: FileRecord, content: ContentMeter) -> Iterator[ContentFault]:
    if content.size != record.size:
        message = f"has {count_noun(content.size, 'byte')}, not the {record.size} recorded"
        yield _fault("V021", record, record.size, content.size, message)
    elif (fault := content.judge(record)) is not None:
        yield _fault("V022", record, _claim(record), f"crc64:{content.crc64:016x}", fault)
