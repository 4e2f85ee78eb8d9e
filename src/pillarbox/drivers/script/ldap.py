"""A script in an LDAP directory: an attribute of the user's entry, which is only read.

Which directory, as whom and where to search are those of a `userdb` block; the user's entry has the
script in ``ldap_script_attribute``.  It is the only one there, and active.

All users of a block share one client with its connections; it lives as long as the process, or
until the settings change.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from pillarbox.drivers.ldap_client import LdapClient
from pillarbox.drivers.passdb.api import DatabaseError, Query, Server
from pillarbox.drivers.script.api import Listed, Place, ScriptError
from pillarbox.events.event import Scope
from pillarbox.runtime.log import log
from pillarbox.settings.model import UserdbSettings
from pillarbox.settings.variables import VariableError

NAME: Final = "active"

_CLIENTS: Final[dict[str, tuple[UserdbSettings, LdapClient]]] = {}
_CLOSING: Final[set[asyncio.Task[None]]] = set()


class LdapScripts:
    """The one script of a user."""

    name = "ldap"

    def __init__(self, client: LdapClient, attribute: str, place: Place) -> None:
        self._client = client
        self._attribute = attribute
        self._values = place.values
        self._script = place.script.name or NAME

    def location(self, script: str) -> str:
        """``ldap:ATTRIBUTE@URI``."""
        return f"ldap:{self._attribute}@{self._client.block.ldap_uris[0]}"

    async def scripts(self) -> list[Listed]:
        """The script, if there is one."""
        source = await self.read(self._script)
        return [] if source is None else [Listed(self._script, len(source), True)]

    async def read(self, script: str) -> bytes | None:
        """The script."""
        if script != self._script:
            return None
        query = Query(self._values["user"], Scope(), self._values)
        try:
            found = await self._client.find(query)
        except (DatabaseError, VariableError) as error:
            raise ScriptError(str(error)) from error
        values = () if found is None else found.attributes.get(self._attribute.lower(), ())
        return values[0] if values else None

    async def active(self) -> str | None:
        """The script, if there is one."""
        return None if await self.read(self._script) is None else self._script

    async def close(self) -> None:
        """The client stays for others."""


def make(place: Place) -> LdapScripts:
    """The place in the directory that the block names.  Raises ValueError."""
    script = place.script
    block = place.settings.userdb.get(script.ldap)
    if block is None:
        raise ValueError(f"sieve_script {place.block}: there is no userdb {script.ldap!r}")
    if script.ldap_filter:
        block = msgspec.structs.replace(block, ldap_filter=script.ldap_filter)
    known = _CLIENTS.get(place.block)
    if known is not None and known[0] == block:
        return LdapScripts(known[1], script.ldap_script_attribute, place)
    templates = {"script": f"%{{ldap:{script.ldap_script_attribute}}}"}
    client = LdapClient(block, Server(place.settings, log), templates)
    if known is not None:
        task = asyncio.get_running_loop().create_task(known[1].close())
        _CLOSING.add(task)
        task.add_done_callback(_CLOSING.discard)
    _CLIENTS[place.block] = (block, client)
    return LdapScripts(client, script.ldap_script_attribute, place)
