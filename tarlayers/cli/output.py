"""Writing answers: bytes to standard output, tables as wide as the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from secrets import token_hex
from typing import Any

_BATCH = 1 << 16


def write_json(command: str, document: Mapping[str, Any]) -> None:
    """Write one JSON document that says which schema it follows."""
    from tarlayers.render.values import dump_json

    write_bytes([dump_json({"schema": f"tarlayers.{command}/1", **document})])


def write_lines(lines: Iterable[str]) -> None:
    """Write text lines in batches; they are already escaped."""
    write_bytes(f"{line}\n".encode("utf-8", "backslashreplace") for line in lines)


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


def write_file(path: str, chunks: Iterable[bytes]) -> int:
    """Write a file that is there whole or not at all, and say how many bytes it has.

    It is made beside its place and renamed at the end, so that a failure or Ctrl-C leaves what was there before.
    `-` is standard output; a device or a pipe is written to as it is.
    """
    target = Path(path).resolve()
    if path == "-" or (target.exists() and not target.is_file()):
        with nullcontext(sys.stdout.buffer) if path == "-" else target.open("wb") as stream:
            size = sum(stream.write(chunk) for chunk in chunks)
            stream.flush()
        return size
    partial = target.with_name(f".{target.name[:200]}.{token_hex(4)}.partial")
    try:
        with partial.open("xb") as stream:
            size = sum(stream.write(chunk) for chunk in chunks)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return size


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> None:
    """Write a table: drawn by rich on a terminal, plain columns in a pipe. `align` has `<` or `>` a column."""
    from tarlayers.render.table import render_table

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns
    color = terminal and "NO_COLOR" not in os.environ
    write_lines(render_table(header, list(rows), align=align, terminal=terminal, width=width, color=color).splitlines())
