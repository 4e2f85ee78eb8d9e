"""Calls that may hang, in threads that nobody has to wait for.

PAM modules, scripts and name services are code of others: a call can take for ever, and no thread
can be stopped.  So each call gets a thread of its own (tens of microseconds), of which there is a
limited number, and a time limit.  A thread that hangs keeps its place among the number and dies
with the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pillarbox.drivers.passdb.api import DatabaseError

T = TypeVar("T")


class Blocking:
    """See the module; ``name`` begins what DatabaseError says."""

    def __init__(self, name: str, most: int, timeout: float) -> None:
        self._name = name
        self._free = asyncio.Semaphore(most)
        self._timeout = timeout

    async def run(self, work: Callable[[], T]) -> T:
        """What the call gives or raises.  Raises DatabaseError when it takes too long."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError:
            raise DatabaseError(f"{self._name}: too many calls hang") from None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def call() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        try:
            threading.Thread(target=call, name=self._name, daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise DatabaseError(f"{self._name}: {error}") from error
        try:
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            if not future.cancelled():
                raise  # the call's own
            raise DatabaseError(f"{self._name}: no answer in time") from None
