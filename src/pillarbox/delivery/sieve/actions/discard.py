"""discard: do nothing with the message, and say so."""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.doing import action_scope
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.multiscript import Step


def discard(case: Case, step: Step) -> None:
    """The message may go."""
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            action_scope(case),
            action_name="discard",
            action_script_location=step.action.location,
            message_id=case.message_id,
        )
    case.say(step.action, "discarded")
