"""``pillarbox user list``: who has mail here, by every userdb that can list its users.

The userdbs of the settings are asked directly, so no server need run.  Where none of them can list
(``static``, ``prefetch``) the passdb that `pillarbox user` edits is.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pillarbox.auth import authenticator as factory
from pillarbox.auth.authenticator import AuthConfigError, Authenticator
from pillarbox.auth.request import Request
from pillarbox.cli.failure import CONFIG, TEMPORARY, CommandFailed
from pillarbox.cli.telling import telling
from pillarbox.cli.user_database import user_database
from pillarbox.drivers.passdb.api import DatabaseError
from pillarbox.drivers.userdb.api import SupportsIterate
from pillarbox.events.event import Scope
from pillarbox.settings.model import Settings
from pillarbox.wire.auth.params import AuthParams


class Listed:
    """What was found: fields by user name, and why there may be more."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, str]] = {}
        self.failure: str | None = None


async def listed(settings: Settings, mask: str, *, fields: bool) -> Listed:
    """The users whose names match, with their fields if wanted.  Raises CommandFailed."""
    found = Listed()
    async with telling(settings) as ctx:
        try:
            authenticator = factory.make(settings, ctx.log, b"")
        except AuthConfigError as error:
            raise CommandFailed(str(error), CONFIG) from None
        try:
            iterable = any(
                isinstance(block.driver, SupportsIterate) for block in authenticator.userdbs.blocks
            )
            if iterable:
                await _ask(authenticator, ctx.scope, mask, found, fields)
        finally:
            await authenticator.close()
    if not iterable:
        async with user_database(settings) as users:
            for record in await users.records():
                if fnmatchcase(record.user, mask):
                    found.users[record.user] = record.fields
    return found


async def _ask(
    authenticator: Authenticator, scope: Scope, mask: str, found: Listed, fields: bool
) -> None:
    params = AuthParams(service="pillarbox")
    try:
        async for user in authenticator.users(Request(params, scope)):
            if fnmatchcase(user, mask):
                found.users[user] = {}
    except DatabaseError as error:
        found.failure = str(error)
    if not fields:
        return
    for user in found.users:
        request = Request(params, scope)
        request.identify(user, user)
        outcome = await authenticator.userdb(request)
        if outcome.result == "internal_failure":
            raise CommandFailed("the userdb cannot be asked now", TEMPORARY)
        found.users[user].update(outcome.fields)
