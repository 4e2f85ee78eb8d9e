"""Password hashes off the event loop.

Slow schemes run in a pool of threads, one per core: their libraries let other threads run while
they compute.  Fast ones are not worth the way there and run at once.  ``decoy`` spends the time
that a real comparison would have taken, for users who do not exist.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pillarbox.auth import schemes
from pillarbox.auth.scheme import SchemeError
from pillarbox.wire.sasl.exchange import FetchSecret, HashName, ScramSecret

T = TypeVar("T")


class Hasher:
    """See the module."""

    def __init__(self, workers: int | None = None, *, weak: bool = False) -> None:
        """``weak``: whether stored passwords of weak schemes count."""
        self._weak = weak
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, "password")
        self._decoys: dict[str, str] = {}

    async def verify(self, stored: str, password: str, default_scheme: str, user: str = "") -> bool:
        """As `schemes.verify`.  Raises SchemeError."""
        work = partial(schemes.verify, stored, password, default_scheme, user=user, weak=self._weak)
        return await self._run(work) if schemes.is_slow(stored, default_scheme) else work()

    async def make(self, scheme: str, password: str, user: str) -> str:
        """As `schemes.hash_password`.  Raises SchemeError."""
        return await self._run(partial(schemes.hash_password, scheme, password, user))

    def secret(self, stored: str, default_scheme: str, asked: FetchSecret) -> bytes | None:
        """As `schemes.mechanism_secret`.  Raises SchemeError."""
        return schemes.mechanism_secret(stored, default_scheme, asked, weak=self._weak)

    async def decoy(self, like: str | None, password: str, default_scheme: str) -> None:
        """Take as long as for a stored password ``like`` this, or for one of the default scheme.

        The answer of the comparison is thrown away.
        """
        try:
            if like is None:
                like = self._decoys.get(default_scheme)
            if like is None:
                made = await self.make(default_scheme, "decoy", "decoy")
                like = self._decoys[default_scheme] = made
            await self.verify(like, password, default_scheme)
        except SchemeError:
            pass

    async def scram_secret(
        self, stored: str, default_scheme: str, hash_name: HashName, salt: bytes
    ) -> ScramSecret | None:
        """As `schemes.scram_secret`; only a clear password has to be hashed first."""
        if schemes.is_slow(stored, default_scheme):
            return schemes.scram_secret(stored, default_scheme, hash_name, salt)
        return await self._run(
            lambda: schemes.scram_secret(stored, default_scheme, hash_name, salt)
        )

    async def run(self, work: Callable[[], T]) -> T:
        """Do something else that takes its time in these threads."""
        return await self._run(work)

    def soon(self, work: Callable[[], None]) -> None:
        """The same without waiting for it; at once if the threads have ended."""
        try:
            self._pool.submit(work)
        except RuntimeError:
            work()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """End the threads once they are done."""
        self._pool.shutdown(wait=False, cancel_futures=True)
