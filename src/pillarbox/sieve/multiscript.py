"""Several scripts for one message: global before, personal, default, global after.

The rules: a script is run only while the message would be kept, that is, while every script
before it ended with a keep, explicit or implicit.  Such a keep is put off: it only lets the next
script run, and only the last script's keep is carried out.  A script that cancels the implicit
keep (by fileinto, discard, reject …) without an explicit keep ends the sequence.  All other
actions of all scripts that ran are carried out.  A script that fails ends the sequence with an
implicit keep; what earlier scripts decided stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.sieve.errors import Diagnostic
from pillarbox.sieve.result import Action, Keep, Result


@dataclass(frozen=True, slots=True)
class Step:
    """An action and the result that it belongs to, whose ``message`` has its octets."""

    action: Action
    result: Result


def goes_on(result: Result) -> bool:
    """Whether the next script of the sequence is run after this result."""
    return result.error is None and result.keeps


def combine(results: Sequence[Result]) -> tuple[list[Step], list[Diagnostic]]:
    """What is to be done after a sequence of results, and the errors in it.

    ``results`` are those of the scripts that ran, in their order: all but the last must `goes_on`.
    Without any script the list is empty and the message is to be kept.
    """
    steps: list[Step] = []
    errors: list[Diagnostic] = []
    for number, result in enumerate(results, 1):
        if result.error is not None:
            errors.append(result.error)
        last = number == len(results)
        for action in result.final_actions():
            if isinstance(action, Keep) and not last:
                continue
            if any(action.same(step.action) for step in steps):
                continue
            steps.append(Step(action, result))
    return steps, errors
