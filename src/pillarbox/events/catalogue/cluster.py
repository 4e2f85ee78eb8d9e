"""Events of moving users between the servers of a cluster."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Error
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare()
def cluster_user_move_started(scope: Scope, /) -> None:
    """A user is about to be moved to another server."""


@declare()
def cluster_user_move_finished(scope: Scope, /, *, error: Error = None) -> None:
    """A user was moved, or could not be."""


@declare()
def cluster_user_group_move_started(scope: Scope, /) -> None:
    """A group of users is about to be moved to another server."""


@declare()
def cluster_user_group_move_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    failed_users: Annotated[int | None, F("Users of the group that stayed behind.")] = None,
    moved_users: Annotated[int | None, F("Users of the group that were moved.")] = None,
) -> None:
    """The move of a group of users is over."""
