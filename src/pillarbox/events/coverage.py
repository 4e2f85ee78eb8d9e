"""Which events a running server really emitted, and with which of their fields.

When the environment variable PILLARBOX_EVENT_COVERAGE names a folder, every service process
subscribes to all events and keeps there one JSON file: for each event how often it was seen and
how often each of its declared fields had a value.  `read` adds the files of all processes up;
``pillarbox events coverage`` prints the table.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from pillarbox.events.bus import Bus, Call, Subscription
from pillarbox.events.event import Event, Scope

ENVIRONMENT: Final = "PILLARBOX_EVENT_COVERAGE"


class Seen(msgspec.Struct):
    """One event: how often it happened, and how often with each field."""

    times: int = 0
    fields: dict[str, int] = msgspec.field(default_factory=dict)


Table = dict[str, Seen]


class Coverage:
    """What this process has emitted; ``name`` makes its file's name unlike all others."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.json"
        self._table: Table = {}
        self._patterns: dict[str, dict[str, str]] = {}
        self._changed = False

    def subscribe(self, bus: Bus) -> Subscription:
        """Listen to everything from now on."""
        return bus.subscribe(Call(self._note))

    def write(self) -> None:
        """Write the file if there is news; a folder that cannot be written to is no error."""
        if not self._changed:
            return
        self._changed = False
        temporary = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(self._table))
            os.replace(temporary, self._path)
        except OSError:
            self._changed = True

    def _note(self, event: Event[...], scope: Scope, own: dict[str, Any], source: str) -> None:
        self._changed = True
        seen = self._table.get(event.name)
        if seen is None:
            seen = self._table[event.name] = Seen()
        seen.times += 1
        names = {"duration", *scope.visible(), *(k for k, v in own.items() if v is not None)}
        if scope.all_reasons():
            names.add("reason_code")
        for name in {declared_name(event, name) for name in names} - {None}:
            assert name is not None
            seen.fields[name] = seen.fields.get(name, 0) + 1


def declared_name(event: Event[...], name: str) -> str | None:
    """The declared field that a field is, ``id_param_<param>`` and the like included; else None."""
    if name in event.fields:
        return name
    for pattern in event.fields:
        if "<" in pattern and name.startswith(pattern.partition("<")[0]):
            return pattern
    return None


def read(folder: Path) -> Table:
    """The files of a folder, added up; those that are damaged or half written are left out."""
    total: Table = {}
    for path in sorted(folder.glob("*.json")):
        try:
            table = msgspec.json.decode(path.read_bytes(), type=Table)
        except (OSError, msgspec.MsgspecError):
            continue
        for name, seen in table.items():
            mine = total.setdefault(name, Seen())
            mine.times += seen.times
            for field, times in seen.fields.items():
                mine.fields[field] = mine.fields.get(field, 0) + times
    return total
