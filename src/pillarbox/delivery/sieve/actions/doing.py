"""What all actions share: their tools, how they fail, and how mail of their own is sent.

An action that fails raises `ActionFailed`: the message is then kept in the default mailbox, so
that it is not lost, unless the failure is ``temporary``, when the sender is asked to come back.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.lists import Lists
from pillarbox.delivery.sieve.memory import Memory
from pillarbox.events.event import Scope
from pillarbox.sieve.message import Message
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import Stamp

if TYPE_CHECKING:
    from pillarbox.delivery.submit import Submitted

_NUMBERS: Final = itertools.count(1)


class ActionFailed(Exception):
    """An action could not be carried out; the text is for the log."""

    def __init__(self, text: str, *, temporary: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.temporary = temporary


class Sender(Protocol):
    """Sends mail; `pillarbox.delivery.submit.Submitter`."""

    async def send(
        self,
        scope: Scope,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        *,
        notify: str | None = None,
        ret: str | None = None,
        envid: str | None = None,
        by_time: str | None = None,
    ) -> Submitted:
        """Hand a message over; never raises."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What actions work with."""

    sender: Sender
    memory: Memory
    lists: Lists


def action_scope(case: Case) -> Scope:
    """The scope of one action, made when its work begins."""
    return Scope(case.scope, ("sieve-action",))


def original(step: Step) -> Message:
    """The message as the action's place in the script saw it."""
    return Message(step.result.message(step.action.version))


def stamp(case: Case) -> Stamp:
    """Date and Message-ID of a new message."""
    number = f"{time.time_ns():x}.{os.getpid():x}.{next(_NUMBERS):x}"
    return Stamp(case.now, f"<sieve.{number}@{case.hostname}>")


def check_sent(sent: Submitted, what: str) -> None:
    """Raises ActionFailed unless it was sent."""
    if sent.kind != "sent":
        reason = sent.error or sent.kind
        raise ActionFailed(f"failed to {what}: {reason}", temporary=sent.kind == "temporary")


def sender_of(case: Case, chosen: str) -> str:
    """An address by the words that settings use for it."""
    match chosen:
        case "sender":
            return case.envelope.sender or ""
        case "recipient":
            return case.envelope.recipient or case.address
        case "orig_recipient":
            return case.envelope.original_recipient or case.envelope.recipient or case.address
        case "user_email":
            return case.address
        case "postmaster":
            return case.environment.postmaster
    return chosen.strip("<> ")
