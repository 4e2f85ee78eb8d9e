"""notify by mail (RFC 5435, RFC 5436)."""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.copies import file_copy
from pillarbox.delivery.sieve.actions.doing import (
    Tools,
    action_scope,
    check_sent,
    original,
    sender_of,
    stamp,
)
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.extensions.enotify import Notify
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import notification


async def notify(case: Case, step: Step, tools: Tools) -> None:
    """Tell them.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Notify)
    if action.withheld or not action.recipients:
        case.say(action, f"nobody is notified: {action.withheld or 'no recipients'}")
        return
    scope = action_scope(case)
    data = notification(action, original(step), stamp(case), case.address)
    people = ", ".join(f"<{address}>" for address in action.recipients)
    sent = await tools.sender.send(scope, _envelope_sender(case), action.recipients, data)
    check_sent(sent, f"notify {people}")
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="notify",
            action_script_location=action.location,
            notify_target=action.recipients,
            message_id=case.message_id,
        )
    case.say(action, f"notified {people}")
    await file_copy(case, action, data)


def _envelope_sender(case: Case) -> str:
    """Nobody for mail from nobody, so that bounces of notifications end (RFC 5436 section 2.7)."""
    if not case.envelope.sender:
        return ""
    return sender_of(case, case.settings.sieve_notify_mailto_envelope_from or "user_email")
