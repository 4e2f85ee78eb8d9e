"""A metric while it counts.

What is done per event: find the key of its group, look the group up, add one or append the values
of the measured fields to the group's list.  Every few hundred values a list is folded into
distributions.  The number of groups is bounded: an event whose group would be one too many counts
in one group of refused ones, so totals stay right.

Threads may emit: adding and appending are atomic, everything rarer is done under a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pillarbox.events.build import Build
from pillarbox.events.filter.filter import Filter
from pillarbox.events.metrics.distribution import Distribution
from pillarbox.events.metrics.grouping import Grouping, grouping
from pillarbox.events.metrics.snapshot import Group, Labels, Snapshot
from pillarbox.settings.model import MetricSettings

FOLD: Final = 512
_FLOAT_LIMIT: Final = 1e300
DEFAULT_LIMIT: Final = 1000
_KEYS_PER_GROUP: Final = 8

Pending = list[Any]
"""A group's list: its number of events so far, then values (tuples if several are measured)."""


class _Live:
    """One group: its labels, its list of values not yet folded, and what was folded."""

    __slots__ = ("distributions", "labels", "pending")

    def __init__(self, labels: Labels, fields: int) -> None:
        self.labels = labels
        self.pending: Pending = [0]
        self.distributions = [Distribution() for _ in range(fields)]

    def fold(self) -> None:
        """Empty the list into the distributions."""
        pending = self.pending
        end = len(pending)
        if end == 1:
            return
        values = pending[1:end]
        del pending[1:end]
        pending[0] += len(values)
        if len(self.distributions) == 1:
            self.distributions[0].add_all(_numbers(values))
            return
        for distribution, column in zip(self.distributions, zip(*values)):
            distribution.add_all(_numbers(column))


def _numbers(values: Sequence[Any]) -> Sequence[int]:
    """Those that are numbers, as ints; as a rule all of them are."""
    if set(map(type, values)) == {int}:
        return values
    return [
        int(v)
        for v in values
        if v.__class__ is int or (isinstance(v, float) and abs(v) < _FLOAT_LIMIT)
    ]


class Metric:
    """One metric of this process; a sink of the bus.

    Raises ValueError (FilterError among them) if the settings make no sense.
    """

    def __init__(self, name: str, settings: MetricSettings, limit: int = DEFAULT_LIMIT) -> None:
        self.name = name
        self.settings = settings
        self.filter = Filter.parse(settings.filter)
        self.limit = limit
        self._groupings: list[Grouping] = [grouping(g) for g in settings.group_by]
        self._lock = threading.RLock()
        self._pending: dict[object, Pending] = {}
        self._live: dict[Labels, _Live] = {}
        self._by_pending: dict[int, _Live] = {}
        self._refused = self._new(())
        if not self._groupings:
            self._all = self._new(())
            self._live[()] = self._all

    def reset(self) -> None:
        """Start from nothing, without the subscriptions noticing."""
        with self._lock:
            for live in list(self._by_pending.values()):
                live.pending[:] = [0]
                live.distributions = [Distribution() for _ in self.settings.fields]
            if self._groupings:
                kept = {id(self._refused.pending): self._refused}
                self._pending.clear()
                self._live.clear()
                self._by_pending = kept

    def snapshot(self) -> Snapshot:
        """What was counted so far."""
        with self._lock:
            return Snapshot(
                self.name,
                tuple(g.field for g in self._groupings),
                self.settings.fields,
                self.settings.description,
                [self._group(live) for live in self._live.values()],
                self._group(self._refused),
            )

    def statements(self, build: Build) -> Sequence[str]:
        """The code that counts one event."""
        lines: list[str] = []
        pending = build.local()
        if self._groupings:
            keys = [g.key(build) for g in self._groupings]
            key = f"({', '.join(keys)})" if len(keys) > 1 else keys[0]
            lines += [
                f"try: {pending} = {build.const(self._pending)}[{key}]",
                "except (KeyError, TypeError):",
                f"    {pending} = {build.const(self._admit)}({key})",
            ]
        else:
            pending = build.const(self._all.pending)
        if not self.settings.fields:
            return [*lines, f"{pending}[0] += 1"]
        values = [build.field(name) for name in self.settings.fields]
        value = f"({', '.join(values)})" if len(values) > 1 else values[0]
        fold = build.const(self._fold)
        return [
            *lines,
            f"{pending}.append({value})",
            f"if len({pending}) > {FOLD}: {fold}({pending})",
        ]

    def _new(self, labels: Labels) -> _Live:
        live = _Live(labels, len(self.settings.fields))
        self._by_pending[id(live.pending)] = live
        return live

    def _admit(self, key: object) -> Pending:
        """The list for a key that is not in the table: perhaps of a new group.

        A key that cannot be in a table (a list) comes here every time.
        """
        keys = key if len(self._groupings) > 1 and isinstance(key, tuple) else (key,)
        labels = tuple(
            None if k is None else g.label(k) or None for g, k in zip(self._groupings, keys)
        )
        with self._lock:
            live = self._live.get(labels)
            if live is None:
                if len(self._live) >= self.limit:
                    return self._refused.pending
                live = self._live[labels] = self._new(labels)
        if len(self._pending) < self.limit * _KEYS_PER_GROUP:
            try:
                self._pending[key] = live.pending
            except TypeError:
                pass
        return live.pending

    def _fold(self, pending: Pending) -> None:
        with self._lock:
            live = self._by_pending.get(id(pending))
            if live is not None:
                live.fold()

    def _group(self, live: _Live) -> Group:
        live.fold()
        return Group(
            live.labels,
            live.pending[0],
            {
                name: msgspec.structs.replace(d, buckets=dict(d.buckets))
                for name, d in zip(self.settings.fields, live.distributions)
            },
        )
