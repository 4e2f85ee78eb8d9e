"""Where the master writes log lines: standard error, a file, or syslog; as text or as JSON.

`LogWriter` takes the lines of the master and of all children and knows the three paths of the
settings (``log_path``, ``info_log_path``, ``debug_log_path``).  A text line reads like
``2026-01-31 12:00:00 imap(bob)<4711><session>: Info: ...``; a JSON line has time (RFC 3339),
level, service, pid, user, session and text.  Files are opened for appending and opened again by
`reopen`, which the master does at a reload, so rotating them loses nothing.

A place that cannot be written does not stop the server: the line goes to standard error instead.
"""

from __future__ import annotations

import os
import sys
import syslog
import time
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from pillarbox.runtime.log import Level, Line
from pillarbox.settings.model import Settings

_PRIORITY: Final[dict[Level, int]] = {
    "debug": syslog.LOG_DEBUG,
    "info": syslog.LOG_INFO,
    "warning": syslog.LOG_WARNING,
    "error": syslog.LOG_ERR,
    "fatal": syslog.LOG_CRIT,
}


def prefix(line: Line) -> str:
    """``imap(user)<pid><session>``, without what is not known."""
    service = line.service.replace("_", "-")
    if line.session is None and line.user is None:
        return service
    user = f"({line.user})" if line.user is not None else ""
    session = f"<{line.session}>" if line.session is not None else ""
    return f"{service}{user}<{line.pid}>{session}"


def render_text(line: Line, timestamp: str) -> bytes:
    """One line for people; ``timestamp`` is a strftime format."""
    stamp = time.strftime(timestamp, time.localtime(line.time)) if timestamp else ""
    text = f"{stamp}{prefix(line)}: {line.level.capitalize()}: {line.text}\n"
    return text.encode("utf-8", "replace")


def render_json(line: Line) -> bytes:
    """One line for programs: an object without the fields that are absent."""
    when = datetime.fromtimestamp(line.time, UTC).isoformat(timespec="microseconds")
    fields: dict[str, str | int | None] = {
        "time": when.replace("+00:00", "Z"),
        "level": line.level,
        "service": line.service.replace("_", "-"),
        "pid": line.pid,
        "user": line.user,
        "session": line.session,
        "text": line.text,
    }
    return msgspec.json.encode({k: v for k, v in fields.items() if v is not None}) + b"\n"


class _Place(Protocol):
    def write(self, line: Line) -> None: ...

    def close(self) -> None: ...


class _File:
    """Standard error or a file."""

    def __init__(self, path: str, json: bool, timestamp: str) -> None:
        self._own = path != "stderr"
        self._fd = (
            os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if self._own
            else 2
        )
        self._json = json
        self._timestamp = timestamp

    def write(self, line: Line) -> None:
        data = render_json(line) if self._json else render_text(line, self._timestamp)
        os.write(self._fd, data)

    def close(self) -> None:
        if self._own:
            os.close(self._fd)


class _Syslog:
    """The system's log."""

    def __init__(self, ident: str, facility: str, json: bool) -> None:
        number = getattr(syslog, f"LOG_{facility.upper()}", syslog.LOG_MAIL)
        syslog.openlog(ident, syslog.LOG_NDELAY, number)
        self._json = json

    def write(self, line: Line) -> None:
        data = render_json(line) if self._json else render_text(line, "")
        syslog.syslog(_PRIORITY[line.level], data.decode("utf-8").rstrip("\n"))

    def close(self) -> None:
        syslog.closelog()


class LogWriter:
    """The places of the settings; a sink for `Log`."""

    def __init__(self, settings: Settings) -> None:
        """Open them.  Raises OSError for a file that cannot be opened."""
        self._places: dict[str, _Place] = {}
        self._of_level: dict[Level, _Place] = {}
        self._open(settings)

    def _open(self, settings: Settings) -> None:
        main = settings.log_path or "stderr"
        info = settings.info_log_path or main
        debug = settings.debug_log_path or info
        json = settings.log_format == "json"
        places: dict[str, _Place] = {}
        for path in (main, info, debug):
            if path in places:
                continue
            if path == "syslog":
                places[path] = _Syslog(settings.instance_name, settings.syslog_facility, json)
            else:
                path_or_stderr = "stderr" if path == "/dev/stderr" else path
                places[path] = _File(path_or_stderr, json, settings.log_timestamp)
        self._places = places
        self._of_level = {
            "debug": places[debug],
            "info": places[info],
            "warning": places[main],
            "error": places[main],
            "fatal": places[main],
        }

    def __call__(self, line: Line) -> None:
        """Write one line; never raises."""
        try:
            self._of_level[line.level].write(line)
        except OSError as error:
            try:
                os.write(2, render_text(line, "") + f"(log: {error})\n".encode())
            except OSError:
                pass
        if line.level == "fatal":
            sys.stderr.flush()

    def reopen(self, settings: Settings) -> None:
        """Close and open again, with new settings.  Raises OSError and keeps the old places."""
        old = self._places
        self._open(settings)
        for place in old.values():
            place.close()

    def close(self) -> None:
        """Close the places."""
        for place in self._places.values():
            place.close()
