"""Opening a path or a stream.

A seekable file or a directory is read in place and layers are indexed when their entries are first asked for; a stream
(standard input, a compressed archive) is read once, at once; an engine's data root, or a tar of one, is looked for
where there is no archive's document. This is the only place that decides which.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from tarlayers.digest import Digest, Meter
from tarlayers.errors import ContentAbsent, MalformedInput, UnsupportedInput, naming
from tarlayers.formats.magic import SNIFF_BYTES, is_tlx, sniff
from tarlayers.imagearchive import ImageArchive, assemble_archive, find_root, make_store
from tarlayers.limits import DEFAULT_LIMITS, Limits, limit_exceeded, require_limits
from tarlayers.reference import choose_image
from tarlayers.sources.archive import open_directory, open_tar
from tarlayers.sources.blob import read_file_at, read_stream
from tarlayers.sources.layout import LAYOUT_FILE
from tarlayers.stdio import STANDARD
from tarlayers.stores.store import SeekStore, tell_reading

# What only some archives need is imported where it is met: a short command on a small image is all start-up.
if TYPE_CHECKING:
    from tarlayers.image import Image
    from tarlayers.sources.layercache import LayerCache
    from tarlayers.stores.indexstore import IndexStore
    from tarlayers.stores.store import OnRead, Store

_LAYOUT_FILES = frozenset(("index.json", LAYOUT_FILE, "manifest.json"))


class Readable(Protocol):
    """A binary stream: whatever gives at most so many bytes when it is asked, and none at its end."""

    def read(self, size: int, /) -> bytes | None:
        """Give the next bytes. None, as of a stream that does not wait for them, is ReadFailed."""


Source = str | os.PathLike[str] | Readable


def open_image(
    source: Source,
    *,
    reference: str | Digest | None = None,
    platform: str | None = None,
    contents: bool = False,
    keep: bool = False,
    cache: LayerCache | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Image:
    """Open an archive and give the one image that is meant.

    `source` is a path or a binary stream. Of a path only the documents are read now, and each layer when it is first
    asked for. A stream, and an archive that is compressed as a whole, is read to its end, once: questions that compare
    files (`diff_images`, `trace_path`, `list_changes`) need `contents` then, and what files hold can be read later with
    `keep` alone, which spools it to an unnamed temporary file.

    `reference` (a tag, a digest, an image ID or `@N`) and `platform` (`os/arch[/variant]`) choose one of several
    images, as for `choose_image`. NoSuchImage lists what there is when none or several fit; ContentAbsent when what is
    meant is named but not there. MalformedInput, UnsupportedInput and LimitExceeded say what is wrong with the
    archive, and where; also that there is no such file. `cache` and `limits` are those of `open_images`.
    """
    archive = open_images(source, contents=contents, keep=keep, cache=cache, limits=limits)
    wanted = str(reference) if isinstance(reference, Digest) else reference
    with naming(archive.name):
        return choose_image(archive.images, wanted, platform, archive.others, unlisted=archive.unlisted)


def open_images(
    source: Source,
    *,
    hashed: bool = True,
    contents: bool = False,
    entries: bool = True,
    keep: bool = False,
    spool: bool = False,
    tell: Callable[[str], object] | None = None,
    cache: LayerCache | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_read: OnRead | None = None,
    called: str = "the stream",
) -> ImageArchive:
    """Open an archive and list all it holds.

    `hashed` and `contents` say what a stream has to compute while it passes (see `Layer.read`); they mean
    nothing for what can be read again; nor does `entries`, which says whether those of its layers will be asked for, as
    by all but `verify_archive`. With `keep` a stream is spooled to an unnamed temporary file, so that
    contents can be read afterwards; ContentAbsent for an index, which has none. With `spool` it is too, but only so
    that `cache` can serve it. `tell` hears, in a line, how a stream is read, `on_read` of its progress.
    What can be read again takes the layers that `cache` has from there, and puts those that it reads there; what is
    read under other limits than the default ones does not. Errors name a stream as it is `called`; ValueError for
    limits that are no whole numbers of 0 or more.
    """
    require_limits(limits)
    needs = _Needs(hashed, contents, entries, keep, spool, tell or (lambda _: None), cache, on_read, called)
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), needs, limits)
    _require_binary(source)
    found = _open_stream(STANDARD, _read_stream(source), needs, limits)
    if _is_passed_root(found):
        raise UnsupportedInput("a data root cannot be read as it passes: give it as a file", place=called)
    return replace(found, called=called)


def _require_binary(source: object) -> None:
    if isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
        raise TypeError(f"a path or a binary stream is needed, not {type(source).__name__}")
    if isinstance(source, io.IOBase) and not source.readable():
        raise ValueError("the stream is not open for reading")


class _Needs(NamedTuple):
    """What is needed of a stream, and where layers are kept."""

    hashed: bool
    contents: bool
    entries: bool
    keep: bool
    spool: bool
    tell: Callable[[str], object]
    cache: LayerCache | None
    on_read: OnRead | None
    called: str


def _open_path(path: str, needs: _Needs, limits: Limits) -> ImageArchive:
    if os.path.isdir(path):  # noqa: PTH112 # Path.is_dir raises where a directory above may not be entered
        with naming(path):
            return _open_directory(path, needs, limits)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MalformedInput(error.strerror or str(error), place=path) from error
    with os.fdopen(descriptor, "rb", buffering=0) as stream, naming(path):
        head = read_file_at(descriptor, 0, SNIFF_BYTES, "") if stream.seekable() else b""
        if not stream.seekable() or _passes(head):
            return _open_packed(path, stream, needs, limits)
        if not os.fstat(descriptor).st_size:
            raise MalformedInput("the file is empty")
        if Path(path).name in _LAYOUT_FILES and head[:1] in (b"{", b"["):
            raise UnsupportedInput("a document of an image, not an archive: give the directory that it is in")
        archive = open_tar(path, os.dup(descriptor), limits)
        return assemble_archive(path, archive.size, "none", make_store(archive, needs.cache, limits), limits)


def _open_directory(path: str, needs: _Needs, limits: Limits) -> ImageArchive:
    from tarlayers.sources.filetree import DirectoryTree  # noqa: PLC0415 # as said at the top

    tree = DirectoryTree(path.rstrip("/") or "/")
    found = None if _LAYOUT_FILES & set(tree.names("")) else find_root(path, None, "none", tree, limits, needs.cache)
    if found is not None:
        return found
    archive = open_directory(path)
    store = make_store(archive, needs.cache, limits)
    return assemble_archive(path, archive.size, "none", store, limits, directory=True)


def _open_packed(path: str, stream: BinaryIO, needs: _Needs, limits: Limits) -> ImageArchive:
    """Read a file that cannot be read in place; a data root in it has to be kept."""
    found = _open_stream(path, _read_stream(stream), needs, limits)
    if not _is_passed_root(found):
        return found
    if not stream.seekable():
        raise UnsupportedInput("a data root cannot be read as it passes: give it as a file")
    needs.tell(f"{path} holds a data root, which takes more than one look: it is read again")
    stream.seek(0)
    return _open_stream(path, _read_stream(stream), needs._replace(keep=True), limits)


def _passes(head: bytes) -> bool:
    """Say whether a file that begins so is read from its front to its end, even where one could seek in it."""
    return sniff(head) != "none" or is_tlx(head)


def _read_stream(stream: Readable) -> Iterator[bytes]:
    return read_stream(getattr(stream, "read1", stream.read))


def _open_stream(path: str, chunks: Iterator[bytes], needs: _Needs, limits: Limits) -> ImageArchive:
    name = needs.called if path == STANDARD else path
    stored = Meter(hashed=False)
    head, plain = _peek(stored.watch(tell_reading(chunks, needs.on_read)))
    if not head:
        raise MalformedInput("the input is empty", place=name)
    compression = sniff(head)
    with naming(name):
        if compression != "none":
            from tarlayers.formats.compression import Decompressor  # noqa: PLC0415 # as said at the top

            head, plain = _peek(Decompressor(compression, limits).run(plain))
        if is_tlx(head):
            return _open_index(path, plain, stored, compression, needs, limits)
        if needs.keep or needs.spool:
            store: Store = _spool(name, plain, needs, limits)
        else:
            from tarlayers.stores.passedstore import pass_stream  # noqa: PLC0415 # as said at the top

            needs.tell(f"{name} is read in one pass, nothing is kept on disk")
            store = pass_stream(
                plain,
                hashed=needs.hashed,
                contents=needs.contents,
                entries=needs.entries,
                limits=limits,
                called=name,
            )
        return assemble_archive(path, stored.size, compression, store, limits)


def _peek(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Give the first bytes of a stream, enough to tell what it is, and the stream as it was."""
    head = b""
    while len(head) < SNIFF_BYTES and (chunk := next(stream, b"")):
        head += chunk
    return head, chain((head,) if head else (), stream)


def _open_index(
    path: str, plain: Iterable[bytes], stored: Meter, compression: str, needs: _Needs, limits: Limits
) -> ImageArchive:
    """Open the index file of an archive."""
    from tarlayers.formats.tlx import parse_tlx  # noqa: PLC0415 # as said at the top
    from tarlayers.stores.indexstore import NO_CONTENTS, IndexStore  # noqa: PLC0415 # as above

    if needs.keep:
        raise ContentAbsent(NO_CONTENTS)
    data = bytearray()
    for chunk in plain:
        data += chunk
        if len(data) > limits.index_bytes:
            raise limit_exceeded(limits, "index_bytes", "a larger index than is allowed")
    index = parse_tlx(bytes(data), limits)
    store = IndexStore(index, limits, needs.called if path == STANDARD else path)
    archive = assemble_archive(path, stored.size, compression, store, limits)
    if index.chosen is not None:
        archive = _leave_out(archive, index.chosen, store)
    return replace(archive, kind="index", index_file=index)


def _leave_out(archive: ImageArchive, chosen: Iterable[int], store: IndexStore) -> ImageArchive:
    """Leave out all images but the chosen ones, and what is claimed of blobs that are theirs alone."""
    chosen = [number for number in chosen if number < len(archive.images)]
    layout = archive.layout._replace(
        images=tuple(archive.layout.images[number] for number in chosen),
        claims=tuple(claim for claim in archive.layout.claims if claim.blob is None or store.holds(claim.blob)),
    )
    return replace(archive, images=tuple(archive.images[number] for number in chosen), layout=layout)


def _spool(name: str, plain: Iterator[bytes], needs: _Needs, limits: Limits) -> SeekStore:
    """Keep a stream in a temporary file that has no name, so that it is gone however we end."""
    import tempfile  # noqa: PLC0415 # brings random along, a tenth of what starting costs

    place = "a temporary file"
    try:
        place = tempfile.gettempdir()
        needs.tell(f"{name} is spooled to an unnamed file in {place}, gone when this ends")
        with tempfile.TemporaryFile() as spool:
            for chunk in plain:
                spool.write(chunk)
            spool.flush()
            return make_store(open_tar(name, os.dup(spool.fileno()), limits), needs.cache, limits)
    except OSError as error:
        raise UnsupportedInput(f"cannot be spooled to {place} ({error.strerror}): set TMPDIR") from error


def _is_passed_root(archive: ImageArchive) -> bool:
    """Say whether a stream that was not kept turned out to be a data root, which takes more than one look."""
    from tarlayers.sources.dataroot import may_be_root  # noqa: PLC0415 # as said at the top

    return archive.kind == "layer" and not isinstance(archive.store, SeekStore) and may_be_root(archive.store.sizes)
