"""Events of whoever asks the auth process: SASL exchanges and lookups, seen from outside it."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import AUTH_CLIENT, AUTH_CLIENT_USER, USER
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_UserMask = Annotated[str | None, F("Mask of the user names to list.")]


@declare(category="auth-client", inherits={**AUTH_CLIENT, **AUTH_CLIENT_USER})
def auth_client_request_started(scope: Scope, /, *, error: Error = None) -> None:
    """An authentication was asked for."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **AUTH_CLIENT_USER})
def auth_client_request_challenged(scope: Scope, /, *, error: Error = None) -> None:
    """The auth process sent a challenge that the client must answer."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **AUTH_CLIENT_USER})
def auth_client_request_continued(scope: Scope, /, *, error: Error = None) -> None:
    """The client's answer to a challenge was sent to the auth process."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **AUTH_CLIENT_USER})
def auth_client_request_finished(scope: Scope, /, *, error: Error = None) -> None:
    """The auth process gave its verdict, good or bad."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **USER})
def auth_client_passdb_lookup_started(scope: Scope, /, *, error: Error = None) -> None:
    """A passdb lookup without a password was asked for."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **USER})
def auth_client_passdb_lookup_finished(scope: Scope, /, *, error: Error = None) -> None:
    """A passdb lookup without a password was answered."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **USER})
def auth_client_userdb_lookup_started(scope: Scope, /, *, error: Error = None) -> None:
    """A userdb lookup was asked for."""


@declare(category="auth-client", inherits={**AUTH_CLIENT, **USER})
def auth_client_userdb_lookup_finished(scope: Scope, /, *, error: Error = None) -> None:
    """A userdb lookup was answered."""


@declare(category="auth-client", inherits=AUTH_CLIENT)
def auth_client_userdb_list_started(scope: Scope, /, *, user_mask: _UserMask = None) -> None:
    """A list of users was asked for."""


@declare(category="auth-client", inherits=AUTH_CLIENT)
def auth_client_userdb_list_finished(
    scope: Scope, /, *, user_mask: _UserMask = None, error: Error = None
) -> None:
    """The list of users ended."""
