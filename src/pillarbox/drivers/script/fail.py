"""A place of scripts that breaks: for the tests of whatever uses one.

Wraps another place; without one, or with ``failing``, every call raises.  ``uncertain``: a failing
change is made all the same, as when an answer is lost on its way.  ``rate`` makes that share of the
calls raise at random (repeatable by ``seed``), ``slow`` turns of the loop pass at most.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

from pillarbox.drivers.script.api import (
    Admit,
    Listed,
    Place,
    ScriptDriver,
    ScriptError,
    SupportsWrite,
)


class Writable(ScriptDriver, SupportsWrite, Protocol):
    """A place that can be read and changed."""


class FailScripts:
    """See the module."""

    name = "fail"

    def __init__(
        self,
        inner: Writable | None = None,
        *,
        failing: bool = False,
        uncertain: bool = False,
        rate: float = 0.0,
        slow: int = 0,
        seed: int = 0,
    ) -> None:
        self._inner = inner
        self.failing = failing
        self.uncertain = uncertain
        self.rate = rate
        self.slow = slow
        self._random = random.Random(seed)

    def location(self, script: str) -> str:
        """``fail:NAME``."""
        return f"fail:{script}"

    async def _wrapped(self) -> Writable:
        """The wrapped place, if this call does not fail."""
        if self._inner is None or await self._fails():
            raise ScriptError("the place is made to fail")
        return self._inner

    async def _fails(self) -> bool:
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        return self.failing or self._random.random() < self.rate

    async def scripts(self) -> list[Listed]:
        """As the wrapped place, or ScriptError."""
        return await (await self._wrapped()).scripts()

    async def read(self, script: str) -> bytes | None:
        """As the wrapped place, or ScriptError."""
        return await (await self._wrapped()).read(script)

    async def active(self) -> str | None:
        """As the wrapped place, or ScriptError."""
        return await (await self._wrapped()).active()

    async def save(self, script: str, source: bytes, admit: Admit) -> None:
        """As the wrapped place, or ScriptError with the change made or not."""
        if self._inner is not None and self.uncertain:
            await self._inner.save(script, source, admit)
            await self._wrapped()
        else:
            await (await self._wrapped()).save(script, source, admit)

    async def delete(self, script: str) -> None:
        """As the wrapped place, or ScriptError."""
        await (await self._wrapped()).delete(script)

    async def rename(self, old: str, new: str) -> None:
        """As the wrapped place, or ScriptError."""
        await (await self._wrapped()).rename(old, new)

    async def activate(self, script: str | None) -> None:
        """As the wrapped place, or ScriptError."""
        await (await self._wrapped()).activate(script)

    async def close(self) -> None:
        """Close what is wrapped."""
        if self._inner is not None:
            await self._inner.close()


def make(place: Place) -> FailScripts:
    """A place that always fails."""
    return FailScripts()
