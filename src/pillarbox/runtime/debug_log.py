"""The setting ``log_debug``: events that match its filter are written to the log as debug lines.

`follow` subscribes a process to the filter, now and after every reload; while the setting is
empty nothing is subscribed and nothing costs.
"""

from __future__ import annotations

from pillarbox.events.bus import Bus, Subscription, bus
from pillarbox.events.event import Scope
from pillarbox.events.filter.errors import FilterError
from pillarbox.events.formats.record import Record, Recorded
from pillarbox.events.render import one_line
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import Settings


def follow(ctx: ServiceContext, events: Bus = bus) -> None:
    """Write what the settings' filter matches, from now on."""
    _Follower(ctx, events).apply(ctx.settings)


class _Follower:
    def __init__(self, ctx: ServiceContext, events: Bus) -> None:
        self._ctx = ctx
        self._events = events
        self._subscription: Subscription | None = None
        ctx.on_reload(self.apply)

    def apply(self, settings: Settings) -> None:
        """Take the filter of these settings; one that is none is said once, and nothing written."""
        if self._subscription is not None:
            self._events.unsubscribe(self._subscription)
            self._subscription = None
        if not settings.log_debug:
            return
        try:
            self._subscription = self._events.subscribe(Recorded(self._write), settings.log_debug)
        except FilterError as error:
            self._ctx.log.error(self._ctx.scope, f"log_debug: {error}")

    def _write(self, record: Record) -> None:
        fields = record.fields
        whose = Scope(None, user=fields.get("user"), session=fields.get("session"))
        self._ctx.log.debug(whose, f"Event {one_line(record).partition(' ')[2]}")
