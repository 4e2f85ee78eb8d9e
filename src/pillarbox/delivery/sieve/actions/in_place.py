r"""Carrying out what scripts decided about a message that is in a mailbox already.

It stays where it is as long as a keep is in effect, with the flags that the script gave it.  Its
header cannot change any more: what a script edits is for copies only.  Without a keep it is marked
\Deleted.  There is nobody to answer: vacation, reject and ereject do nothing (RFC 6785 section 4,
and so for FILTER=SIEVE).
"""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.carrying import Carrying
from pillarbox.delivery.sieve.actions.doing import Tools, action_scope
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.result import FileInto, Keep, Reject


class InPlace(Carrying):
    """``kept`` and ``flags`` (None: as they are) say what is to become of the message itself."""

    def __init__(self, case: Case, tools: Tools) -> None:
        super().__init__(case, tools)
        self.kept = False
        self.flags: tuple[str, ...] | None = None

    async def one(self, step: Step) -> None:
        """Do one of them.  Raises ActionFailed."""
        action = step.action
        if isinstance(action, Vacation | Reject):
            self.kept = self.kept or isinstance(action, Reject)
            self.case.say(action, f"{action.name} is for delivery only")
            return
        if isinstance(action, FileInto) and action.flags is None:
            action.flags = self.case.environment.flags
        await super().one(step)

    async def keep(self, step: Step) -> None:
        """It stays."""
        action = step.action
        assert isinstance(action, Keep)
        self.kept = True
        if action.flags is not None:
            self.flags = action.flags
        if sieve_action_finished.emit is not None:
            sieve_action_finished.emit(
                action_scope(self.case),
                action_name="keep",
                action_script_location=action.location,
                fileinto_mailbox=self.case.keep.mailbox,
                message_id=self.case.message_id,
            )
