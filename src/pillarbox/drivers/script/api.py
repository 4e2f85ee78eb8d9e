"""The script family: where Sieve scripts are kept.

A *place* is a `sieve_script` block of the settings, for one user.  It holds scripts by name; one of
them may be active.  Drivers know nothing of Sieve and set no rules about names, sizes or quotas:
those are the business of `pillarbox.delivery.sieve_storage`, which also tells the events.

A driver module offers ``make(place) -> ScriptDriver`` (raising ValueError for a block that makes
no sense).  Three answers are never mixed up: a script, None for "there is none", and `ScriptError`
for "cannot find out now".  Places that can be written to meet `SupportsWrite`: every change is
atomic, on disk when the call returns, and safe against other writers in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from pillarbox.settings.model import Settings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings
from pillarbox.settings.variables import expand


class ScriptError(Exception):
    """The place cannot be used now: a temporary failure; the text is for the log."""


class NoSuchScript(Exception):
    """No script of this name is there."""


class ScriptExists(Exception):
    """A script of this name is there already."""


class ScriptActive(Exception):
    """The active script cannot be deleted."""


@dataclass(frozen=True, slots=True)
class Place:
    """One `sieve_script` block for one user; ``values`` has user, username, domain and home."""

    block: str
    script: SieveScriptSettings
    settings: Settings
    values: Mapping[str, str]

    def path(self, template: str) -> Path:
        """A path of the block, for this user.  Raises VariableError."""
        text = expand(template, self.values)
        if text.startswith("~/"):
            return Path(self.values["home"], text[2:])
        return Path(text)


class Listed(NamedTuple):
    """A script in a list: its name, its size in bytes, and whether it is the active one."""

    name: str
    size: int
    active: bool = False


Admit = Callable[[Sequence[Listed]], None]


class ScriptDriver(Protocol):
    """One place of scripts."""

    name: str

    def location(self, script: str) -> str:
        """Where a script is or would be, for events and logs: driver and place."""

    async def scripts(self) -> list[Listed]:
        """All scripts, by name.  Raises ScriptError."""

    async def read(self, script: str) -> bytes | None:
        """A script's source, or None.  Raises ScriptError."""

    async def active(self) -> str | None:
        """The name of the active script, or None.  Raises ScriptError.

        A place with one script that is no personal one has that one active.
        """

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class SupportsWrite(Protocol):
    """A place whose scripts can be changed; all calls raise ScriptError."""

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """Store a script, in place of one of the same name.

        ``admit`` gets what is there while nobody else can write; what it raises ends the call
        with nothing changed.
        """

    async def delete(self, script: str) -> None:
        """Remove a script.  Raises NoSuchScript, ScriptActive."""

    async def rename(self, old: str, new: str) -> None:
        """Give a script another name; the active one stays active.

        Raises NoSuchScript, ScriptExists.
        """

    async def activate(self, script: str | None) -> None:
        """Make a script the active one, or with None none of them.  Raises NoSuchScript."""


@runtime_checkable
class SupportsCompiled(Protocol):
    """A place that can keep compiled scripts beside the sources."""

    def compiled_path(self, script: str) -> Path | None:
        """The file for the compiled form of a script; None where it cannot be kept."""
