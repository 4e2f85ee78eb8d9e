"""Users in an LDAP directory: the fields that templates make of their entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from pillarbox.drivers.ldap_client import LdapClient
from pillarbox.drivers.userdb.api import DatabaseError, Query, Server
from pillarbox.settings.model import UserdbSettings
from pillarbox.settings.variables import VariableError


class LdapUserdb:
    """See the module."""

    name = "ldap"
    needs_passdb = False

    def __init__(
        self, client: LdapClient, iterate_filter: str, iterate_fields: Mapping[str, str]
    ) -> None:
        if "user" not in iterate_fields:
            raise ValueError("ldap_iterate_fields has no user")
        self._client = client
        self._iterate = iterate_filter
        self._names = iterate_fields
        self.cache_key = client.cache_key(client.block.ldap_filter)

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The fields of the user's entry."""
        try:
            found = await self._client.find(query)
            return None if found is None else found.fields(self._client.templates, query.values)
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The names of all entries that the iterate filter finds."""
        try:
            async for page in self._client.pages(self._iterate, self._names):
                for found in page:
                    user = found.fields(self._names, query.values).get("user")
                    if user:
                        yield user
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def make(block: UserdbSettings, server: Server) -> LdapUserdb:
    """The userdb of a settings block.  Raises ValueError."""
    client = LdapClient(block, server, block.ldap_fields)
    return LdapUserdb(client, block.ldap_iterate_filter, block.ldap_iterate_fields)
