"""What events cost, beside the figures of the design.

Prints nanoseconds per emission, best of several rounds, after taking away the cost of the loop
that measures: unwatched, a counter with a two-term filter, a histogram with two labels (folding of
its values included), and a JSON line as exporters write it.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable, Sequence
from typing import Any

from pillarbox.events.build import Build, Sink
from pillarbox.events.bus import bus
from pillarbox.events.catalogue.imap import imap_command_finished
from pillarbox.events.event import Scope
from pillarbox.events.formats.json_line import JsonLine
from pillarbox.events.metrics.metric import Metric
from pillarbox.settings.model import GroupBySettings, MetricSettings

ROUNDS = 15
TIMES = 20_000

SESSION = Scope(
    Scope(None, ("service:imap",)),
    ("imap",),
    user="user@example.com",
    session="d4Xk2vQmAAB",
    service="imap",
    local_ip="127.0.0.1",
    local_port=143,
    remote_ip="127.0.0.1",
    remote_port=50123,
)
COMMAND = Scope(
    SESSION,
    (),
    ("imap:cmd_fetch",),
    cmd_name="FETCH",
    cmd_tag="a1",
    cmd_input_name="fetch",
    cmd_args="1:* (UID FLAGS)",
    cmd_human_args="1:* (UID FLAGS)",
)

STATEMENT = """
for _ in times:
    if event.emit is not None:
        event.emit(
            scope,
            tagged_reply_state="OK",
            tagged_reply="OK Fetch completed.",
            running_usecs=512,
            net_in_bytes=24,
            net_out_bytes=5210,
        )
"""


class Nothing:
    """A sink that does nothing: what is left is the call."""

    def statements(self, build: Build) -> Sequence[str]:
        """One statement that does nothing."""
        return ["pass"]


def best(statement: str) -> float:
    """Nanoseconds per turn of the loop, in the best round."""
    names = {"event": imap_command_finished, "scope": COMMAND, "times": range(TIMES)}
    rounds = timeit.repeat(statement, globals=names, number=1, repeat=ROUNDS)
    return min(rounds) / TIMES * 1e9


def watched(sink: Sink, wanted: str) -> float:
    """The cost of an emission that a sink listens to."""
    subscription = bus.subscribe(sink, wanted)
    try:
        return best(STATEMENT)
    finally:
        bus.unsubscribe(subscription)


def metric(**settings: Any) -> tuple[Metric, str]:
    """A metric and its filter."""
    made = Metric("bench", MetricSettings(**settings))
    return made, made.settings.filter


def exporter(keep: Callable[[bytes], None]) -> JsonLine:
    """A sink that writes JSON lines as exporters do."""
    return JsonLine(keep, lambda: False)


def main() -> int:
    """Measure and print."""
    loop = best("for _ in times:\n    pass")
    labels = tuple(GroupBySettings(field=name) for name in ("cmd_name", "tagged_reply_state"))
    two_terms = "event=imap_command_finished AND tagged_reply_state=OK AND net_out_bytes > 1KB"
    rows = [
        ("unwatched", "7-10", best(STATEMENT) - loop),
        ("call that does nothing", "", watched(Nothing(), "") - loop),
        ("counter, two-term filter", "57-73", watched(*metric(filter=two_terms)) - loop),
        (
            "histogram, two labels",
            "170-240",
            watched(
                *metric(filter="event=imap_command_finished", group_by=labels, fields=("duration",))
            )
            - loop,
        ),
        ("JSON line", "480-520", watched(exporter(lambda line: None), "") - loop),
    ]
    print(f"{'ns per event':28}{'design':>10}{'measured':>10}")
    for name, design, measured in rows:
        print(f"{name:28}{design:>10}{measured:>10.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
