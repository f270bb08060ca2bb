"""How a run ends: exit codes, one line for an error, quiet ends for closed pipes and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

import typer

from tarlayers.errors import (
    DestinationRefused,
    LimitExceeded,
    MalformedPolicy,
    NoSuchImage,
    NoSuchLayer,
    NoSuchPath,
    TarlayersError,
    join_places,
    noted_place,
)

# typer brings its own copy of click since 0.26 and depended on it before; this names the class in both.
_UsageError: type[typer.BadParameter] = typer.BadParameter.mro()[1]

ANSWER_NO = 1
CALL_WRONG = 2
INPUT_WRONG = 3
INTERRUPTED = 130

_PATIENCE = 2.0  # seconds; far longer than it takes to remove a temporary file
_WAKING = 0.5  # seconds


class Terminated(BaseException):
    """A signal that asks the process to end, and which one. What is half done is undone as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def heed_signals() -> None:
    """Have the signals that end a process end it as Ctrl-C does, unless it was started to ignore them (nohup).

    Python drops what a handler raises when it happens to run inside a destructor or a callback of the import system,
    and the signal is lost. So it is raised again if the process is still there after a while. Nor does Python call a
    handler where the signal comes just before it waits for a pipe, one in a hundred that come while one starts to read:
    an alarm ends that waiting from time to time, and it waits on when nothing came.
    """
    came: list[int] = []

    def end(number: int, _frame: object) -> None:
        if number != signal.SIGALRM:
            came.append(number)
        if not came:
            return
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        if came[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(came[0])

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _WAKING, _WAKING)


def stop_waking() -> None:
    """End the alarms: Python gives up its handlers as it ends, and one more would kill the process."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def replace_closed_streams() -> None:
    """Have something stand for streams that were closed before we started: what is written to them is an error."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stands = Path(os.devnull).open("w" if name == "stderr" else "r", encoding="utf-8")  # noqa: SIM115 # stays open
            setattr(sys, name, stands)


def buffer_output() -> None:
    """Have standard output written whole. Where Python was told not to buffer it (PYTHONUNBUFFERED, `-u`) a write ends
    when a signal comes, such as our alarm while a reader is slow, and what was left of it would be lost, with no error.
    """
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115 # stays open, and has no path


def run_app(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the application and give the exit code. Nothing that bad input can cause gets out as a traceback."""
    try:
        code = app(args=list(arguments), prog_name="tarlayers", standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as error:
        return error.exit_code
    except Terminated as error:
        return 128 + error.number
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except _UsageError as error:
        if type(error).__name__.startswith("NoArgsIsHelp"):  # `tarlayers` alone
            _tell(error.format_message())
            return CALL_WRONG
        command = error.ctx.command_path if error.ctx is not None else "tarlayers"
        complain(f"{error.format_message()} (see {command} --help)")
        return CALL_WRONG
    except BrokenPipeError:
        _forget(sys.stdout)
        return 0
    except SystemExit as error:
        # What typer makes of a closed pipe, with exit 1; and that means: the answer is no.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _forget(sys.stdout)
        return 0
    except TarlayersError as error:
        complain(f"{error}{_hint(error)}")
        return exit_code(error)
    except OSError as error:
        _forget(sys.stdout)
        # Of the calls that name no file only the one for the current directory finds that something is not there.
        place = "current directory" if isinstance(error, FileNotFoundError) else "output"
        # What stands for a stream that was closed has no number and says what it cannot do: `write`.
        complain(f"{error.filename or place}: {error.strerror or 'it is closed'}")
        return INPUT_WRONG
    except (MemoryError, RecursionError) as error:
        complain(join_places(noted_place(error), f"gave up: {type(error).__name__}"))
        return INPUT_WRONG
    except Exception as error:  # noqa: BLE001 # raised again for who asks
        return _end_unexpected(error, verbose=bool({"-v", "--verbose"} & set(arguments)))
    return code if isinstance(code, int) else 0


def _end_unexpected(error: Exception, *, verbose: bool) -> int:
    """Give the exit code for what nobody raises on purpose: a bug of ours, in one line as for any failure; or a signal
    that came while a lock of Python's was half taken, so that giving it back failed (threading.Condition).
    """
    if isinstance(error.__context__, Terminated):
        return 128 + error.__context__.number
    if isinstance(error.__context__, KeyboardInterrupt):
        return INTERRUPTED
    if verbose:
        raise error
    complain(f"internal error: {type(error).__name__}: {error} (please report it, with what --verbose prints)")
    return INPUT_WRONG


def _forget(stream: TextIO) -> None:
    """Python would flush a standard stream once more at exit, and complain where that cannot be written."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _hint(error: TarlayersError) -> str:
    if isinstance(error, LimitExceeded):
        from tarlayers.limits import DEFAULT_LIMITS, NO_LIMITS

        most = getattr(NO_LIMITS, error.limit)
        if most == getattr(DEFAULT_LIMITS, error.limit):
            return f": no more than {most} can be read"
        return f": raise it with --limit {error.limit}=..., or --no-limits"
    if isinstance(error, NoSuchPath):
        from tarlayers.cli.hint import hint_path

        hint = hint_path(error.place)
        return f" ({hint})" if hint else ""
    return ""


def exit_code(error: TarlayersError) -> int:
    """Give the exit code that an error stands for."""
    if isinstance(error, NoSuchPath):
        return ANSWER_NO
    if isinstance(error, NoSuchImage | NoSuchLayer | DestinationRefused | MalformedPolicy):
        return CALL_WRONG
    return INPUT_WRONG


def complain(message: str) -> None:
    """Write one line about a failure, with nothing in it that could drive a terminal."""
    from tarlayers.render.escape import escape_text

    _tell(f"tarlayers: {escape_text(message)}")


def _tell(line: str) -> None:
    """Write to standard error. Where that cannot be written nobody hears of it, and the exit code still tells."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


def warn(message: str, *, quiet: bool) -> None:
    """Write one line of warning, unless the user wants none."""
    if not quiet:
        complain(f"warning: {message}")


def answer_no() -> NoReturn:
    """End with the exit code that means: done, and the answer is no."""
    raise typer.Exit(ANSWER_NO)
