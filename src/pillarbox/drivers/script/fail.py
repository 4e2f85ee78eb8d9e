"""A place of scripts that breaks: for the tests of whatever uses one.

Wraps another place; without one, or with ``failing``, every call raises.  ``uncertain``: a failing
change is made all the same, as when an answer is lost on its way.  ``rate`` makes that share of the
calls raise at random (repeatable by ``seed``), ``slow`` turns of the loop pass at most.
"""

from __future__ import annotations

import asyncio
import random

from pillarbox.drivers.script.api import Admit, Listed, Place, ScriptError
from pillarbox.drivers.script.memory import MemoryScripts


class FailScripts:
    """See the module."""

    name = "fail"

    def __init__(
        self,
        inner: MemoryScripts | None = None,
        *,
        failing: bool = False,
        uncertain: bool = False,
        rate: float = 0.0,
        slow: int = 0,
        seed: int = 0,
    ) -> None:
        self.inner = inner or MemoryScripts()
        self.failing = failing or inner is None
        self.uncertain = uncertain
        self.rate = rate
        self.slow = slow
        self._random = random.Random(seed)

    def location(self, script: str) -> str:
        """``fail:NAME``."""
        return f"fail:{script}"

    async def _fails(self) -> bool:
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        return self.failing or self._random.random() < self.rate

    async def _may_fail(self) -> None:
        if await self._fails():
            raise ScriptError("the place is made to fail")

    async def scripts(self) -> list[Listed]:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        return await self.inner.scripts()

    async def read(self, script: str) -> bytes | None:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        return await self.inner.read(script)

    async def active(self) -> str | None:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        return await self.inner.active()

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """As the wrapped place, or ScriptError with the change made or not."""
        fails = await self._fails()
        if not fails or self.uncertain:
            await self.inner.save(script, source, admit)
        if fails:
            raise ScriptError("the place is made to fail")

    async def delete(self, script: str) -> None:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        await self.inner.delete(script)

    async def rename(self, old: str, new: str) -> None:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        await self.inner.rename(old, new)

    async def activate(self, script: str | None) -> None:
        """As the wrapped place, or ScriptError."""
        await self._may_fail()
        await self.inner.activate(script)

    async def close(self) -> None:
        """Close what is wrapped."""
        await self.inner.close()


def make(place: Place) -> FailScripts:
    """A place that always fails."""
    return FailScripts()
