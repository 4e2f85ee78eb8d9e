"""A database that breaks: for the tests of whatever asks one.

Wraps another database.  ``failing`` makes every call raise; ``rate`` makes that share of them
raise at random, some of them *after* the work was done (the uncertain kind: a lost connection);
``slow`` turns of the event loop pass before each answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing

from pillarbox.drivers.sql.api import (
    Portions,
    Row,
    Settings,
    Sql,
    SqlBlock,
    SqlError,
    Statement,
    Value,
)
from pillarbox.events.event import Scope


class FailSql:
    """See the module; ``seed`` makes the failures repeatable."""

    name = "fail"

    def __init__(
        self,
        inner: Sql | None = None,
        *,
        failing: bool = False,
        rate: float = 0.0,
        slow: int = 0,
        seed: int = 0,
    ) -> None:
        self._inner = inner
        self.failing = failing or inner is None
        self.rate = rate
        self.slow = slow
        self._random = random.Random(seed)

    def placeholder(self, index: int) -> str:
        """That of the wrapped database."""
        return "?" if self._inner is None else self._inner.placeholder(index)

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Rows, or not."""
        uncertain = await self._before()
        assert self._inner is not None
        rows = await self._inner.query(scope, sql, params)
        self._after(uncertain)
        return rows

    async def portions(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> Portions:
        """Portions, or not all of them."""
        uncertain = await self._before()
        assert self._inner is not None
        async with aclosing(self._inner.portions(scope, sql, params)) as portions:
            async for rows in portions:
                yield rows
                self._after(uncertain)

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """Done, or not, or done and reported as failed."""
        uncertain = await self._before()
        assert self._inner is not None
        changed = await self._inner.transaction(scope, statements)
        self._after(uncertain)
        return changed

    async def close(self) -> None:
        """Close what is wrapped."""
        if self._inner is not None:
            await self._inner.close()

    async def _before(self) -> bool:
        """Raise now, or say whether to raise after the work."""
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        if self.failing:
            raise SqlError("the database is made to fail", "FAIL")
        if self._random.random() >= self.rate:
            return False
        if self._random.random() < 0.5:
            raise SqlError("the database failed before the work", "FAIL")
        return True

    @staticmethod
    def _after(uncertain: bool) -> None:
        if uncertain:
            raise SqlError("the connection was lost after the work", "LOST")


def make(block: SqlBlock, settings: Settings) -> FailSql:
    """A database that always fails."""
    return FailSql()
