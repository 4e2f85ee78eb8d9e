"""pipe: give the message to a program of the administrator's.

A program that fails leaves the message to be kept, with ``:try`` without a word of error; one that
ends with EX_TEMPFAIL (75) has the sender come back.
"""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.doing import ActionFailed, action_scope
from pillarbox.delivery.sieve.answers import run_program
from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.programs import TEMPORARY_STATUS, ProgramError
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.sieve.extensions.programs import Pipe
from pillarbox.sieve.multiscript import Step


async def pipe(case: Case, step: Step) -> None:
    """Run the program.  Raises ActionFailed."""
    action = step.action
    assert isinstance(action, Pipe)
    scope = action_scope(case)
    data = step.result.message(action.version)
    try:
        ended = await run_program(case, "pipe", action.program, action.arguments, data)
    except ProgramError as error:
        raise ActionFailed(f"failed to pipe to program {action.program}: {error}") from None
    if ended.status:
        text = f"failed to pipe to program {action.program}: it ended with status {ended.status}"
        raise ActionFailed(text, temporary=ended.status == TEMPORARY_STATUS)
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name="pipe",
            action_script_location=action.location,
            pipe_program=action.program,
            message_id=case.message_id,
        )
    case.say(action, f"piped to program {action.program}")
