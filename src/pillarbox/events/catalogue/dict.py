"""Events of the dict family: lookups, iterations and transactions, at the client and the server."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import USER
from pillarbox.events.catalogue.own import Driver, Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Name = Annotated[str | None, F("Name of the dict in the settings.")]
_Key = Annotated[str | None, F("The key: `priv/...` of one user or `shared/...` of all.")]
_NotFound = Annotated[str | None, F("Present when there is no such key.", values=("yes",))]
_Rows = Annotated[int | None, F("Number of rows returned.")]
_Rollback = Annotated[
    str | None, F("Present when the transaction was rolled back.", values=("yes",))
]
_Uncertain = Annotated[
    str | None, F("Present when nobody can say whether the write took place.", values=("yes",))
]


@declare(category="dict")
def dict_created(
    scope: Scope, /, *, dict_name: _Name = None, driver: Driver = None, error: Error = None
) -> None:
    """A dict was opened."""


@declare(category="dict")
def dict_destroyed(
    scope: Scope, /, *, dict_name: _Name = None, driver: Driver = None, error: Error = None
) -> None:
    """A dict was closed."""


@declare(category="dict", inherits=USER)
def dict_lookup_finished(
    scope: Scope,
    /,
    *,
    key: _Key = None,
    key_not_found: _NotFound = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """A key was looked up."""


@declare(category="dict", inherits=USER)
def dict_iteration_finished(
    scope: Scope,
    /,
    *,
    rows: _Rows = None,
    key: _Key = None,
    key_not_found: _NotFound = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """An iteration over keys ended."""


@declare(category="dict", inherits=USER)
def dict_transaction_finished(
    scope: Scope,
    /,
    *,
    rollback: _Rollback = None,
    write_uncertain: _Uncertain = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """A transaction was committed or rolled back."""


@declare(category="dict-server", inherits=USER)
def dict_server_lookup_finished(
    scope: Scope,
    /,
    *,
    key: _Key = None,
    key_not_found: _NotFound = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """The dict server has looked up a key for a client."""


@declare(category="dict-server", inherits=USER)
def dict_server_iteration_finished(
    scope: Scope,
    /,
    *,
    rows: _Rows = None,
    key: _Key = None,
    key_not_found: _NotFound = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """The dict server has ended an iteration for a client."""


@declare(category="dict-server", inherits=USER)
def dict_server_transaction_finished(
    scope: Scope,
    /,
    *,
    rollback: _Rollback = None,
    write_uncertain: _Uncertain = None,
    driver: Driver = None,
    error: Error = None,
) -> None:
    """The dict server has committed or rolled back a client's transaction."""
