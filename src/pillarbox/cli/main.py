"""The ``pillarbox`` command.

Every group of commands is a module of its own with an ``app``, imported only when it is used, so
that ``pillarbox pw`` does not load the mail store; the help of the whole is made from the table
here.  A command fails by raising `failure.CommandFailed`; anything else that comes up is a bug, is
said in one line, and shows its traceback only with PILLARBOX_DEBUG=1.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pillarbox.cli.failure import BUG, INTERRUPTED, NO_PERMISSION, TEMPORARY, CommandFailed


class Entry(NamedTuple):
    """Where a command is: its module below pillarbox.cli, one line of help, and its app there."""

    module: str
    help: str
    app: str = "app"


COMMANDS: Final[dict[str, Entry]] = {
    "serve": Entry("serve", "Run the server in the foreground."),
    "reload": Entry(
        "control", "Have the running server read its settings and certificates again.", "reload_app"
    ),
    "stop": Entry("control", "Stop the running server.", "stop_app"),
    "status": Entry(
        "control", "Say whether the server runs and which services answer.", "status_app"
    ),
    "config": Entry("config", "Check, show and explain settings."),
    "user": Entry("user", "Add, list, show and delete users, and change passwords."),
    "auth": Entry("auth", "Try out logins and user look-ups."),
    "pw": Entry("pw", "Hash a password, or verify one against a hash."),
    "mailbox": Entry("mailbox", "List, make, rename, check and mend mailboxes."),
    "import": Entry("importer", "Import mail from mbox files and Maildirs."),
    "export": Entry("exporter", "Export mail to mbox files or Maildirs."),
    "deliver": Entry("deliver", "Deliver a message from standard input."),
    "sieve": Entry("sieve", "Check, show, try out, test and store Sieve scripts."),
    "proxy": Entry("proxy", "List and end sessions passed on to other servers."),
    "events": Entry("events", "List, explain and watch events."),
    "stats": Entry("stats", "Show and change the metrics of the running server."),
}


def load(name: str) -> Any:
    """The command of that name, imported."""
    entry = COMMANDS[name]
    sub = getattr(importlib.import_module(f"pillarbox.cli.{entry.module}"), entry.app)
    sub._add_completion = False
    command = get_command(sub)
    command.name = name
    return command


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, not when they are listed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As a group does, with the real command in place of the one that is only listed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="A complete mail server in which everything that happens is an event.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pillarbox {version('pillarbox')}")
        raise typer.Exit


@app.callback()
def pillarbox(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """A complete mail server in which everything that happens is an event."""


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; gives the exit status."""
    try:
        result = get_command(app).main(args=arguments, prog_name="pillarbox", standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:
        return _failed(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _failed(error: Exception) -> int:
    """Say what went wrong, in one sentence; the exit status."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, CommandFailed):
        _say(error.text)
        return error.status
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    show = getattr(error, "show", None)
    if show is not None and hasattr(error, "exit_code"):
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # type: ignore[arg-type]
        return int(error.exit_code)
    if os.environ.get("PILLARBOX_DEBUG"):
        traceback.print_exc()
    if isinstance(error, OSError) and error.strerror:
        _say(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
        return NO_PERMISSION if isinstance(error, PermissionError) else TEMPORARY
    _say(f"this is a bug: {type(error).__name__}: {error} (PILLARBOX_DEBUG=1 says where)")
    return BUG


def _say(text: str) -> None:
    lines = text.splitlines() or [""]
    sys.stderr.write("".join(f"pillarbox: {line}\n" for line in lines))


if __name__ == "__main__":
    main()
