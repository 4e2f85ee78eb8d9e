"""Asking an OAuth2 provider: discovery, token info, introspection, the password grant, keys.

A provider that says that a token is no good (a status 400 to 404, or ``active: false``) is told
from one that cannot answer, which is DatabaseError.  Tokens are kept out of events and logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from pillarbox.drivers.passdb.api import DatabaseError
from pillarbox.events.event import Scope
from pillarbox.runtime.http_client import HttpClient, HttpError, HttpResponse
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

DISCOVERY_TTL: Final = 3600.0
USER_AGENT: Final = "Pillarbox/oauth2"
_REFUSED: Final = frozenset({400, 401, 403, 404})
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_ENDPOINTS: Final = {"auth": "userinfo_endpoint", "post": "introspection_endpoint"}

Json = dict[str, Any]


class Provider:
    """The provider that a passdb block names."""

    def __init__(
        self,
        block: PassdbSettings,
        settings: Settings,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._block = block
        self._clock = clock
        self._http = HttpClient(
            log, msgspec.structs.replace(settings, http_client_user_agent=USER_AGENT)
        )
        self._found: Json = {}
        self._found_at: float | None = None
        self._lock = asyncio.Lock()

    async def discovered(self, scope: Scope) -> Json:
        """What the provider says of itself; nothing if it is not asked."""
        url = self._block.oauth2_openid_configuration_url
        if not url:
            return {}
        async with self._lock:
            now = self._clock()
            if self._found_at is None or now - self._found_at >= DISCOVERY_TTL:
                self._found = _json(await self._request(scope, "GET", url), "discovery")
                self._found_at = now
        return self._found

    async def token_info(self, scope: Scope, token: str) -> Json | None:
        """What ``oauth2_tokeninfo_url`` says of a token; None if it is no good."""
        url = self._block.oauth2_tokeninfo_url + quote(token, safe="")
        return self._told(await self._request(scope, "GET", url), "token info")

    async def introspect(self, scope: Scope, token: str, mode: str) -> Json | None:
        """What the provider says of a token; None if it is no good.  Raises DatabaseError."""
        url = await self._introspection_url(scope, mode)
        if mode == "auth":
            headers = {"Authorization": f"Bearer {token}"}
            response = await self._request(scope, "GET", url, headers)
        elif mode == "get":
            response = await self._request(scope, "GET", url + quote(token, safe=""))
        else:
            form = {"token": token, "token_type_hint": "access_token"}
            response = await self._post(scope, url, form)
            if response.status in (401, 403):
                raise DatabaseError("oauth2: introspection: the provider refuses our client id")
        return self._told(response, "introspection")

    async def can_introspect(self, scope: Scope) -> str | None:
        """The mode in which a token can be checked that cannot be checked here."""
        if self._block.oauth2_introspection_url:
            return "post" if self._block.oauth2_client_id else "auth"
        found = await self.discovered(scope)
        if self._block.oauth2_client_id and "introspection_endpoint" in found:
            return "post"
        return "auth" if "userinfo_endpoint" in found else None

    async def grant(self, scope: Scope, user: str, password: str) -> str | None:
        """A token for a user name and a password; None if they are wrong."""
        form = {"grant_type": "password", "username": user, "password": password}
        if self._block.oauth2_scope:
            form["scope"] = " ".join(self._block.oauth2_scope)
        response = await self._post(scope, self._block.oauth2_grant_url, form)
        if response.status == 401 or (response.status == 400 and not _is_grant_error(response)):
            raise DatabaseError("oauth2: password grant: the provider refuses our client id")
        told = self._told(response, "password grant")
        if told is None:
            return None
        token = told.get("access_token")
        if not isinstance(token, str) or not token:
            raise DatabaseError("oauth2: password grant: no access_token in the answer")
        return token

    async def keys(self, scope: Scope) -> Json:
        """The provider's JWK set."""
        url = self._block.oauth2_jwks_url or (await self.discovered(scope)).get("jwks_uri")
        if not isinstance(url, str) or not url:
            raise DatabaseError("oauth2: it is not known where the provider's keys are")
        return _json(await self._request(scope, "GET", url), "keys")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _introspection_url(self, scope: Scope, mode: str) -> str:
        if self._block.oauth2_introspection_url:
            return self._block.oauth2_introspection_url
        url = (await self.discovered(scope)).get(_ENDPOINTS.get(mode, ""))
        if not isinstance(url, str) or not url:
            raise DatabaseError("oauth2: it is not known where tokens are introspected")
        return url

    async def _post(self, scope: Scope, url: str, form: dict[str, str]) -> HttpResponse:
        block = self._block
        auth = None
        if block.oauth2_client_id:
            # RFC 6749 section 2.3.1: both are encoded before they are put together.
            auth = (
                quote(block.oauth2_client_id, safe=""),
                quote(block.oauth2_client_secret, safe=""),
            )
        return await self._request(scope, "POST", url, _FORM, urlencode(form).encode(), auth)

    async def _request(
        self,
        scope: Scope,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        auth: tuple[str, str] | None = None,
    ) -> HttpResponse:
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            return await self._http.request(
                scope, method, url, headers=asked, body=body, auth=auth, idempotent=True,
                hide_query=True,
            )  # fmt: skip
        except HttpError as error:
            raise DatabaseError(f"oauth2: {error}") from error

    @staticmethod
    def _told(response: HttpResponse, what: str) -> Json | None:
        if response.status in _REFUSED:
            return None
        told = _json(response, what)
        return None if told.get("active") is False else told


def _json(response: HttpResponse, what: str) -> Json:
    """The object of a response.  Raises DatabaseError."""
    if not response.ok:
        raise DatabaseError(f"oauth2: {what}: the provider answers {response.status}")
    try:
        return msgspec.json.decode(response.body, type=Json)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DatabaseError(f"oauth2: {what}: the answer is no JSON object") from error


def _is_grant_error(response: HttpResponse) -> bool:
    """Whether a refusal is about the user (RFC 6749 section 5.2), not about us."""
    try:
        told = msgspec.json.decode(response.body, type=Json)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return told.get("error") == "invalid_grant"
