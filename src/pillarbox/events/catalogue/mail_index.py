"""Events of the per-mailbox index."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Reason
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="mail-index")
def mail_index_recreated(
    scope: Scope,
    /,
    *,
    filepath: Annotated[str | None, F("Path of the index file.")] = None,
    reason: Reason = None,
) -> None:
    """An index file was missing or damaged and has been made anew."""
