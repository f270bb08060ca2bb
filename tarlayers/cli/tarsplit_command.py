"""`tarlayers tarsplit`: its commands have the option names of the reference `tar-split`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Annotated

import typer

from tarlayers.cli.bounds import current_limits
from tarlayers.cli.options import Format, FormatOption, ListFormat, ListFormatOption, QuietOption, VerboseOption
from tarlayers.cli.outcome import answer_no, complain, warn
from tarlayers.cli.output import require_output, write_bytes, write_json, write_json_list, write_lines, write_output
from tarlayers.cli.words import Command
from tarlayers.nouns import count_noun
from tarlayers.stdio import STANDARD, name_input

if TYPE_CHECKING:
    from tarlayers.entry import Entry
    from tarlayers.formats.assembly import OpenContent
    from tarlayers.formats.tarsplit import FileRecord, Record

_DEFAULT_FILE = "tar-data.json.gz"  # the reference's

command = typer.Typer(
    help="Layers without their contents, as docker and podman keep them: list, make, use and check tar-split files.",
    epilog="Example: tarlayers tarsplit ls tar-data.json.gz",
    no_args_is_help=True,
)

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A tar-split file, compressed or not, or - for standard input.")
]
PathOption = Annotated[
    str | None,
    typer.Option("--path", metavar="DIR", help="Contents from a directory the layer was unpacked into."),
]
LayerOption = Annotated[
    str | None, typer.Option("--layer", metavar="TAR", help="Contents from a layer's tar, compressed or not.")
]


@command.command("ls", cls=Command)
def list_members(
    file: FileArgument,
    long: Annotated[bool, typer.Option("--long", "-l", help="Type, mode, owner, size, time and CRC-64 too.")] = False,
    format: ListFormatOption = ListFormat.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """The entries of the layer, in tar order. No content is needed.

    Example: tarlayers tarsplit ls -l tar-split.json.gz
    """
    from tarlayers.errors import naming
    from tarlayers.render.listing import list_long, list_paths
    from tarlayers.render.tarsplit import member_document, member_rows
    from tarlayers.render.values import dump_ndjson

    with naming(name_input(file)):
        members = _members(file)
        if format is ListFormat.text:
            rows = member_rows(members)
            write_lines(list_long(list(rows)) if long else list_paths(row[0] for row in rows))
        elif format is ListFormat.ndjson:
            write_bytes(dump_ndjson(member_document(*member) for member in members))
        else:
            documents = (member_document(*member) for member in members)
            write_json_list("tarsplit", "members", documents, head={}, tail={})


@command.command("disasm", cls=Command)
def disassemble_tar(
    tar: Annotated[
        str, typer.Argument(metavar="TAR", help="A layer's tar, compressed or not, or - for standard input.")
    ],
    output: Annotated[str, typer.Option("--output", metavar="FILE", help="Where the records go.")] = _DEFAULT_FILE,
    no_stdout: Annotated[bool, typer.Option("--no-stdout", help="Do not pass the tar on to standard output.")] = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a tar apart: its headers into FILE, gzipped; the tar itself passes on to standard output.

    Example: tarlayers tarsplit disasm layer.tar --output layer.json.gz --no-stdout
    """
    from tarlayers.errors import naming
    from tarlayers.formats.assembly import disassemble
    from tarlayers.formats.compression import compress_gzip, open_plain
    from tarlayers.formats.tarsplit import encode_record

    if output == STANDARD and not no_stdout:
        raise typer.BadParameter("the records and the tar cannot both go to standard output", param_hint="--output")
    require_output(output, [tar])
    with naming(name_input(tar)):
        limits = current_limits()
        plain = open_plain(_read_chunks(tar), limits)
        if not no_stdout and not sys.stdout.isatty():
            plain = _pass_on(plain)
        records = _watch_names(disassemble(plain, limits), quiet=quiet)
        _write_told(output, compress_gzip(map(encode_record, records)), verbose=verbose)
    sys.stdout.flush()


@command.command("asm", cls=Command)
def assemble_tar(
    input: Annotated[str, typer.Option("--input", metavar="FILE", help="The tar-split file.")] = _DEFAULT_FILE,  # noqa: A002 # the option's name
    path: PathOption = None,
    layer: LayerOption = None,
    output: Annotated[str, typer.Option("--output", metavar="TAR", help="Where the tar goes.")] = STANDARD,
    compress: Annotated[bool, typer.Option("--compress", help="Gzip the tar.")] = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put a tar together again, to the byte. A content that is not the recorded one is an error.

    Example: tarlayers tarsplit asm --input tar-split.json.gz --path diff --output layer.tar
    """
    from tarlayers.errors import naming
    from tarlayers.formats.assembly import assemble
    from tarlayers.formats.compression import compress_gzip

    source = _content_source(path, layer)
    if output == STANDARD and sys.stdout.isatty():
        raise typer.BadParameter("standard output is a terminal: redirect it, or give --output", param_hint="--output")
    require_output(output, [input, layer])
    with source as open_content, naming(name_input(input)):
        chunks = assemble(_read_records(input), open_content, current_limits())
        _write_told(output, compress_gzip(chunks) if compress else chunks, verbose=verbose)


@command.command("verify", cls=Command)
def verify_split(
    file: FileArgument,
    path: PathOption = None,
    layer: LayerOption = None,
    format: FormatOption = Format.text,  # noqa: A002 # the option's name
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare every content with its recorded size and CRC-64. Exit 1 when one is missing or another.

    Example: tarlayers tarsplit verify tar-split.json.gz --path diff
    """
    from tarlayers.analysis.splitcheck import verify_contents
    from tarlayers.errors import naming
    from tarlayers.render.tarsplit import check_document, check_lines

    with _content_source(path, layer) as open_content, naming(name_input(file)):
        report = verify_contents(_read_records(file), open_content, current_limits())
    if format is Format.json:
        write_json("tarsplit-verify", check_document(report))
    else:
        write_lines(check_lines(report))
    if not report.ok:
        answer_no()


# -- bytes in ------------------------------------------------------------------------------------------


def _read_chunks(path: str) -> Iterator[bytes]:
    from tarlayers.sources.blob import read_stream

    if path == STANDARD:
        yield from read_stream(getattr(sys.stdin.buffer, "read1", sys.stdin.buffer.read))
        return
    with Path(path).open("rb", buffering=0) as stream:
        yield from read_stream(stream.read)


def _read_records(path: str) -> Iterator[Record]:
    from tarlayers.errors import MalformedInput
    from tarlayers.formats.compression import open_plain
    from tarlayers.formats.tarsplit import decode_records

    chunks = _read_chunks(path)
    if not (head := next(chunks, b"")):
        raise MalformedInput("the file is empty")
    limits = current_limits()
    return decode_records(open_plain(chain((head,), chunks), limits), limits)


def _content_source(path: str | None, layer: str | None) -> AbstractContextManager[OpenContent]:
    from tarlayers.sources.contents import open_layer, open_unpacked

    if path is not None and layer is None:
        return open_unpacked(path)
    if layer is not None and path is None:
        return open_layer("/dev/stdin" if layer == STANDARD else layer, current_limits())
    raise typer.BadParameter("give one of them: where the contents are", param_hint="--path, --layer")


def _members(path: str) -> Iterator[tuple[Entry, FileRecord]]:
    from tarlayers.entry import decode_entry
    from tarlayers.formats.tarsplit import walk_records

    limits = current_limits()
    for piece in walk_records(_read_records(path), limits):
        if piece.member is not None and piece.record is not None:
            entry = decode_entry(piece.member, limits)
            if entry.type != "global":
                yield entry, piece.record


# -- bytes out -----------------------------------------------------------------------------------------


def _write_told(path: str, chunks: Iterable[bytes], *, verbose: bool) -> None:
    write_output(path, chunks)
    if verbose and path != STANDARD:
        complain(f"{path}: {count_noun(Path(path).stat().st_size, 'byte')}")


def _pass_on(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Copy chunks to standard output; whoever stops reading there does not stop the records."""
    listening = True
    for chunk in chunks:
        if listening:
            try:
                sys.stdout.buffer.write(chunk)
            except BrokenPipeError:
                listening = False
        yield chunk


def _watch_names(records: Iterable[Record], *, quiet: bool) -> Iterator[Record]:
    """Pass records on and say at the end whether names occur twice."""
    from tarlayers.formats.tarsplit import FileRecord

    seen: set[bytes] = set()
    twice = 0
    for record in records:
        if isinstance(record, FileRecord):
            name = normpath(record.name)
            twice += name in seen
            seen.add(name)
        yield record
    if twice:
        warn(f"{count_noun(twice, 'name')} found again: the reference tar-split refuses to read this", quiet=quiet)
