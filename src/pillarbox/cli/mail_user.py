"""Opening a user's mail from the command line.

The user is looked up as the auth service would, with the same chain of databases but without the
service, so that the commands work beside a running server and without one.  Root becomes the
user's system user first, or files would belong to root that the server must write.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pillarbox.auth.authenticator import AuthConfigError, make
from pillarbox.auth.request import Request
from pillarbox.cli.failure import (
    CONFIG,
    DATA,
    NO_PERMISSION,
    NO_USER,
    TEMPORARY,
    CommandFailed,
)
from pillarbox.cli.telling import SERVICE, telling
from pillarbox.drivers.storage.api import MessageLost, StorageError
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailError, Temporary
from pillarbox.mailstore.user import MailUser, Users
from pillarbox.runtime.log import log
from pillarbox.runtime.privileges import IdentityError, lookup_group, lookup_user
from pillarbox.settings.model import Settings
from pillarbox.wire.auth.params import AuthParams

T = TypeVar("T")


async def userdb_fields(settings: Settings, name: str) -> tuple[str, dict[str, str]]:
    """The user's name as databases know it, and its userdb fields.  Raises CommandFailed."""
    try:
        authenticator = make(settings, log, os.urandom(32))
    except AuthConfigError as error:
        raise CommandFailed(str(error), CONFIG) from None
    try:
        request = Request(AuthParams(service=SERVICE), Scope())
        if not authenticator.identify(request, name):
            raise CommandFailed(f"{name!r} cannot be the name of a user", NO_USER)
        outcome = await authenticator.userdb(request)
    finally:
        await authenticator.close()
    if outcome.result == "internal_failure":
        raise CommandFailed("the user database cannot be asked now", TEMPORARY)
    if outcome.result != "ok":
        raise CommandFailed(f"there is no user {name}", NO_USER)
    return request.user, outcome.fields


def become(settings: Settings, fields: Mapping[str, str]) -> None:
    """As root: take on the identity that owns the user's mail.  Raises CommandFailed."""
    if os.geteuid() != 0:
        return
    user = fields.get("uid") or settings.mail_uid
    group = fields.get("gid") or settings.mail_gid
    try:
        uid, gid, _ = lookup_user(user, "uid") if user else (-1, -1, "")
        gid = lookup_group(group, "gid") if group else gid
    except IdentityError as error:
        raise CommandFailed(str(error), CONFIG) from None
    if gid > 0:
        os.setgroups([gid])
        os.setegid(gid)
    if uid > 0:
        os.seteuid(uid)


@asynccontextmanager
async def mail_user(settings: Settings, name: str) -> AsyncIterator[MailUser]:
    """The user, opened.  Raises CommandFailed."""
    found, fields = await userdb_fields(settings, name)
    become(settings, fields)
    os.umask(0o077)
    users = Users()
    user = await users.acquire(found, fields, settings)
    try:
        yield user
    finally:
        users.release(user)
        await users.close()


def command_scope(user: MailUser, *reasons: str) -> Scope:
    """The scope that a command's work is nested in."""
    return Scope(None, (f"service:{SERVICE}",), reasons, user=user.name, service=SERVICE)


def with_user(
    settings: Settings, name: str, work: Callable[[MailUser], Coroutine[Any, Any, T]]
) -> T:
    """Run ``work`` with the user open; every error of the mail store becomes a sentence."""

    async def run() -> T:
        async with telling(settings), mail_user(settings, name) as user:
            return await work(user)

    try:
        return asyncio.run(run())
    except Temporary as error:
        raise CommandFailed(error.text, TEMPORARY) from None
    except MailError as error:
        raise CommandFailed(error.text, DATA) from None
    except MessageLost as error:
        raise CommandFailed(str(error), DATA) from None
    except StorageError as error:
        raise CommandFailed(f"the mail store cannot be used now: {error}", TEMPORARY) from None
    except PermissionError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CommandFailed(f"{where}{error.strerror}", NO_PERMISSION) from None
