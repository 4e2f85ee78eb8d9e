"""report: a message about the message, for those who collect such (RFC 5965)."""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.doing import (
    Tools,
    action_scope,
    check_sent,
    sender_of,
    stamp,
)
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.extensions.report import Report
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import abuse_report


async def report(case: Case, step: Step, tools: Tools) -> None:
    """Send the report.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Report)
    scope = action_scope(case)
    sender = sender_of(case, case.settings.sieve_report_from)
    message = step.result.message(action.version)
    data = abuse_report(action, message, stamp(case), sender, case.now, case.envelope)
    sent = await tools.sender.send(scope, sender, (action.address,), data)
    check_sent(sent, f"send a report to <{action.address}>")
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="report",
            action_script_location=action.location,
            report_target=action.address,
            report_type=action.feedback_type,
            message_id=case.message_id,
        )
    case.say(action, f"reported to <{action.address}> as {action.feedback_type}")
