"""How a delivery ended: a value that LMTP turns into a reply and the command into an exit code.

The kinds keep apart what a sender must do: nothing (stored, or done with in another way by a
script), give up (refused), wait or give up (the user has no room), or try again (something is
broken here).  ``text`` may be shown to anybody; ``error`` is for the log and for events only.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What the sender must know."""

    STORED = "stored"
    REFUSED = "refused"
    OVER_QUOTA = "over quota"
    TEMPORARY = "temporary failure"


class Outcome(NamedTuple):
    """``mailbox`` and ``uid`` say where the (last) copy went; None unless it was stored."""

    kind: Kind
    text: str
    error: str | None = None
    mailbox: str | None = None
    uid: int | None = None


def stored(mailbox: str, uid: int) -> Outcome:
    """It is on disk."""
    return Outcome(Kind.STORED, "Saved", None, mailbox, uid)


def temporary(error: str) -> Outcome:
    """Something failed on our side."""
    return Outcome(Kind.TEMPORARY, "Temporary internal error", error)


def handled() -> Outcome:
    """No copy was stored, because a script had something else done with the message."""
    return Outcome(Kind.STORED, "Done")


def refused(reason: str) -> Outcome:
    """A script refuses the message; the reason is for its sender."""
    return Outcome(Kind.REFUSED, reason, "Rejected by a script")
