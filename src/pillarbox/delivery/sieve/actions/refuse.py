"""reject and ereject (RFC 5429): refuse the message, with a reason for its sender.

Where the sender's server is still there it is told by the protocol, and whoever sent the message
hears of it from there.  A reject whose reason such an answer cannot carry, and every refusal where
nobody is there any more, becomes a message to the sender.  Mail without a sender is only dropped.
"""

from __future__ import annotations

from pillarbox.delivery.outcome import Outcome, handled, refused
from pillarbox.delivery.sieve.actions.doing import (
    Tools,
    action_scope,
    check_sent,
    original,
    stamp,
)
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.events.event import Scope
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import reject_message
from pillarbox.sieve.result import Reject


async def reject(case: Case, step: Step, tools: Tools) -> Outcome:
    """Refuse it.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Reject)
    scope = action_scope(case)
    sender = case.envelope.sender
    if case.refusable and (action.ereject or action.reason.isascii()):
        outcome = refused(action.reason)
        text = "rejected"
    elif sender:
        recipient = case.envelope.recipient or case.address
        data = reject_message(
            action,
            original(step),
            stamp(case),
            sender,
            recipient,
            case.hostname,
            case.environment.postmaster,
        )
        sent = await tools.sender.send(scope, "", (sender,), data)
        check_sent(sent, f"send a rejection to <{sender}>")
        outcome, text = handled(), f"rejected by a message to <{sender}>"
    else:
        outcome, text = handled(), "rejected, but there is nobody to tell"
    _told(case, action, scope)
    case.say(action, f"{text}: {action.reason}")
    return outcome


def _told(case: Case, action: Reject, scope: Scope) -> None:
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="reject",
            action_script_location=action.location,
            message_id=case.message_id,
        )
