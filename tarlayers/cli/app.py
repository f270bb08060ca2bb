"""Which commands there are. Only the one that is called is imported, so that starting costs little."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

COMMANDS = {
    "inspect": "Look",
    "layers": "Look",
    "history": "Look",
    "ls": "Look",
    "cat": "Look",
    "containers": "Look",
    "changes": "Trace",
    "log": "Trace",
    "blame": "Trace",
    "verify": "Check",
    "tarsplit": "tar-split",
}
"""Every command and the help panel it stands in; its module in this package has a `command`: a function, or a
typer application with commands of its own."""

_EPILOG = (
    "IMAGE is PATH[#REF]: a docker save or OCI archive, a directory, a data root of an engine, a bare layer, "
    "or - for standard input."
)


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Make the application with the command that `arguments` call, or with all when they call none."""
    app = typer.Typer(
        name="tarlayers",
        help="Git for image layers: ask a saved container image anything. No daemon, no root, no unpacking.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    app.callback()(_options)
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        command = import_module(f"tarlayers.cli.{name}_command").command
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=COMMANDS[name])
        else:
            app.command(name, rich_help_panel=COMMANDS[name])(command)
    return app


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tarlayers {version('tarlayers')}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    pass
