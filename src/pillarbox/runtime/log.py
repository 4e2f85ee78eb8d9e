"""Log lines: a level, a text, and from the scope whose they are.

``log.info(scope, "text")`` makes a `Line` with the session, the user and the service taken from
the scope chain, and hands it to the process's sink: in a child a pipe to the master
(`runtime.log_pipe`), in the master the place that the settings name (`runtime.log_sinks`), and
before either is set up the standard error stream.  Rendering is the sink's business, so one
process writes text or JSON for all of them.

A log call never raises and never waits: a sink that cannot take a line counts it as lost.
Control characters of the text are escaped, so nobody can forge a line through a user name.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from pillarbox.events.event import Scope

Level = Literal["debug", "info", "warning", "error", "fatal"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error", "fatal")

_CONTROL: Final = {c: f"\\x{c:02x}" for c in (*range(32), 127, *range(128, 160))}


class Line(msgspec.Struct, array_like=True, frozen=True):
    """One log line: wall clock in seconds, level, service, process, and whose it is."""

    time: float
    level: Level
    service: str
    pid: int
    user: str | None
    session: str | None
    text: str


Sink = Callable[[Line], None]


def to_stderr(line: Line) -> None:
    """The sink of a process that has no other yet."""
    print(f"{line.service}: {line.level.capitalize()}: {line.text}", file=sys.stderr)  # noqa: T201


class Log:
    """Where one process says what happened; ``threshold`` is the lowest level that is kept."""

    __slots__ = ("pid", "service", "sink", "threshold")

    def __init__(
        self, service: str = "pillarbox", sink: Sink = to_stderr, level: Level = "info"
    ) -> None:
        self.service = service
        self.sink = sink
        self.pid = os.getpid()
        self.threshold = LEVELS.index(level)

    def set_level(self, level: Level) -> None:
        """Keep lines of this level and above."""
        self.threshold = LEVELS.index(level)

    def write(self, level: Level, scope: Scope | None, text: str) -> None:
        """Log a line of any level."""
        if LEVELS.index(level) < self.threshold:
            return
        user = session = None
        if scope is not None:
            user = _text(scope, "user")
            session = _text(scope, "session")
        text = text.translate(_CONTROL)
        line = Line(time.time(), level, self.service, self.pid, user, session, text)
        try:
            self.sink(line)
        except (OSError, ValueError):
            pass

    def debug(self, scope: Scope | None, text: str) -> None:
        """Log what only somebody looking for a fault wants to see."""
        self.write("debug", scope, text)

    def info(self, scope: Scope | None, text: str) -> None:
        """Log what happens in the normal course."""
        self.write("info", scope, text)

    def warning(self, scope: Scope | None, text: str) -> None:
        """Log what works but should be looked at."""
        self.write("warning", scope, text)

    def error(self, scope: Scope | None, text: str) -> None:
        """Log what failed."""
        self.write("error", scope, text)

    def fatal(self, scope: Scope | None, text: str) -> None:
        """Log why the process ends."""
        self.write("fatal", scope, text)


def _text(scope: Scope, name: str) -> str | None:
    value = scope.get(name)
    return None if value is None else str(value).translate(_CONTROL)


log: Final = Log()
"""The log of this process; `runtime.child` gives it its name and its sink."""
