"""``pillarbox proxy``: the sessions that the running server passes on to other servers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from pillarbox.cli.anvil import ask_anvil
from pillarbox.cli.control import ask, since
from pillarbox.cli.failure import NO_USER, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of

app = typer.Typer(
    help="Sessions passed on to other servers: list and end them.", no_args_is_help=True
)

HostOption = Annotated[
    str, typer.Option("--host", metavar="MASK", help="Only sessions with this server.")
]


@app.command("list")
def show(
    user: Annotated[str, typer.Argument(metavar="[MASK]", help="Whose, such as *@x.org.")] = "*",
    host: HostOption = "*",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the sessions that are passed on: whose, from where, to where, for how long."""
    found = _ask("proxy_list", user, host, config, override)
    _print(found, as_json)


@app.command()
def kick(
    user: Annotated[str, typer.Argument(metavar="MASK", help="Whose, such as *@x.org.")],
    host: HostOption = "*",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """End sessions that are passed on, and list them; status 67 if there are none."""
    found = _ask("proxy_kick", user, host, config, override)
    if not found:
        raise CommandFailed("no such session is passed on", NO_USER)
    _print(found, as_json)


@app.command()
def hosts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the servers that were found down of late, and are spared most logins."""
    settings = settings_of(config, override)
    for one in ask_anvil(settings, lambda anvil: anvil.down_hosts()):
        if as_json:
            typer.echo(json.dumps({"host": one.host, "since": one.since, "tried": one.tried}))
        else:
            tried = ", tried now" if one.tried else ""
            typer.echo(f"{one.host:<30} found down {math.ceil(one.since)} s ago{tried}")


def _ask(
    name: str, user: str, host: str, config: Path | None, override: list[str] | None
) -> list[dict[str, Any]]:
    arguments = {"user": user, "host": host}
    answer = ask(settings_of(config, override), "ask", name=name, arguments=arguments)
    return sorted(answer["values"], key=lambda one: (one["user"], one["since"]))


def _print(sessions: list[dict[str, Any]], as_json: bool) -> None:
    for one in sessions:
        if as_json:
            typer.echo(json.dumps(one))
            continue
        where = f"{one['host']}:{one['port']}"
        typer.echo(
            f"{one['user']:<30} {one['service']:<11} {one['ip'] or '':<15} {where:<25} "
            f"{since(one['since'])}"
        )
