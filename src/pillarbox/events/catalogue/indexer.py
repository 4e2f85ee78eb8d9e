"""Events of the indexer's workers."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import MAILBOX
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="mail-index", inherits=MAILBOX)
def indexer_worker_indexing_finished(
    scope: Scope,
    /,
    *,
    message_count: Annotated[int | None, F("Number of mails indexed.")] = None,
    first_uid: Annotated[int | None, F("UID of the first mail indexed.")] = None,
    last_uid: Annotated[int | None, F("UID of the last mail indexed.")] = None,
    user_cpu_usecs: Annotated[int | None, F("User CPU time it took.", unit="µs")] = None,
) -> None:
    """A worker has indexed a batch of mails of one mailbox."""
