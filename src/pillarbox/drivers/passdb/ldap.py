"""Passwords in an LDAP directory: read (`LdapPassdb`), or tried by binding (`LdapBindPassdb`).

Reading works with every mechanism and needs leave to read ``userPassword``; binding needs no such
leave, leaves hashing and locking to the directory, and works where the client sends the password.
"""

from __future__ import annotations

from pillarbox.drivers.ldap_client import Found, LdapClient, dn_of
from pillarbox.drivers.passdb.api import DatabaseError, Entry, Query, Server, Wrong
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError


class LdapPassdb:
    """See the module."""

    name = "ldap"

    def __init__(self, client: LdapClient) -> None:
        self._client = client
        self.cache_key = client.cache_key(client.block.ldap_filter)

    async def lookup(self, query: Query) -> Entry | None:
        """The fields of the user's entry."""
        try:
            found = await self._client.find(query)
            if found is None:
                return None
            fields = found.fields(self._client.templates, query.values)
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error
        return Entry(fields.pop("password", None), fields)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class LdapBindPassdb:
    """See the module; ``userdn`` is a template of the user's DN, or "" to search for it."""

    name = "ldap"

    def __init__(self, client: LdapClient, userdn: str = "") -> None:
        self._client = client
        self._userdn = userdn
        self.cache_key = client.cache_key(userdn or client.block.ldap_filter)

    async def lookup(self, query: Query) -> Entry | None:
        """The fields of the user's entry; there is no password among them."""
        found = await self._found(query)
        return None if found is None else self._entry(found, query)

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """Bind as the user."""
        if self._userdn:
            dn, entry = self._named(query), Entry(None)
        else:
            found = await self._found(query)
            if found is None:
                return None
            dn, entry = found.dn, self._entry(found, query)
        verdict = await self._client.try_password(dn, password)
        return entry if verdict == "ok" else Wrong(verdict)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _named(self, query: Query) -> str:
        try:
            return dn_of(self._userdn, query.values) if query.user else ""
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error

    async def _found(self, query: Query) -> Found | None:
        try:
            return await self._client.find(query)
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error

    def _entry(self, found: Found, query: Query) -> Entry:
        try:
            return Entry(None, found.fields(self._client.templates, query.values))
        except VariableError as error:
            raise DatabaseError(f"ldap: {error}") from error


def make(block: PassdbSettings, server: Server) -> LdapPassdb | LdapBindPassdb:
    """The passdb of a settings block.  Raises ValueError."""
    templates = dict(block.ldap_fields)
    if not block.ldap_bind:
        return LdapPassdb(LdapClient(block, server, templates))
    templates.pop("password", None)
    return LdapBindPassdb(LdapClient(block, server, templates), block.ldap_bind_userdn)
