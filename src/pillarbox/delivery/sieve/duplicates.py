"""The duplicate tests of one delivery (RFC 7352): what was seen before, and what is seen now.

An id is remembered only when all is done (section 3.1), but of two copies that come at the same
moment, here or elsewhere, only one may pass.  So whoever asks first claims the id, and the others
wait until it is remembered, and they are duplicates, or until the claim was withdrawn because that
delivery failed, and one of them is the first.  Who has waited too long gives up for now, which is a
temporary failure: the claim may be that of a process that died with its message, and the next
attempt could be the only copy left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.memory import Claim, Memory
from pillarbox.delivery.sieve_storage.errors import TryLater
from pillarbox.drivers.dict.api import DictError
from pillarbox.sieve.result import DuplicateMark

KIND: Final = "duplicate"
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
MOST_PAUSES: Final = 24  # about ten seconds

_Id = tuple[str, str]  # handle, unique id


class Duplicates:
    """See the module.  A memory that cannot be used now is no memory, and the log says so."""

    def __init__(self, case: Case, memory: Memory) -> None:
        self._case = case
        self._memory = memory
        self._claimed: set[_Id] = set()

    async def seen(self, handle: str, unique_id: str) -> bool:
        """Whether this id was seen under this handle, by another delivery.  Raises TryLater."""
        asked = (handle, unique_id)
        if asked in self._claimed:
            return False
        pause = FIRST_PAUSE
        for _ in range(MOST_PAUSES):
            try:
                claim = await self._memory.claim(KIND, *asked)
            except DictError as error:
                if error.uncertain:
                    self._claimed.add(asked)
                self._failed(error)
                return False
            if claim is Claim.OURS:
                self._claimed.add(asked)
            if claim is not Claim.OTHERS:
                return claim is Claim.NONE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        raise TryLater("Another copy of the message is being delivered, try again later.")

    async def remember(self, marks: Iterable[DuplicateMark]) -> None:
        """All is done: remember what the tests of runs that ended well have seen."""
        kept = {(mark.handle, mark.unique_id): mark.seconds for mark in marks if mark.seconds > 0}
        await self._settle(kept)

    async def withdraw(self) -> None:
        """It has failed, or is over: give up what is not remembered."""
        await self._settle({})

    async def _settle(self, kept: dict[_Id, int]) -> None:
        others, self._claimed = self._claimed - kept.keys(), set()
        if not kept and not others:
            return
        try:
            await self._memory.settle(KIND, kept.items(), others)
        except DictError as error:
            self._failed(error)

    def _failed(self, error: DictError) -> None:
        self._case.log.error(self._case.scope, f"sieve: duplicate test: {error}")
