"""Events of full-text search."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import SESSION
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="fts", inherits=SESSION)
def fts_dovecot_too_many_triplets(
    scope: Scope,
    /,
    *,
    triplet_count: Annotated[int | None, F("Number of index pieces of this user.")] = None,
) -> None:
    """A user's text index has fallen into more pieces than the settings allow."""
