"""vacation (RFC 5230): answer the sender, once in a while.

Whether this sender must not be answered at all, the interpreter has found out (``withheld``).  Here
it is looked up whether it was answered already; without a working memory nobody is answered, for
two robots without one would never stop.
"""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.copies import file_copy
from pillarbox.delivery.sieve.actions.doing import (
    ActionFailed,
    Tools,
    action_scope,
    check_sent,
    original,
    stamp,
)
from pillarbox.delivery.sieve.case import Case
from pillarbox.drivers.dict.api import DictError
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.events.event import Scope
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import vacation_reply


async def vacation(case: Case, step: Step, tools: Tools) -> None:
    """Answer, or not.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Vacation)
    if action.withheld:
        case.say(action, f"no vacation response: {action.withheld}")
        return
    scope = action_scope(case)
    recipient = action.recipient
    key = (action.handle, recipient.lower())
    try:
        with tools.memory.working("vacation", *key) as alone:
            if not alone or (action.seconds and await tools.memory.knows("vacation", *key)):
                case.say(action, f"no vacation response: <{recipient}> has had one")
                return
            data = vacation_reply(action, original(step), stamp(case))
            sent = await tools.sender.send(scope, "", (recipient,), data)
            check_sent(sent, f"send a vacation response to <{recipient}>")
            await tools.memory.remember(action.seconds, "vacation", *key)
    except DictError as error:
        raise ActionFailed(f"no vacation response to <{recipient}>: {error}") from None
    _told(case, action, scope)
    await file_copy(case, action, data)


def _told(case: Case, action: Vacation, scope: Scope) -> None:
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="vacation",
            action_script_location=action.location,
            message_id=case.message_id,
        )
    case.say(action, f"sent a vacation response to <{action.recipient}>")
