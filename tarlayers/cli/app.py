"""Which commands there are. Only the one that is called is imported, so that starting costs little."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

from tarlayers.cli.words import Command

COMMANDS = {
    "inspect": "What is in an archive: images, names, configuration.",
    "layers": "Each layer's digests, sizes and instruction.",
    "history": "Every build step, and the layer it made.",
    "ls": "The files of the merged view, or of one layer.",
    "cat": "A file's bytes, also one that a later layer deleted.",
    "containers": "The containers of an engine's data root.",
    "changes": "What each layer did, as docker diff prints it.",
    "log": "The life of one path through the layers.",
    "blame": "Which layer last wrote each path, and which introduced it.",
    "diff": "What differs between two images.",
    "waste": "Bytes shipped but not visible, and why.",
    "hidden": "Files that lower layers still ship; secrets among them.",
    "verify": "Recompute every digest, size and count.",
    "lint": "What engines refuse in the layers, or show differently.",
    "check": "Hold images to a policy: the gate of a CI job.",
    "index": "A small file that stands for an archive in every question but for contents.",
    "export": "The merged root file system as one tar.",
    "extract": "Files to disk, never outside of DEST.",
    "tarsplit": "Layers without their contents, as docker keeps them.",
    "cache": "What is kept of layers for the next run: info, clear.",
}
"""Every command with its line in the overview; its module in this package has a `command`: a function, or a typer
application with commands of its own. A `Command` beside it is the class that parses its arguments."""

_EPILOG = """IMAGE is PATH[#REF]: a docker save or OCI archive, a directory, an engine's data root, a bare layer, an
index of one of these, or - for standard input.

Example: docker save app | tarlayers ls -l - /etc"""


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
    if list(arguments) in (["-h"], ["--help"]):  # the overview, which shows nothing of a command but its line
        for name, line in COMMANDS.items():
            app.command(name, short_help=line)(lambda: None)
        return app
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        module = import_module(f"tarlayers.cli.{name}_command")
        command = module.command
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, short_help=COMMANDS[name])
        else:
            app.command(name, cls=getattr(module, "Command", Command), short_help=COMMANDS[name])(command)
    return app


def _print_version(value: bool) -> None:
    if value:
        from tarlayers.version import find_version

        typer.echo(f"tarlayers {find_version()}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    pass
