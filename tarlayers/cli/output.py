"""Writing answers: bytes to standard output, tables that fit the terminal."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import typer

from tarlayers.stdio import STANDARD

FEW_ROWS = 20  # that text shows unless told otherwise, where they are not all of the answer: what fits a terminal

_BATCH = 1 << 16
_Row = TypeVar("_Row")


def write_json(command: str, document: Mapping[str, Any]) -> None:
    """Write one JSON document that says which schema it follows, its rows as they are made."""
    from tarlayers.render.values import dump_json_parts

    write_bytes(dump_json_parts({"schema": f"tarlayers.{command}/1", **document}))


def write_json_list(
    command: str, key: str, items: Iterable[Mapping[str, Any]], *, head: Mapping[str, Any], tail: Mapping[str, Any]
) -> None:
    """Write one JSON document that is mostly one array, as its items come."""
    from tarlayers.render.values import dump_json_list

    write_bytes(dump_json_list({"schema": f"tarlayers.{command}/1", **head}, key, items, tail))


def write_lines(lines: Iterable[str]) -> None:
    """Write text lines in batches; they are already escaped."""
    write_bytes(_encode_lines(lines))


def _encode_lines(lines: Iterable[str]) -> Iterator[bytes]:
    pending: list[str] = []
    size = 0
    for line in lines:
        pending.append(line)
        size += len(line) + 1
        if size >= _BATCH:
            yield "\n".join([*pending, ""]).encode("utf-8", "backslashreplace")
            pending.clear()
            size = 0
    if pending:
        yield "\n".join([*pending, ""]).encode("utf-8", "backslashreplace")


def write_bytes(chunks: Iterable[bytes]) -> None:
    """Write chunks, joined so that a million small ones cost few system calls."""
    out = sys.stdout.buffer
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        pending.append(chunk)
        size += len(chunk)
        if size >= _BATCH:
            out.write(b"".join(pending))
            pending.clear()
            size = 0
    out.write(b"".join(pending))
    out.flush()


def write_output(path: str, chunks: Iterable[bytes]) -> None:
    """Write chunks where an --output leads: to a file, or to standard output."""
    if path == STANDARD:
        write_bytes(chunks)
    else:
        write_file(path, chunks)


def write_file(path: str, chunks: Iterable[bytes]) -> None:
    """Write chunks to a file that gets its name when all of them are there: a failure leaves no half of it."""
    with replacing(path) as out:
        for chunk in chunks:
            try:
                out.write(chunk)
            except OSError as error:  # of the disk, not of what the chunks are read from
                raise _named(error, path) from error


def require_output(path: str, inputs: Iterable[str | None]) -> None:
    """Refuse to write over what is read, whatever it is called there, before any work is done; `-` is a stream.
    OSError for what cannot be written.

    Devices and pipes may be both: nothing of them is lost.
    """
    if not path:
        raise typer.BadParameter("names no file", param_hint="--output")
    out = _identify(path, "stdout")
    if out is not None and any(out == _identify(each, "stdin") for each in inputs if each):
        name = "standard output" if path == STANDARD else path
        raise typer.BadParameter(f"{name}: input file is output file", param_hint="--output")
    if path != STANDARD:
        _require_place(path)


def _require_place(path: str) -> None:
    """Raise the OSError, of the name that was given, that writing a file would end with."""
    given, target = Path(path), Path(os.path.realpath(path))
    if given.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    # What is no regular file is written as it is, all else gets its name when it is whole.
    needed = given if given.exists() and not given.is_file() else _find_parent(target, path)
    if not os.access(needed, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _find_parent(target: Path, path: str) -> Path:
    """Give the directory of a file that is replaced, or made; OSError, of the name that was given, for what is none."""
    try:
        target.parent.stat()
    except OSError as error:
        raise _named(error, path) from error
    if not target.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return target.parent


def _identify(path: str, stream: str) -> tuple[int, int] | None:
    """Give device and inode of a regular file, or of the one that a standard stream is; else None."""
    try:
        status = os.stat(path) if path != STANDARD else os.fstat(getattr(sys, stream).fileno())  # noqa: PTH116 # it is text
    except (OSError, ValueError):  # it is not there; ValueError: what stands for a stream is no file
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Give a file beside `path`, which takes its place, and its mode, when the block ends well.

    A symlink stays: the file that it leads to is replaced. Something that is no regular file (`/dev/null`, a named
    pipe) is written as it is. Errors name `path`, never a name that nobody gave.
    """
    given, target = Path(path), Path(os.path.realpath(path))
    if given.exists() and not given.is_file():  # its real path may be none: that of /dev/fd/63 is pipe:[4711]
        with given.open("wb") as out:
            yield out
        return
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    # Named before it is there: whatever comes when, Ctrl-C too, it is known what has to go.
    temporary = target.parent / f".{target.name[:200]}.{os.urandom(8).hex()}"
    try:
        with temporary.open("xb") as out:
            yield out
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise _named(error, path) from error  # of a name that nobody gave
        raise


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path)


def write_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: str = "",
    *,
    cut: bool = False,
    spare: Sequence[str] = (),
) -> None:
    """Write a table: drawn by rich on a terminal, plain columns in a pipe. The rest is as `render_table` has it."""
    from tarlayers.render.table import render_table

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns
    color = terminal and not os.environ.get("NO_COLOR")
    table = render_table(
        header, list(rows), align=align, terminal=terminal, width=width, color=color, cut=cut, spare=spare
    )
    write_lines(table.splitlines())


def write_first(
    header: Sequence[str], rows: Sequence[_Row], cells: Callable[[_Row], Sequence[str]], align: str, limit: int
) -> None:
    """Write a table's first rows, all with a limit of 0, how many more there are, and an empty line."""
    shown = rows[: limit or None]
    write_table(header, map(cells, shown), align)
    more = len(rows) - len(shown)
    write_lines([f"... and {more} more (--top 0 shows all)", ""] if more else [""])
