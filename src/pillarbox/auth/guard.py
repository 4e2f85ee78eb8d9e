"""Guards: who must be asked before a login is tried, and told how it ended.

A guard may refuse a login or slow it down (`Leave`) once the user is named and before any database
is asked, and refuse it once more when the user has proven itself; afterwards it hears the outcome.
A guard that cannot find out lets everybody in: it is there to stop guessing, not to stop mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from pillarbox.auth.passdbs import Result
from pillarbox.auth.request import Request

PolicyResult = Literal["ok", "delayed", "refused"]


@dataclass(frozen=True, slots=True)
class Leave:
    """What a guard says of a login that is about to be tried.

    ``delay`` in seconds comes before it; ``result`` is what became of a policy check, None for
    guards that are none; ``message`` may be shown to the client.
    """

    refused: bool = False
    delay: float = 0.0
    result: PolicyResult | None = None
    message: str | None = None


class Guard(Protocol):
    """One guard; no method raises."""

    async def before(self, request: Request, password: str | None) -> Leave:
        """May this login be tried?  ``password`` is None where the mechanism does not send it."""

    async def confirm(self, request: Request, password: str | None) -> Leave:
        """May a user who has proven itself be let in?  Delays do not count here."""

    async def after(
        self,
        request: Request,
        *,
        success: bool,
        refused: bool,
        password: str | None,
        result: Result | None,
    ) -> None:
        """The login is over; ``refused``: by a guard; ``result``: what the passdbs said.

        An ``internal_failure`` says nothing of who tried.
        """

    async def close(self) -> None:
        """Nobody asks any more."""


def together(leaves: Iterable[Leave]) -> Leave:
    """One leave out of those of all guards: the longest delay, and any refusal."""
    every = list(leaves)
    return Leave(
        refused=any(leave.refused for leave in every),
        delay=max((leave.delay for leave in every), default=0.0),
        result=next((leave.result for leave in every if leave.result is not None), None),
        message=next((leave.message for leave in every if leave.message is not None), None),
    )


def policy_delay(leaves: Iterable[Leave]) -> int | None:
    """The delay that a policy check asked for, in seconds; None where there was none."""
    return max((int(leave.delay) for leave in leaves if leave.result is not None), default=None)
