"""What processes and the stats service say to each other, and what commands ask of it.

Messages are msgspec structs in `runtime.frames`.  A process (an *agent*) says `Hello`, gets a
`Setup` now and whenever it changes, answers `Ask` with `Counters`, sends `Seen` for tails and
`Lines` for exporters, and `Counters` with ``final`` at its end.  Counters are always totals since
the process began, so a stats service that was restarted, or a connection that broke, loses nothing.
A *client* (the command line, the admin service) sends one of `Dump`, `Change` or `Watch`.
"""

from __future__ import annotations

import msgspec

from pillarbox.events.formats.record import Record
from pillarbox.events.metrics.snapshot import Snapshot
from pillarbox.settings.model import MetricSettings

SOCKET = "stats"


class Hello(msgspec.Struct, tag=True):
    """A process takes part.  ``instance`` tells it from all others that ever were."""

    service: str
    pid: int
    instance: str


class Counters(msgspec.Struct, tag=True):
    """The metrics of a process; with ``more``, not yet all of them."""

    request: int
    snapshots: list[Snapshot]
    final: bool = False
    more: bool = False


class Seen(msgspec.Struct, tag=True):
    """Events that a tail asked for."""

    tail: int
    records: list[Record]
    lost: int = 0


class Lines(msgspec.Struct, tag=True):
    """Formatted events for an exporter."""

    exporter: str
    lines: list[bytes]


class Tail(msgspec.Struct):
    """A filter whose events somebody is watching."""

    id: int
    filter: str
    source: bool = False


class Setup(msgspec.Struct, tag=True):
    """Everything that is wanted beyond the settings; replaces the Setup before it."""

    metrics: dict[str, MetricSettings | None]
    """Metrics added at run time; None: a metric of the settings that was taken away."""
    tails: list[Tail]


class Ask(msgspec.Struct, tag=True):
    """Send `Counters` with this request number."""

    request: int


class Reset(msgspec.Struct, tag=True):
    """Start these metrics from nothing; no names: all."""

    names: list[str]


class Dump(msgspec.Struct, tag=True):
    """A client asks for the metrics of all processes."""


class Dumped(msgspec.Struct, tag=True):
    """The metrics of all processes, and since when (seconds since 1970) they are counted.

    With ``more``, not yet all of them: each metric travels in a frame of its own.
    """

    snapshots: list[Snapshot]
    started: float
    processes: int
    more: bool = False


class Change(msgspec.Struct, tag=True):
    """A client adds (or replaces), removes or resets metrics."""

    add: dict[str, MetricSettings] = msgspec.field(default_factory=dict)
    remove: list[str] = msgspec.field(default_factory=list)
    reset: list[str] | None = None


class Done(msgspec.Struct, tag=True):
    """The answer to a `Change` or `Watch`; ``error`` is empty if it was obeyed."""

    error: str = ""


class Watch(msgspec.Struct, tag=True):
    """A client wants events as they happen: `Done`, then `Seen` until it closes."""

    filter: str = ""
    source: bool = False


ToStats = Hello | Counters | Seen | Lines | Dump | Change | Watch
FromStats = Setup | Ask | Reset | Dumped | Done | Seen
