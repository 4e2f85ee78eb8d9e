"""``pillarbox serve``: check the settings, then be the master process until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pillarbox.cli.failure import CONFIG, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, config_path, overrides
from pillarbox.cli.verify import verify
from pillarbox.settings.errors import SettingsError
from pillarbox.settings.load import read
from pillarbox.settings.model import Settings

app = typer.Typer()


def checked(path: Path, override: list[str] | None, *, warn: bool) -> Settings:
    """The settings, if a server can run with them.  Raises CommandFailed with all that is wrong."""
    try:
        loaded = read(path, overrides(override))
    except SettingsError as error:
        raise CommandFailed(str(error), CONFIG) from None
    errors, warnings = verify(loaded)
    if warn:
        for problem in warnings:
            typer.echo(f"warning: {problem}", err=True)
    if errors:
        raise CommandFailed("\n".join(map(str, errors)), CONFIG)
    return loaded.settings


@app.command()
def serve(
    config: ConfigOption = None,
    override: OverrideOption = None,
    background: Annotated[
        bool, typer.Option("--background", help="Return when the server is ready.")
    ] = False,
) -> None:
    """Run the server in the foreground; SIGTERM stops it, SIGHUP has it read its settings again."""
    path = config_path(config).absolute()
    settings = checked(path, override, warn=True)
    folder = Path(settings.base_dir)
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"base_dir {folder} cannot be made: {error.strerror}") from None
    from pillarbox.services.master.run import serve as run_master

    status = run_master(
        settings,
        path,
        foreground=not background,
        load=lambda: checked(path, override, warn=False),
    )
    raise typer.Exit(status)
