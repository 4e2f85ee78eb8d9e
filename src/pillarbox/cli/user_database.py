"""The user database that commands edit: the first passdb of the settings that can be written.

That is a passwd-file whose path holds no variables, or the ``users`` table of an SQLite file.  A
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
from pillarbox.drivers.passdb.api import DatabaseError, SupportsWrite
from pillarbox.drivers.passdb.passwd_file import PasswdFileUsers
from pillarbox.drivers.passdb.sql import SqlUsers
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.settings.model import PassdbSettings, Settings


class Users(SupportsWrite, Protocol):
    """A database to be edited, and closed when done."""

    async def close(self) -> None:
        """Let go of it."""


@asynccontextmanager
async def user_database(settings: Settings, *, create: bool = False) -> AsyncIterator[Users]:
    """The database; ``create`` lets a missing file be made.  Raises CommandFailed."""
    path, driver = _writable(settings)
    if not path.exists():
        if not create:
            raise CommandFailed(f"there are no users yet: {path} does not exist")
        if not path.parent.is_dir():
            raise CommandFailed(f"there is no folder {path.parent} for the user database")
    new = not path.exists()
    os.umask(0o077)
    async with telling(settings) as ctx:
        users: Users
        if driver == "sql":
            users = SqlUsers(SqliteSql(str(path), create=create), ctx.scope)
        else:
            users = PasswdFileUsers(path)
        try:
            yield users
        except DatabaseError as error:
            raise CommandFailed(str(error), TEMPORARY) from None
        finally:
            await users.close()
    if new and path.exists():
        _give_to_server(path, settings)


def _writable(settings: Settings) -> tuple[Path, str]:
    """Path and driver of the first database that can be edited."""
    for name, block in settings.passdb.items():
        if path := _path(name, block):
            return Path(path), block.driver or name
    if not settings.passdb:
        raise CommandFailed("the settings name no passdb; add a [passdb.NAME] block", CONFIG)
    names = ", ".join(settings.passdb)
    raise CommandFailed(
        f"none of the passdbs ({names}) can be edited: that needs a passwd-file or SQLite", CONFIG
    )


def _path(name: str, block: PassdbSettings) -> str:
    driver = block.driver or name
    if driver == "passwd-file" and "%{" not in block.passwd_file_path:
        return block.passwd_file_path
    if driver == "sql" and block.sql_driver == "sqlite":
        return block.sqlite_path
    return ""


def _give_to_server(path: Path, settings: Settings) -> None:
    """Let the auth service read a file that root has just made."""
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(settings.default_internal_user)
        except KeyError:
            return
        os.chown(path, entry.pw_uid, entry.pw_gid)
