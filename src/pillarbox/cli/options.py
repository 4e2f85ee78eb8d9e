"""The options that most commands share, and the settings that they name.

A command takes ``config: ConfigOption = None, override: OverrideOption = None`` and calls
`settings_of`; what is wrong with the settings comes out with file and line, status 78.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from pillarbox.cli.failure import CONFIG, USAGE, CommandFailed
from pillarbox.settings.errors import SettingsError
from pillarbox.settings.load import Loaded, read
from pillarbox.settings.model import Settings

DEFAULT_CONFIG: Final = Path("/etc/pillarbox/pillarbox.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings file; otherwise $PILLARBOX_CONFIG, else /etc/pillarbox/pillarbox.toml.",
    ),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override", "-o", metavar="NAME=VALUE", help="Set one setting, whatever the file says."
    ),
]
UserOption = Annotated[str, typer.Option("--user", "-u", metavar="USER", help="Whose mail.")]


def config_path(config: Path | None) -> Path:
    """The settings file to read: the option, the environment, or the usual place."""
    if config is not None:
        return config
    if path := os.environ.get("PILLARBOX_CONFIG"):
        return Path(path)
    if not DEFAULT_CONFIG.exists():
        raise CommandFailed(
            f"there is no {DEFAULT_CONFIG}; name a settings file with -c FILE", CONFIG
        )
    return DEFAULT_CONFIG


def read_settings(config: Path | None, override: list[str] | None = None) -> Loaded:
    """The settings and where they came from.  Raises CommandFailed with every problem."""
    try:
        return read(config_path(config), overrides(override))
    except SettingsError as error:
        raise CommandFailed(str(error), CONFIG) from None


def settings_of(config: Path | None, override: list[str] | None = None) -> Settings:
    """The settings alone.  Raises CommandFailed."""
    return read_settings(config, override).settings


def overrides(written: list[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping."""
    found: dict[str, str] = {}
    for item in written or []:
        name, sign, value = item.partition("=")
        if not sign or not name.strip():
            raise CommandFailed(f"-o takes NAME=VALUE, not {item!r}", USAGE)
        found[name.strip()] = value.strip()
    return found
