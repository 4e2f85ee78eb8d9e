"""``pillarbox auth penalty``: who guessed passwords of late, and whom to forgive.

Keys are users (``user:bob@example.com``) and addresses (``ip:192.0.2.1``), as anvil counts them.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from pillarbox.cli.anvil import ask_anvil
from pillarbox.cli.failure import NO_USER, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.runtime.anvil_client import AnvilClient

app = typer.Typer(no_args_is_help=True, help="Who guessed passwords, and whom to forgive.")


@app.command("list")
def show(
    mask: Annotated[
        str, typer.Argument(metavar="[MASK]", help="Keys, such as ip:* or user:*@example.com.")
    ] = "*",
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List wrong passwords by user and by address, the most first."""
    settings = settings_of(config, override)
    expire = settings.auth_penalty_expire
    for one in ask_anvil(settings, lambda anvil: anvil.penalised(expire)):
        if fnmatchcase(one.key, mask):
            typer.echo(f"{one.key}  {one.failures} failures, the last {math.ceil(one.since)} s ago")


@app.command()
def forgive(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As `list` shows them.")],
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Forget the wrong passwords of users and addresses."""
    settings = settings_of(config, override)

    async def work(anvil: AnvilClient) -> list[str]:
        known = {one.key for one in await anvil.penalised(settings.auth_penalty_expire)}
        await anvil.pardon(keys)
        return [key for key in keys if key not in known]

    unknown = ask_anvil(settings, work)
    if unknown:
        raise CommandFailed(f"nothing is held against {', '.join(unknown)}", NO_USER)
