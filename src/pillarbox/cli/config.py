"""``pillarbox config``: check, show, and explain settings."""

from __future__ import annotations

from typing import Annotated

import typer

from pillarbox.cli.failure import CONFIG, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, read_settings, settings_of
from pillarbox.cli.verify import verify
from pillarbox.settings.convert import Setting, declared
from pillarbox.settings.dump import one_setting, to_toml
from pillarbox.settings.errors import nearest
from pillarbox.settings.model import Settings

app = typer.Typer(no_args_is_help=True, help="Check, show and explain settings.")


@app.command()
def check(config: ConfigOption = None, override: OverrideOption = None) -> None:
    """Read the settings as the server would, and say everything that is wrong or odd."""
    loaded = read_settings(config, override)
    errors, warnings = verify(loaded)
    for problem in warnings:
        typer.echo(f"warning: {problem}", err=True)
    if errors:
        raise CommandFailed("\n".join(map(str, errors)), CONFIG)
    count = len(loaded.files)
    typer.echo(f"The settings are good ({count} {'file' if count == 1 else 'files'} read).")


@app.command()
def show(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these settings.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Settings at their default, too.")
    ] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Passwords as they are.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Print the settings in force, as TOML; without --all, those that are not default."""
    settings = settings_of(config, override)
    if names:
        for name in names:
            typer.echo(_one(settings, name, secrets), nl=False)
    else:
        typer.echo(to_toml(settings, everything=everything, secrets=secrets), nl=False)


@app.command()
def default(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these settings.")
    ] = None,
) -> None:
    """Print all settings with their defaults and what they mean."""
    if not names:
        typer.echo(to_toml(Settings(), everything=True, comments=True).lstrip("\n"), nl=False)
        return
    for name in names:
        setting = _setting(name)
        typer.echo(f"# {setting.doc.text}\n{_one(Settings(), name, True)}", nl=False)


def _setting(name: str) -> Setting:
    setting = declared(Settings).get(name)
    if setting is None:
        hint = nearest(name, declared(Settings))
        raise CommandFailed(f"there is no setting {name}{hint}")
    return setting


def _one(settings: Settings, name: str, secrets: bool) -> str:
    """One setting as TOML; a group with all its blocks."""
    setting = _setting(name)
    return one_setting(settings, setting, secrets=secrets)
