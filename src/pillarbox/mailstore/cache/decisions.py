"""Whether a field is cached: no, for now, or for good.

A field is first wanted: ``no`` becomes ``temp`` ("add"), and it is cached, for mails of the last
week only once a purge comes by.  A field that is wanted of a mail older than a week ("old_mail"),
or of mails that this process has gone past already ("unordered_access"), belongs to a client
that keeps nothing itself: ``temp`` becomes ``yes``, and all mails' values stay.  A field nobody
wanted for `mail_cache_unaccessed_field_drop` is dropped by the next purge.

Pure: this says what ought to change; `cache` writes it down and tells it by events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

NO: Final = 0
TEMP: Final = 1
YES: Final = 2
NAMES: Final = ("no", "temp", "yes")

DAY: Final = 86_400


@dataclass(slots=True)
class FieldState:
    """One field: its number in the file, what is decided, and when it was last wanted.

    ``highwater`` is the highest UID that this process has asked for.
    """

    number: int
    name: str
    decision: int = NO
    last_used: int = 0
    highwater: int = 0


class Change(NamedTuple):
    """What an access changes: the new decision, the reason and the UID behind it."""

    decision: int
    reason: str
    uid: int


def accessed(state: FieldState, first_uid: int, last_uid: int, first_new_uid: int) -> Change | None:
    """Note an access to mails from ``first_uid`` to ``last_uid``; a change of decision, if any.

    ``first_new_uid`` is the first UID younger than a week, 0 when unknown.
    """
    change: Change | None = None
    if state.decision == TEMP:
        if first_uid < first_new_uid:
            change = Change(YES, "old_mail", first_uid)
        elif first_uid <= state.highwater:
            change = Change(YES, "unordered_access", first_uid)
    state.highwater = max(state.highwater, last_uid)
    return change


def use_is_stale(state: FieldState, now: int) -> bool:
    """Whether the time of last use must be written again: once in 24 hours is enough."""
    return now - state.last_used >= DAY


def is_unused(state: FieldState, now: int, drop_after: float) -> bool:
    """Whether a purge drops the field."""
    return state.decision != NO and now - state.last_used > drop_after
