"""Carrying out what scripts decided.

The order is not that of the scripts: first what hands the message to others and may have to be
tried again, then what stores it, then what answers or tells somebody, then a refusal.  So a
failure that makes the sender come back leaves as little done as may be.

Nothing is lost: when an action that should have taken the message fails, the message is kept in
the default mailbox; failures of the others are only told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pillarbox.delivery.outcome import Outcome, handled, temporary
from pillarbox.delivery.sieve.actions.discard import discard
from pillarbox.delivery.sieve.actions.doing import ActionFailed, Tools
from pillarbox.delivery.sieve.actions.notify import notify
from pillarbox.delivery.sieve.actions.pipe import pipe
from pillarbox.delivery.sieve.actions.redirect import redirect
from pillarbox.delivery.sieve.actions.refuse import reject
from pillarbox.delivery.sieve.actions.report import report
from pillarbox.delivery.sieve.actions.store import file_into, keep
from pillarbox.delivery.sieve.actions.vacation import vacation
from pillarbox.delivery.sieve.case import Case
from pillarbox.sieve.extensions.enotify import Notify
from pillarbox.sieve.extensions.programs import Pipe
from pillarbox.sieve.extensions.report import Report
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.result import Action, Discard, FileInto, Keep, Redirect, Reject

_TURN: Final[dict[type[Action], int]] = {
    Redirect: 0,
    Pipe: 0,
    FileInto: 1,
    Keep: 1,
    Discard: 1,
    Vacation: 2,
    Notify: 2,
    Report: 2,
    Reject: 3,
}


class Carrying:
    """Carries out the steps for one message that is delivered."""

    def __init__(self, case: Case, tools: Tools) -> None:
        self.case = case
        self.tools = tools
        self.outcome = handled()
        self._kept = False

    async def all(self, steps: Sequence[Step]) -> Outcome:
        """Do everything.  Raises MailError, StorageError, OSError of storing the message."""
        steps = self._without_doubles(steps)
        self._kept = any(isinstance(step.action, Keep) for step in steps)
        for step in sorted(steps, key=lambda step: _TURN.get(type(step.action), 2)):
            try:
                await self.one(step)
            except ActionFailed as error:
                takes = step.action.delivers or isinstance(step.action, Reject)
                if error.temporary and takes:
                    self.case.say(step.action, error.text, failed=True)
                    return temporary(error.text)
                await self._failed(step, error, takes)
        return self.outcome

    def _without_doubles(self, steps: Sequence[Step]) -> Sequence[Step]:
        """A fileinto into the mailbox where the message is kept anyway is the same as that.

        No mailbox gets the message twice (RFC 5228 section 2.10.3); it has the flags of both.
        """
        keep = next((step.action for step in steps if isinstance(step.action, Keep)), None)
        if not isinstance(keep, Keep):
            return steps
        keeping = self.case.keep.mailbox.upper()
        for step in steps:
            if isinstance(step.action, FileInto) and _is_fileinto(step.action, keeping):
                flags = (*(keep.flags or ()), *(step.action.flags or ()))
                keep.flags = tuple(dict.fromkeys(flags))
        return [step for step in steps if not _is_fileinto(step.action, keeping)]

    async def one(self, step: Step) -> None:
        """Do one of them.  Raises ActionFailed."""
        case, tools = self.case, self.tools
        match step.action:
            case Keep():
                await self.keep(step)
            case FileInto():
                self.outcome = await file_into(case, step)
            case Redirect():
                await redirect(case, step, tools)
            case Pipe():
                await pipe(case, step)
            case Discard():
                discard(case, step)
            case Vacation():
                await vacation(case, step, tools)
            case Notify():
                await notify(case, step, tools)
            case Report():
                await report(case, step, tools)
            case Reject():
                self.outcome = await reject(case, step, tools)

    async def keep(self, step: Step) -> None:
        """Keep the message."""
        self.outcome = await keep(self.case, step)

    async def _failed(self, step: Step, error: ActionFailed, takes: bool) -> None:
        action = step.action
        if not (isinstance(action, Pipe) and action.attempt):
            self.case.say(action, error.text, failed=True)
        if takes and not self._kept:
            self._kept = True
            implicit = Keep(script=action.script, line=action.line, implicit=True)
            implicit.version = action.version
            await self.keep(Step(implicit, step.result))


def _is_fileinto(action: Action, mailbox: str) -> bool:
    return (
        isinstance(action, FileInto)
        and action.mailbox.upper() == mailbox
        and not action.special_use
        and not action.mailbox_id
    )
