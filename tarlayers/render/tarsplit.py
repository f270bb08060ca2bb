"""tar-split members and checks: as JSON documents and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tarlayers.analysis.splitcheck import SplitReport
from tarlayers.entry import Entry
from tarlayers.formats.tarsplit import FileRecord
from tarlayers.nouns import count_noun
from tarlayers.render.escape import escape_text
from tarlayers.render.listing import Row
from tarlayers.render.values import human_size, raw_entry_dict

RecordedEntry = tuple[Entry, FileRecord]


def member_document(entry: Entry, record: FileRecord) -> dict[str, Any]:
    """One member as JSON: as in a raw layer listing, without a layer, with the checksum of its content."""
    document = raw_entry_dict(entry, layer=0)
    del document["layer"]
    if record.crc64 is not None and entry.type in ("file", "unknown"):
        document["crc64"] = f"{record.crc64:016x}"
    return document


def member_rows(members: Iterable[RecordedEntry]) -> Iterator[Row]:
    """Rows for a listing, with the checksum in the column of the layer."""
    for entry, record in members:
        yield entry.path, entry, "-" if record.crc64 is None else f"{record.crc64:016x}", ()


def check_document(report: SplitReport) -> dict[str, Any]:
    """The answer of `tarsplit verify`."""
    return {
        "ok": report.ok,
        "checked": {"files": report.files, "bytes": report.bytes},
        "diff_id": None if report.diff_id is None else str(report.diff_id),
        "findings": [
            {
                "code": fault.code,
                "severity": fault.severity,
                "place": escape_text(fault.name),
                "claimed": fault.claimed,
                "computed": fault.computed,
                "message": escape_text(fault.message),
            }
            for fault in report.faults
        ],
    }


def check_lines(report: SplitReport) -> Iterator[str]:
    """One line a finding, then what was checked and how it came out."""
    for fault in report.faults:
        yield f"{fault.severity} {fault.code} {escape_text(fault.name)}: {escape_text(fault.message)}"
    files = count_noun(report.files, "file")
    wrong = sum(fault.severity == "error" for fault in report.faults)
    verdict = f"{wrong} not as recorded" if wrong else "as recorded"
    yield f"verified {files}, {human_size(report.bytes)}: {verdict}"
    if report.diff_id is not None:
        yield f"diff ID {report.diff_id}"
