"""``pillarbox sieve put``, ``get``, ``list`` and so on: the scripts that a user has in place.

They go through the same storage as ManageSieve does, with its rules and events, beside a running
server or without one: a script that has errors is not stored, the active one is not deleted.
Errors and warnings of a script go to standard error; exit status 65 says that it has errors.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pillarbox.cli.failure import CONFIG, DATA, NO_INPUT, TEMPORARY, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, UserOption, settings_of
from pillarbox.cli.telling import SERVICE, telling
from pillarbox.delivery.sieve_storage.compiling import Compiled
from pillarbox.delivery.sieve_storage.errors import BadScript, ScriptRefused, TryLater
from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.events.event import Scope
from pillarbox.runtime.log import log
from pillarbox.settings.model import Settings
from pillarbox.sieve.errors import Diagnostic

T = TypeVar("T")
Work = Callable[[ScriptStorage, Scope], Coroutine[Any, Any, T]]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The script's name.")]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the group."""
    for name, command in _COMMANDS.items():
        app.command(name)(command)


def put(
    user: UserOption,
    name: NameArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The script, or - for standard input.")
    ] = Path("-"),
    activate: Annotated[
        bool, typer.Option("--activate", "-a", help="Make it the active script, too.")
    ] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Store a script for a user, if it has no errors."""
    try:
        source = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror}", NO_INPUT) from None

    async def work(storage: ScriptStorage, scope: Scope) -> Compiled:
        compiled = await storage.save(scope, name, source)
        if activate:
            await storage.activate(scope, name)
        return compiled

    _warn(_with_scripts(settings_of(config, override), user, work).diagnostics)


def get(
    user: UserOption,
    name: NameArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Print a user's script."""

    async def work(storage: ScriptStorage, scope: Scope) -> bytes:
        script = await storage.open(scope, name)
        script.close()
        return script.source

    sys.stdout.buffer.write(_with_scripts(settings_of(config, override), user, work))


def list_scripts(
    user: UserOption, config: ConfigOption = None, override: OverrideOption = None
) -> None:
    """List a user's scripts, one to a line; ACTIVE behind a tab marks the active one."""

    async def work(storage: ScriptStorage, scope: Scope) -> list[str]:
        active = await storage.active(scope)
        names = [one.name for one in await storage.scripts(scope)]
        if active is not None and active not in names:
            names.append(active)
        return [f"{name}\tACTIVE" if name == active else name for name in names]

    for line in _with_scripts(settings_of(config, override), user, work):
        typer.echo(line)


def activate(
    user: UserOption,
    name: NameArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Make a script the one that is run for the user's mail."""

    async def work(storage: ScriptStorage, scope: Scope) -> Compiled:
        return await storage.activate(scope, name)

    _warn(_with_scripts(settings_of(config, override), user, work).diagnostics)


def deactivate(
    user: UserOption, config: ConfigOption = None, override: OverrideOption = None
) -> None:
    """Have none of the user's scripts run any more."""

    async def work(storage: ScriptStorage, scope: Scope) -> None:
        await storage.deactivate(scope)

    _with_scripts(settings_of(config, override), user, work)


def delete(
    user: UserOption,
    name: NameArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Delete a script that is not active."""

    async def work(storage: ScriptStorage, scope: Scope) -> None:
        await storage.delete(scope, name)

    _with_scripts(settings_of(config, override), user, work)


def rename(
    user: UserOption,
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Give a script another name; the active one stays active."""

    async def work(storage: ScriptStorage, scope: Scope) -> None:
        await storage.rename(scope, name, new)

    _with_scripts(settings_of(config, override), user, work)


_COMMANDS: dict[str, Callable[..., None]] = {
    "put": put,
    "get": get,
    "list": list_scripts,
    "activate": activate,
    "deactivate": deactivate,
    "delete": delete,
    "rename": rename,
}


def _warn(diagnostics: Sequence[Diagnostic]) -> None:
    for diagnostic in diagnostics:
        typer.echo(str(diagnostic), err=True)


def _with_scripts(settings: Settings, name: str, work: Work[T]) -> T:
    """Run ``work`` with the user's storage; every refusal becomes a sentence."""
    try:
        return asyncio.run(_run(settings, name, work))
    except BadScript as error:
        _warn(error.diagnostics)
        raise CommandFailed("the script has errors", DATA) from None
    except TryLater as error:
        raise CommandFailed(error.text, TEMPORARY) from None
    except ScriptRefused as error:
        raise CommandFailed(error.text, DATA) from None


async def _run(settings: Settings, name: str, work: Work[T]) -> T:
    # Databases and mail take long to import, and trying a script out needs neither.
    from pillarbox.cli.mail_user import become, userdb_fields

    async with telling(settings):
        user, fields = await userdb_fields(settings, name)
        scope = Scope(None, (f"service:{SERVICE}",), user=user, service=SERVICE)
        places = Places(user, fields, settings, log, scope)
        try:
            storage = places.personal()
            if storage is None:
                raise CommandFailed("no sieve_script block has the type personal", CONFIG)
            become(settings, fields)
            os.umask(0o077)
            return await work(storage, scope)
        finally:
            await places.close()
