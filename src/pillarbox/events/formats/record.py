"""An event as it is written down: a record of plain values.

The fields are all that are visible: the event's own and those of the whole scope chain, so a line
about a stored object also says whose command needed it.  Absent fields are left out.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from pillarbox.events.build import Build
from pillarbox.events.catalogue.categories import lineage
from pillarbox.events.event import Event, Scope

HOSTNAME: Final = socket.gethostname()


class Record(msgspec.Struct, omit_defaults=True):
    """One event; times are seconds since 1970, ``source`` is ``file:line`` if it was asked for.

    ``categories`` are the event's own, with those above it, then those of its scopes.
    """

    event: str
    start_time: float
    end_time: float
    categories: tuple[str, ...] = ()
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A sink that makes a record of every event and passes it on."""

    listener: Callable[[Record], None]
    source: bool = False

    def statements(self, build: Build) -> Sequence[str]:
        """Put the fields together, own ones last, and pass the record on."""
        fields = build.local()
        duration = build.field("duration")
        made = build.const(record)
        source = build.location() if self.source else '""'
        event = build.const(build.event)
        return [
            f"{fields} = dict(scope.visible())",
            *build.put_own(fields),
            f"{build.const(self.listener)}({made}({event}, scope, {fields}, {duration}, {source}))",
        ]


def record(
    event: Event[...], scope: Scope, fields: dict[str, Any], duration: int, source: str = ""
) -> Record:
    """The record of an event that happens now and has these fields, which it adds to."""
    fields["duration"] = duration
    categories: tuple[tuple[str, ...], ...] = ()
    reasons: tuple[str, ...] = ()
    around: Scope | None = scope
    while around is not None:
        if around.categories:
            categories += (around.categories,)
        if around.reasons:
            reasons = around.reasons + reasons
        around = around.parent
    if reasons:
        fields["reason_code"] = reasons if len(reasons) == 1 else tuple(dict.fromkeys(reasons))
    end = time.time()
    names = _categories(event.category, categories)
    return Record(event.name, end - duration / 1_000_000, end, names, fields, source)


def categories_of(event: Event[...], scope: Scope) -> tuple[str, ...]:
    """The event's category with those above it, then those of its scopes, without doubles."""
    chain = tuple(around.categories for around in scope.chain() if around.categories)
    return _categories(event.category, chain)


@lru_cache(maxsize=4096)
def _categories(own: str | None, chain: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """The event's category with those above it, then those of its scopes, without doubles."""
    above = lineage(own) if own else ()
    return tuple(dict.fromkeys((*above, *(name for names in chain for name in names))))
