"""Which scripts run for a message: those before, the user's own or the default one, those after.

A place of the administrator's that has no active script stands for all its scripts, by name.  Later
scripts are only opened when it is their turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.delivery.sieve_storage.storage import OpenScript, ScriptStorage
from pillarbox.drivers.script.api import Listed
from pillarbox.events.event import Scope
from pillarbox.settings.schema.sieve_script import ScriptType


class Opened(NamedTuple):
    """A script whose turn it is, and where it comes from."""

    script: OpenScript
    storage: ScriptStorage


class Own(NamedTuple):
    """The user's active script, or else the default one: where it is."""

    storage: ScriptStorage
    name: str


class Scripts(NamedTuple):
    """What has to run for a message."""

    places: Places
    own: Own | None


async def at_delivery(places: Places, own: Own | None, scope: Scope) -> AsyncIterator[Opened]:
    """The scripts for a message that is delivered.  Raises ScriptRefused."""
    async for one in of_type(places, "before", scope):
        yield one
    if own is not None:
        yield Opened(await own.storage.open(scope, own.name), own.storage)
    async for one in of_type(places, "after", scope):
        yield one


async def find_own(places: Places, scope: Scope) -> Own | None:
    """Look for the user's own script.  Raises ScriptRefused."""
    personal = places.personal()
    for storage in [*([] if personal is None else [personal]), *places.of("default")]:
        name = await storage.active(scope)
        if name is not None:
            return Own(storage, name)
    return None


async def of_type(places: Places, kind: ScriptType, scope: Scope) -> AsyncIterator[Opened]:
    """All scripts of the administrator's places of one type.  Raises ScriptRefused."""
    for storage in places.of(kind):
        name = await storage.active(scope)
        names = [name] if name is not None else _sorted(await storage.scripts(scope))
        for one in names:
            yield Opened(await storage.open(scope, one), storage)


def _sorted(listed: list[Listed]) -> list[str]:
    return sorted(one.name for one in listed)
