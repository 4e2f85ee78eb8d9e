"""The state of metrics at one moment, as processes send it to each other and as it is shown.

A `Snapshot` of one process and those of others merge into one.  `Row` is one line of the dump:
the metric itself, then each group and each group within it, named as ``<metric>_<label>_<label>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from pillarbox.events.metrics.distribution import Distribution

Labels = tuple[str | None, ...]


class Group(msgspec.Struct):
    """The events of one group.  A label of None: the event had no such field."""

    labels: Labels
    count: int = 0
    fields: dict[str, Distribution] = msgspec.field(default_factory=dict)

    def merge(self, other: Group) -> None:
        """Add what another process counted."""
        self.count += other.count
        for name, distribution in other.fields.items():
            mine = self.fields.get(name)
            if mine is None:
                mine = self.fields[name] = Distribution()
            mine.merge(distribution)


class Snapshot(msgspec.Struct):
    """One metric.  ``refused`` counts the events whose group was one too many."""

    name: str
    group_by: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    description: str = ""
    groups: list[Group] = msgspec.field(default_factory=list)
    refused: Group = msgspec.field(default_factory=lambda: Group(()))

    def merge(self, other: Snapshot, limit: int = 0) -> None:
        """Add what another process counted; beyond ``limit`` groups (0: none) it is refused."""
        known = {group.labels: group for group in self.groups}
        for group in other.groups:
            mine = known.get(group.labels)
            if mine is None:
                if limit and len(self.groups) >= limit:
                    self.refused.merge(group)
                    continue
                mine = known[group.labels] = Group(group.labels)
                self.groups.append(mine)
            mine.merge(group)
        self.refused.merge(other.refused)

    @property
    def total(self) -> Group:
        """All groups together, the refused ones too."""
        total = Group(())
        for group in self.groups:
            total.merge(group)
        total.merge(self.refused)
        return total


class Row(msgspec.Struct):
    """One line of a dump."""

    name: str
    group: Group


def rows(snapshot: Snapshot) -> Iterator[Row]:
    """The metric, then its groups and the groups within them, in the order of their labels.

    >>> [r.name for r in rows(Snapshot("imap_command", groups=[Group(("SELECT", "OK"), 1)]))]
    ['imap_command', 'imap_command_SELECT', 'imap_command_SELECT_OK']
    """
    yield Row(snapshot.name, snapshot.total)
    merged: dict[tuple[str, ...], Group] = {}
    for group in snapshot.groups:
        for depth in range(1, len(group.labels) + 1):
            labels = group.labels[:depth]
            if labels[-1] is None:
                break
            named = tuple(label or "" for label in labels)
            merged.setdefault(named, Group(labels)).merge(group)
    for named in sorted(merged):
        yield Row("_".join((snapshot.name, *named)), merged[named])


def merge_all(parts: Iterable[Iterable[Snapshot]], limit: int = 0) -> dict[str, Snapshot]:
    """The metrics of several processes, added up, by name."""
    merged: dict[str, Snapshot] = {}
    for part in parts:
        for snapshot in part:
            mine = merged.get(snapshot.name)
            if mine is None or mine.group_by != snapshot.group_by:
                mine = merged[snapshot.name] = Snapshot(
                    snapshot.name, snapshot.group_by, snapshot.fields, snapshot.description
                )
            mine.merge(snapshot, limit)
    return merged
