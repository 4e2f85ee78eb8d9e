"""Who listens to which event.

`Bus` keeps the subscriptions of a process and, when they change, writes a new emit function for
each event that is concerned (`events.build`), or sets it to None when nobody is left.  A filter
without an event name listens to all events that it can match, those of families imported later
included.  Nothing runs per event here: all the work is done when subscriptions change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pillarbox.events.build import Build, Sink
from pillarbox.events.event import ON_DECLARE, REGISTRY, Event, Scope
from pillarbox.events.filter.filter import Filter, can_match

Listener = Callable[[Event[...], Scope, dict[str, Any], str], None]


@dataclass(eq=False, slots=True)
class Subscription:
    """A sink and what it listens to."""

    sink: Sink
    filter: Filter


@dataclass(frozen=True, slots=True)
class Call:
    """A sink that calls ``listener(event, scope, own fields, file:line)``.

    Own fields that are absent are None.  The location is "" unless ``location`` asks for it.
    """

    listener: Listener
    location: bool = False

    def statements(self, build: Build) -> Sequence[str]:
        """One call."""
        where = build.location() if self.location else '""'
        event = build.const(build.event)
        return [f"{build.const(self.listener)}({event}, scope, {build.own()}, {where})"]


class Bus:
    """The subscriptions of one process to the events of a registry."""

    def __init__(self, events: Mapping[str, Event[...]]) -> None:
        self._events = events
        self._subscriptions: list[Subscription] = []
        self._changed: list[Filter] = []
        self._batches = 0
        self.failures = 0
        self.on_failure: Callable[[Exception], None] | None = None

    def subscribe(self, sink: Sink, wanted: Filter | str = "") -> Subscription:
        """Listen to what a filter matches.  Raises FilterError for a text that is no filter."""
        chosen = Filter.parse(wanted) if isinstance(wanted, str) else wanted
        subscription = Subscription(sink, chosen)
        self._subscriptions.append(subscription)
        self._touch(chosen)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Listen no more; unknown subscriptions are ignored."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._touch(subscription.filter)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Change several subscriptions and write the emit functions once, at the end."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            if self._batches == 0:
                self._write()

    def declared(self, event: Event[...]) -> None:
        """An event came into being: whoever matches it listens to it too."""
        if self._events.get(event.name) is event:
            self._write_event(event)

    def _touch(self, changed: Filter) -> None:
        self._changed.append(changed)
        if self._batches == 0:
            self._write()

    def _write(self) -> None:
        changed, self._changed = self._changed, []
        for event in list(self._events.values()):
            if any(can_match(one, event) for one in changed):
                self._write_event(event)

    def _write_event(self, event: Event[...]) -> None:
        matching = [s for s in self._subscriptions if can_match(s.filter, event)]
        if not matching:
            event.emit = None
            event.scoped = True
            return
        build = Build(event)
        for subscription in matching:
            build.add(subscription.sink, subscription.filter)
        event.emit = build.compile(self._failed)
        event.scoped = build.scoped

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.on_failure is not None:
            self.on_failure(error)


bus: Final = Bus(REGISTRY)
"""The subscriptions of this process."""

ON_DECLARE.append(bus.declared)
