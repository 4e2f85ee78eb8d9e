"""The user database that commands edit: the first passdb of the settings that can be written.

That is a passwd-file whose path holds no variables, or the ``users`` table of an SQL database.  A
file that a command run by root makes belongs to the server's internal user, who must read it.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from pillarbox.cli.failure import CONFIG, TEMPORARY, CommandFailed
from pillarbox.cli.telling import telling
from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import DatabaseError, SupportsWrite
from pillarbox.drivers.passdb.passwd_file import PasswdFileUsers
from pillarbox.drivers.passdb.sql import SqlUsers
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.events.event import Scope
from pillarbox.settings.model import PassdbSettings, Settings


class Users(SupportsWrite, Protocol):
    """A database to be edited, and closed when done."""

    async def close(self) -> None:
        """Let go of it."""


@asynccontextmanager
async def user_database(settings: Settings, *, create: bool = False) -> AsyncIterator[Users]:
    """The database; ``create`` lets a missing file be made.  Raises CommandFailed."""
    driver, block = writable(settings)
    path = _path(driver, block)
    if path is not None and not path.exists():
        if not create:
            raise CommandFailed(f"there are no users yet: {path} does not exist")
        if not path.parent.is_dir():
            raise CommandFailed(f"there is no folder {path.parent} for the user database")
    new = path is not None and not path.exists()
    os.umask(0o077)
    async with telling(settings) as ctx:
        users = _open(driver, block, settings, ctx.scope, create)
        try:
            yield users
        except DatabaseError as error:
            raise CommandFailed(str(error), TEMPORARY) from None
        finally:
            await users.close()
    if new and path is not None and path.exists():
        _give_to_server(path, settings)


def writable(settings: Settings) -> tuple[str, PassdbSettings]:
    """Driver and block of the first database that can be edited.  Raises CommandFailed."""
    for name, block in settings.passdb.items():
        driver = block.driver or name
        if driver == "sql" and (block.sql_driver != "sqlite" or block.sqlite_path):
            return driver, block
        if driver == "passwd-file" and _path(driver, block) is not None:
            return driver, block
    if not settings.passdb:
        raise CommandFailed("the settings name no passdb; add a [passdb.NAME] block", CONFIG)
    names = ", ".join(settings.passdb)
    raise CommandFailed(
        f"none of the passdbs ({names}) can be edited: that needs a passwd-file or SQL", CONFIG
    )


def _path(driver: str, block: PassdbSettings) -> Path | None:
    """The database's file, if it is one."""
    if driver == "passwd-file" and block.passwd_file_path and "%{" not in block.passwd_file_path:
        return Path(block.passwd_file_path)
    return Path(block.sqlite_path) if driver == "sql" and block.sql_driver == "sqlite" else None


def _open(
    driver: str, block: PassdbSettings, settings: Settings, scope: Scope, create: bool
) -> Users:
    if driver == "passwd-file":
        return PasswdFileUsers(block.passwd_file_path)
    if block.sql_driver == "sqlite":
        return SqlUsers(SqliteSql(block.sqlite_path, create=create), scope)
    try:
        return SqlUsers(registry.load("sql", block.sql_driver).make(block, settings), scope)
    except (registry.UnknownDriver, registry.MissingRequirement, ValueError) as error:
        raise CommandFailed(str(error), CONFIG) from None


def _give_to_server(path: Path, settings: Settings) -> None:
    """Let the auth service read a file that root has just made."""
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(settings.default_internal_user)
        except KeyError:
            return
        os.chown(path, entry.pw_uid, entry.pw_gid)
