"""``pillarbox status``, ``reload`` and ``stop``: a few words with the running server.

They speak over its control socket in base_dir, so they need the same settings and the same system
user as the server; exit status 69 means that no server answers.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pillarbox.cli.failure import FAILURE, NO_PERMISSION, NOT_RUNNING, TEMPORARY, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.settings.model import Settings

status_app = typer.Typer()
reload_app = typer.Typer()
stop_app = typer.Typer()


@status_app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Say whether the server runs, where it listens, and how its services are."""
    answer = ask(settings_of(config, override), "status")
    if as_json:
        answer.pop("ok", None)
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(
        f"{answer['instance_name']} runs as process {answer['pid']}, for "
        f"{duration(answer['uptime'])}; reloaded {answer['reloads']} times"
    )
    for listener in answer["listeners"]:
        typer.echo(f"  listens: {listener}")
    for service in answer["services"]:
        processes = service["processes"]
        states = sorted({str(p["state"]) for p in processes}) or ["no process"]
        pids = " ".join(str(p["pid"]) for p in processes)
        restarts = f", {service['restarts']} restarts" if service["restarts"] else ""
        typer.echo(f"  {service['name']:<14} {', '.join(states):<10} {pids}{restarts}")


@reload_app.command()
def reload(config: ConfigOption = None, override: OverrideOption = None) -> None:
    """Have the running server read its settings and certificates again; sessions stay."""
    ask(settings_of(config, override), "reload")
    typer.echo("Reloaded.")


@stop_app.command()
def stop(config: ConfigOption = None, override: OverrideOption = None) -> None:
    """Stop the running server: sessions finish their command, then it ends."""
    settings = settings_of(config, override)
    ask(settings, "status")
    try:
        ask(settings, "stop", settings.shutdown_timeout * 4 + 30)
    except CommandFailed as failed:
        if failed.status != NOT_RUNNING:  # it may be gone before its last word is out
            raise
    typer.echo("Stopped.")


def ask(settings: Settings, command: str, timeout: float = 60.0, **more: object) -> dict[str, Any]:
    """The running server's answer.  Raises CommandFailed."""
    from pillarbox.services.master.control import NotRunning, request

    try:
        answer = request(Path(settings.base_dir), command, timeout, **more)
    except NotRunning as error:
        raise CommandFailed(str(error), NOT_RUNNING) from None
    except ConnectionError:
        raise CommandFailed("the server hung up", NOT_RUNNING) from None
    except PermissionError:
        text = f"only the user that runs the server may use {settings.base_dir}/master"
        raise CommandFailed(text, NO_PERMISSION) from None
    except TimeoutError:
        raise CommandFailed(f"no answer within {timeout:.0f} s", TEMPORARY) from None
    if not answer.get("ok"):
        raise CommandFailed(f"{command}: {answer.get('error', 'no reason given')}", FAILURE)
    return answer


def duration(seconds: float) -> str:
    """Seconds as people say it: ``3 d 4 h``, ``5 min 7 s``."""
    whole = int(seconds)
    parts = [
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    said = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(said[:2]) or "0 s"


def since(unix: float) -> str:
    """How long ago a time was."""
    return duration(max(0.0, time.time() - unix))
