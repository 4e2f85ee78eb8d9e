"""Scripts that are forgotten with the process: for tests and for trying out."""

from __future__ import annotations

from pillarbox.drivers.script.api import (
    Admit,
    Listed,
    NoSuchScript,
    Place,
    ScriptActive,
    ScriptExists,
)


class MemoryScripts:
    """A dictionary with the interface of a place; see `api`."""

    name = "memory"

    def __init__(self) -> None:
        self.sources: dict[str, bytes] = {}
        self.chosen: str | None = None

    def location(self, script: str) -> str:
        """``memory:NAME``."""
        return f"memory:{script}"

    async def scripts(self) -> list[Listed]:
        """All scripts, by name."""
        return [
            Listed(name, len(source), name == self.chosen)
            for name, source in sorted(self.sources.items())
        ]

    async def read(self, script: str) -> bytes | None:
        """A script's source, or None."""
        return self.sources.get(script)

    async def active(self) -> str | None:
        """The name of the active script, or None."""
        return self.chosen

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """Store a script."""
        admit(await self.scripts())
        self.sources[script] = source

    async def delete(self, script: str) -> None:
        """Remove a script."""
        self._must_exist(script)
        if script == self.chosen:
            raise ScriptActive(script)
        del self.sources[script]

    async def rename(self, old: str, new: str) -> None:
        """Give a script another name."""
        self._must_exist(old)
        if new in self.sources:
            raise ScriptExists(new)
        self.sources[new] = self.sources.pop(old)
        if self.chosen == old:
            self.chosen = new

    async def activate(self, script: str | None) -> None:
        """Make a script the active one, or none."""
        if script is not None:
            self._must_exist(script)
        self.chosen = script

    async def close(self) -> None:
        """Nothing is open."""

    def _must_exist(self, script: str) -> None:
        if script not in self.sources:
            raise NoSuchScript(script)


def make(place: Place) -> MemoryScripts:
    """A new, empty place."""
    return MemoryScripts()
