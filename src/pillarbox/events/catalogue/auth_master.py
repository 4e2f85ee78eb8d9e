"""Events of a worker that fetches, over the master socket, the login that a login service made."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import ADDRESSES, USER
from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Id = Annotated[int | None, F("Number of the login request on the master connection.")]


@declare(inherits=ADDRESSES)
def auth_master_client_login_started(scope: Scope, /, *, id: _Id = None) -> None:
    """A worker asked for the user behind a finished authentication."""


@declare(inherits={**ADDRESSES, **USER})
def auth_master_client_login_finished(
    scope: Scope, /, *, id: _Id = None, error: Error = None
) -> None:
    """The worker got the user, or an error."""
