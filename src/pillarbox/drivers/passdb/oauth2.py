"""Tokens of an OAuth2 or OpenID Connect provider, as OAUTHBEARER and XOAUTH2 bring them.

A token is checked here by its signature (``oauth2_introspection_mode = "local"``), or by asking the
provider; either gives attributes, and these say whose the token is and whether it is good here
(`drivers.oauth2_claims`).  With ``oauth2_grant_url`` other mechanisms work too: their password gets
a token, which is then checked in the same way.

Why a token is refused stands in the debug log; to the client it is a wrong password.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from pillarbox.drivers import registry
from pillarbox.drivers.dict.api import DictError
from pillarbox.drivers.oauth2_claims import Claims, Rules, as_text, enabled, refusal
from pillarbox.drivers.oauth2_jwt import NoJwt, NotSigned, read
from pillarbox.drivers.oauth2_keys import KeyDict, KeyFolder, KeySource, ProviderKeys
from pillarbox.drivers.oauth2_provider import Provider
from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query, Server, Wrong
from pillarbox.events.event import Scope
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError, expand

BEARER: Final = frozenset({"OAUTHBEARER", "XOAUTH2"})
MISMATCH: Final = Wrong("password_mismatch")


class _Refused(Exception):
    """The token is no good; the text says why, for the log."""


class Oauth2Passdb:
    """See the module."""

    name = "oauth2"
    cache_key = ""

    def __init__(
        self,
        block: PassdbSettings,
        server: Server,
        provider: Provider,
        keys: Sequence[KeySource],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._block = block
        self._log = server.log
        self._provider = provider
        self._keys = keys
        self._clock = clock

    async def lookup(self, query: Query) -> Entry | None:
        """Without a token nobody is known."""
        raise NoLookup("oauth2 knows users by their tokens only")

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """Whether it is a good token of this user, or a password that gets one."""
        token: str | None = password
        if query.values.get("mechanism") not in BEARER:
            if not self._block.oauth2_grant_url:
                return None
            token = await self._provider.grant(query.scope, query.user, password)
        try:
            if token is None:
                raise _Refused("the provider gives none")
            claims, signed = await self._claims(query.scope, token)
            why = refusal(claims, await self._rules(query.scope, signed), self._clock())
            if why is not None:
                raise _Refused(why)
            return self._verdict(query, token, claims)
        except _Refused as why:
            self._log.debug(query.scope, f"oauth2: token refused: {why}")
            return MISMATCH
        except VariableError as error:
            raise DatabaseError(f"oauth2: {error}") from error

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._provider.close()

    async def _claims(self, scope: Scope, token: str) -> tuple[Claims, bool]:
        """What is known of a token, and whether its signature says so.

        Raises _Refused, DatabaseError.
        """
        mode: str | None = self._block.oauth2_introspection_mode
        if mode == "local":
            try:
                return await read(scope, token, self._keys), True
            except NotSigned as error:
                raise _Refused(str(error)) from error
            except NoJwt as error:
                mode = await self._provider.can_introspect(scope)
                if mode is None:
                    raise _Refused("not a JWT") from error
        return await self._asked(scope, token, mode), False

    async def _asked(self, scope: Scope, token: str, mode: str | None) -> Claims:
        """What the provider says of a token.  Raises _Refused, DatabaseError."""
        block, provider = self._block, self._provider
        found: dict[str, Any] = {}
        if block.oauth2_tokeninfo_url:
            info = await provider.token_info(scope, token)
            if info is None:
                raise _Refused("token info does not know it")
            found = info
        if mode and (block.oauth2_force_introspection or not self._names_user(found)):
            more = await provider.introspect(scope, token, mode)
            if more is None:
                raise _Refused("the provider says so")
            found = {**found, **more}
        return found

    def _names_user(self, claims: Claims) -> bool:
        return self._block.oauth2_username_attribute in claims

    def _verdict(self, query: Query, token: str, claims: Claims) -> Entry | Wrong:
        block = self._block
        name = as_text(claims.get(block.oauth2_username_attribute))
        if not name:
            raise _Refused(f"it has no {block.oauth2_username_attribute}")
        values = dict(query.values)
        normal = expand(block.oauth2_username_validation_format, {**values, "user": name})
        if normal != query.user:
            raise _Refused("it is somebody else's")
        if not enabled(claims, block.oauth2_active_attribute, block.oauth2_active_value):
            return Wrong("user_disabled")
        for claim, value in claims.items():
            values[f"oauth2:{claim}"] = as_text(value)
        values["oauth2:access_token"] = token
        return Entry(
            None, {field: expand(text, values) for field, text in block.oauth2_fields.items()}
        )

    async def _rules(self, scope: Scope, signed: bool) -> Rules:
        """What the token must be; one that is signed must be the provider's own."""
        block = self._block
        issuers = block.oauth2_issuers
        if not issuers and signed:
            issuer = (await self._provider.discovered(scope)).get("issuer")
            issuers = (issuer,) if isinstance(issuer, str) else ()
        client = (block.oauth2_client_id,) if block.oauth2_client_id else ()
        return Rules(issuers, block.oauth2_audience or client, block.oauth2_scope)


def _key_sources(block: PassdbSettings, server: Server, provider: Provider) -> list[KeySource]:
    """Where keys are for what is checked here.  Raises ValueError."""
    sources: list[KeySource] = []
    if block.oauth2_local_validation_folder:
        sources.append(KeyFolder(block.oauth2_local_validation_folder))
    if name := block.oauth2_local_validation_dict:
        chosen = server.settings.dict.get(name)
        if chosen is None:
            raise ValueError(f"oauth2_local_validation_dict: there is no dict {name}")
        try:
            driver = registry.load("dict", chosen.driver or name)
            sources.append(KeyDict(driver.make(chosen, chosen.dict_file_path)))
        except DictError as error:
            raise ValueError(f"oauth2_local_validation_dict: {error}") from error
    if block.oauth2_jwks_url or block.oauth2_openid_configuration_url:
        sources.append(ProviderKeys(provider.keys, block.oauth2_jwks_ttl))
    return sources


def make(block: PassdbSettings, server: Server) -> Oauth2Passdb:
    """The passdb of a settings block.  Raises ValueError for one that can check nothing."""
    if not block.oauth2_introspection_mode and not block.oauth2_tokeninfo_url:
        raise ValueError("needs oauth2_introspection_mode or oauth2_tokeninfo_url")
    provider = Provider(block, server.settings, server.log)
    sources = _key_sources(block, server, provider)
    if block.oauth2_introspection_mode == "local" and not sources:
        raise ValueError("oauth2_introspection_mode = local needs keys (oauth2_jwks_url, …)")
    return Oauth2Passdb(block, server, provider, sources)
