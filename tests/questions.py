"""Every question there is, asked of any bytes: each returns or raises TarlayersError.

    asked = ask_everything(data, step=7)    # a Counter of the questions that were answered and refused

What an answer says is not looked at here, with one exception: where `verify` finds all digests right, hashlib has to.
"""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import zstandard

import tarlayers
from tarlayers.analysis.dive import score_image
from tarlayers.analysis.hidden import list_hidden
from tarlayers.analysis.listing import Selection
from tarlayers.analysis.secrets import find_secrets
from tarlayers.analysis.usage import measure_usage
from tarlayers.analysis.waste import measure_waste
from tarlayers.errors import TarlayersError
from tarlayers.export import export_rootfs
from tarlayers.extract import extract_paths
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.compression import open_plain
from tarlayers.formats.tarsplit import decode_records, encode_record, walk_records
from tarlayers.image import Image
from tarlayers.imagearchive import ImageArchive
from tarlayers.limits import Limits
from tarlayers.opening import open_images
from tarlayers.render import blame, changes, diff, findings, hidden, images, lint, log, values, waste
from tarlayers.render.diff_markdown import markdown_lines
from tarlayers.render.listing import list_long, list_tree
from tarlayers.shipped import trace_files
from tests.build import FLAVOURS, file, image, layer, pack

# A mutated number may claim what no test has the memory for: the bounds that a careful service would set.
LIMITS = Limits(plain_bytes=64 << 20, sparse_bytes=1 << 20, ratio_grace_bytes=16 << 20)
_MOST_IMAGES = 2
_MOST_READS = 4000
OTHER = pack(
    FLAVOURS["docker-25"](
        [
            image(layer(file("etc/x", b"other"), file("only"))),
        ]
    )
)


class Dribble(io.RawIOBase):
    """A stream that gives `step` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = memoryview(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = self._step if size < 0 else min(size, self._step)
        piece, self._data = bytes(self._data[:count]), self._data[count:]
        return piece


@contextmanager
def path_of(data: bytes) -> Iterator[str]:
    """A path that gives these bytes, without a disk."""
    descriptor = os.memfd_create("archive")
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def ask_everything(data: bytes, step: int, destination: str | None = None) -> Counter[str]:
    """Ask of the bytes in a file and as a stream that comes `step` bytes at a time; extract below `destination`."""
    asked: Counter[str] = Counter()
    with path_of(data) as path:
        _ask_archive(asked, lambda: open_images(path, limits=LIMITS), destination)
        if len(data) // step < _MOST_READS:
            _ask_archive(
                asked, lambda: open_images(Dribble(data, step), contents=True, keep=step % 2 == 0, limits=LIMITS), None
            )
    _ask(asked, "tarsplit", lambda: _split(data, step))
    return asked


def _inspect(archive: tarlayers.ImageArchive) -> None:
    meant = dict(enumerate(archive.images))
    _json(images.inspect_document(archive, meant))
    list(images.inspect_lines(archive, meant))


def _ask(asked: Counter[str], what: str, question: Callable[[], Any]) -> Any:
    try:
        answer = question()
    except TarlayersError as error:
        assert "\n" not in error.reason or error.place, error
        str(error)
        asked[f"{what}: refused"] += 1
        return None
    asked[what] += 1
    return answer


def _ask_archive(asked: Counter[str], open_it: Callable[[], ImageArchive], destination: str | None) -> None:
    archive = _ask(asked, "open", open_it)
    if archive is None:
        return
    _ask(asked, "inspect", lambda: _inspect(archive))
    verify = tarlayers.verify_archive if archive.root is None else tarlayers.verify_root
    report = _ask(asked, "verify", lambda: verify(archive))
    if report is not None:
        _json(findings.verify_document(report))
        list(findings.verify_lines(report, every_blob=True))
        if report.ok and archive.root is None:
            asked["verify: ok"] += 1
            unchecked = {str(finding.claimed) for finding in report.findings if finding.code == "V015"}
            check_digests(archive, unchecked)
    for each in archive.images[:_MOST_IMAGES]:
        _ask_image(asked, each, destination)


def _ask_image(asked: Counter[str], each: Image, destination: str | None) -> None:
    _ask(asked, "layers", lambda: _layers(each))
    _ask(asked, "history", lambda: _history(each))
    for engine in ("containerd", "oci"):
        _ask(asked, "changes", lambda: _json(changes.changes_document(tarlayers.list_changes(each, engine=engine))))  # noqa: B023 # called at once
        _ask(asked, "merge", lambda: _merge(each, engine, destination))  # noqa: B023 # as above
    _ask(asked, "log", lambda: _json(log.log_document(tarlayers.trace_path(each, "/l/x"))))
    _ask(asked, "blame", lambda: _json({"entries": list(blame.blame_rows(tarlayers.blame_paths(each)))}))
    _ask(asked, "waste", lambda: _waste(each))
    _ask(asked, "hidden", lambda: _hidden(each))
    _ask(asked, "lint", lambda: (_json(lint.lint_document(r := tarlayers.lint_image(each))), list(lint.lint_lines(r))))
    _ask(asked, "diff", lambda: _diff(each))


def _layers(each: Image) -> None:
    for part, chain_id in zip(each.layers, each.chain_ids, strict=True):
        _json(images.layer_document(part, chain_id))
        images.layer_cells(part)


def _history(each: Image) -> None:
    for row in each.history:
        _json(images.history_row(row, None if row.layer is None else each.layers[row.layer]))
        images.history_cells(row, each.layers, sizes=True, full=True)


def _merge(each: Image, engine: str, destination: str | None) -> None:
    rootfs = tarlayers.merge_layers(each.layers, engine=engine)
    rows = [(path, node.entry, node.layer, rootfs.links_of(path)) for path, node in rootfs.sorted_nodes()]
    for path, entry, index, links in rows:
        _json(values.entry_dict(entry, path=path, layer=index, links=links))
    list(list_long(rows))
    list(list_tree(Selection("", True, None, frozenset()).select_tree(rootfs)))
    measure_usage(rootfs, ["", *rootfs])
    for _ in export_rootfs(rootfs, each.layers):
        pass
    if destination is not None:
        with TemporaryDirectory(dir=destination) as inside, suppress(OSError):
            extract_paths(rootfs, each.layers, inside)


def _waste(each: Image) -> None:
    _json(waste.waste_document(measure_waste(each), score_image(each), None))
    measure_waste(each, digests=True)


def _hidden(each: Image) -> None:
    shipment = trace_files(each.layers)
    _json(hidden.hidden_document(list_hidden(each, shipment.files), None, shipment.refused, None))
    find_secrets(each, shipment.files)


def _diff(each: Image) -> None:
    other = tarlayers.open_image(io.BytesIO(OTHER)) if any(layer.unreadable for layer in each.layers) else None
    with path_of(OTHER) as path:
        found = tarlayers.diff_images(each, other or tarlayers.open_image(path))
    _json(diff.diff_document(found))
    list(diff.diff_lines(found))
    list(markdown_lines(found, "old", "new", stat=False))


def _split(data: bytes, step: int) -> None:
    chunks = [data[at : at + 512 * step] for at in range(0, len(data), 512 * step)]
    lines = [encode_record(record) for record in disassemble(open_plain(chunks, LIMITS), LIMITS)]
    for _ in walk_records(decode_records(lines, LIMITS), LIMITS):
        pass


def _json(document: Any) -> None:
    values.dump_json(document)


# -- digests ---------------------------------------------------------------------------------------


def check_digests(archive: ImageArchive, unchecked: set[str]) -> None:
    """What verify called right, and did not say it left alone, has to be right by other programs' reckoning."""
    for each in archive.images:
        for part in each.layers:
            if part.unreadable or part.blob is None or part.bare:
                continue
            try:
                stored = b"".join(part._store.open(part.blob))
            except TarlayersError:
                continue  # a stream that has passed
            if part.claimed_digest is not None and str(part.claimed_digest) not in unchecked:
                hasher = hashlib.new(part.claimed_digest.algorithm, stored)
                assert hasher.hexdigest() == part.claimed_digest.hex, "a wrong digest was called right"
            if part.claimed_diff_id is not None and str(part.claimed_diff_id) not in unchecked:
                plain = expand(stored)
                assert hashlib.sha256(plain).hexdigest() == part.claimed_diff_id.hex, "a wrong diff ID was called right"
        if each.image_id is not None and each.config is not None:
            assert hashlib.sha256(each.config.raw).hexdigest() == each.image_id.hex


def expand(stored: bytes) -> bytes:
    """Decompress with other decoders than the ones that are tested."""
    if stored[:2] == b"\x1f\x8b":
        return b"".join(_gunzip(stored))
    if stored[:4] == b"\x28\xb5\x2f\xfd":
        with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
            return reader.read()
    return stored


def _gunzip(stored: bytes) -> Iterable[bytes]:
    while stored[:2] == b"\x1f\x8b":
        decoder = zlib.decompressobj(wbits=31)
        yield decoder.decompress(stored)
        assert decoder.eof
        stored = decoder.unused_data
