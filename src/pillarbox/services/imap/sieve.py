"""What a worker needs to run Sieve scripts for messages in mailboxes.

Most workers never do: the engine is imported, and the way out for mail opened, when the first
session wants a script to be run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.runtime.service import ServiceContext

if TYPE_CHECKING:
    from pillarbox.delivery.sieve.filter import Filter
    from pillarbox.delivery.sieve.stored import StoredFilter
    from pillarbox.delivery.sieve_storage.places import Places
    from pillarbox.delivery.submit import Submitter
    from pillarbox.mailstore.user import MailUser
    from pillarbox.settings.model import Settings


class WorkerSieve:
    """One per worker."""

    def __init__(self, ctx: ServiceContext) -> None:
        self._ctx = ctx
        self._filter: Filter | None = None
        self._submitter: Submitter | None = None

    def stored(self, user: MailUser, settings: Settings) -> StoredFilter:
        """Scripts for a user's stored messages."""
        from pillarbox.delivery.sieve.stored import StoredFilter

        return StoredFilter(self._shared(), self._ctx.log, user, settings)

    async def places(self, user: MailUser, settings: Settings) -> Places:
        """Where the user's scripts are."""
        return await self._shared().places(user, settings)

    async def close(self) -> None:
        """Let go of what was opened."""
        if self._filter is not None:
            await self._filter.close()
        if self._submitter is not None:
            await self._submitter.close()

    def _shared(self) -> Filter:
        if self._filter is None:
            from pillarbox.delivery.sieve.filter import Filter
            from pillarbox.delivery.submit import Submitter

            self._submitter = Submitter(self._ctx.log, self._ctx.settings)
            self._filter = Filter(self._ctx.log, self._submitter)
        return self._filter
