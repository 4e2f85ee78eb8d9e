"""Databases behind a network: connections that are kept, failover, replicas, time limits.

A driver says how to open a connection (`SqlPool.open_link`); everything else is here.  Each server
has up to a limit of connections, which are reused.  Queries go to the replicas in turn, if there
are any, and to the main servers when none of these can be reached; transactions go to the first
main server that works and can be written.  A server that cannot be reached is left alone for a
while, longer each time.

What was lost with its connection is done again, on this server or the next, as long as that is
certain to be harmless: queries always, transactions unless they were being committed.  What got
no answer in time is not done again.

The one trick: a connection that fails was maybe only idle for too long, so a failure on a reused
one throws all idle ones of its server away and says nothing against the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from pillarbox.drivers.sql.api import Portions, Row, SqlError, Statement, Value
from pillarbox.drivers.sql_events import told_query, told_transaction
from pillarbox.events.catalogue.sql import sql_connection_finished
from pillarbox.events.event import Scope

T = TypeVar("T")
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
STATEMENTS_KEPT: Final = 100
_SILENT: Final = "ETIMEDOUT"
_READ_ONLY: Final = frozenset({"25006", "1290", "1836"})


class Link(Protocol):
    """One connection to a server."""

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""

    async def query(self, sql: str, params: Sequence[Value]) -> list[Row]:
        """As `Sql.query`."""

    def portions(self, sql: str, params: Sequence[Value]) -> Portions:
        """As `Sql.portions`; it may be left in the middle only together with the connection."""

    async def transaction(self, statements: Sequence[Statement]) -> int:
        """As `Sql.transaction`."""

    async def close(self) -> None:
        """Say goodbye and hang up."""

    def terminate(self) -> None:
        """Hang up at once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a host and port, or the path of a UNIX socket (or its folder)."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def address_of(text: str, port: int) -> Address:
    """``name``, ``name:port``, ``[ip6]:port``, an address, or a path.  Raises ValueError."""
    if text.startswith("/"):
        return Address("", port, text)
    host, colon, number = text.rpartition(":")
    if text.startswith("["):
        if text.endswith("]"):
            return Address(text[1:-1], port)
        host = host.removeprefix("[").removesuffix("]")
    elif not colon or text.count(":") > 1:
        return Address(text, port)
    if not host or not number.isdecimal() or not 0 < int(number) < 65536:
        raise ValueError(f"{text!r} is no server: write name, name:port or a path")
    return Address(host, int(number))


class _Server:
    """One server with its connections, and how long to leave it alone."""

    def __init__(self, address: Address, limit: int) -> None:
        self.address = address
        self.idle: list[tuple[Link, Scope]] = []
        self.free = asyncio.Semaphore(limit)
        self.rests_until = 0.0
        self._failure: tuple[str, str | None] = ("", None)
        self._pause = FIRST_PAUSE

    def failed(self, error: SqlError, now: float) -> None:
        """It could not be reached."""
        self._failure = (str(error), error.code)
        self.rests_until = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def error(self) -> SqlError:
        """Why it rests; a new exception each time, since one that is kept grows when raised."""
        return SqlError(*self._failure)

    def works(self) -> None:
        """It could."""
        self._pause, self.rests_until = FIRST_PAUSE, 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections per server, and seconds to wait for a connection and for an answer."""

    connections: int
    connect: float
    answer: float


class SqlPool:
    """See the module; a driver inherits from it."""

    name = ""

    def __init__(
        self, hosts: Sequence[Address], replicas: Sequence[Address], limits: Limits
    ) -> None:
        if not hosts:
            raise ValueError(f"{self.name}_host names no server")
        self._limits = limits
        self._main = [_Server(address, limits.connections) for address in hosts]
        self._replicas = [_Server(address, limits.connections) for address in replicas]
        self._turn = 0
        self._categories = ("sqlpool", self.name)

    def placeholder(self, index: int) -> str:
        """As `Sql.placeholder`."""
        raise NotImplementedError

    async def open_link(self, address: Address) -> Link:
        """Connect.  Raises SqlError."""
        raise NotImplementedError

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Rows of one query."""
        with told_query(scope, self._categories, sql):
            return await self._anywhere(self._readers(), lambda link: link.query(sql, params))

    async def portions(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> Portions:
        """Portions, read one ahead by a task that has the connection."""
        queue: asyncio.Queue[list[Row] | None] = asyncio.Queue(1)

        async def read() -> None:
            def work(link: Link) -> Awaitable[None]:
                return self._pass_on(link, sql, params, queue)

            try:
                await self._anywhere(self._readers(), work, timed=False)
            except Exception:
                await queue.put(None)
                raise
            await queue.put(None)

        task = asyncio.get_running_loop().create_task(read())
        with told_query(scope, self._categories, sql):
            try:
                while (rows := await queue.get()) is not None:
                    yield rows
                await task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """All statements or none."""
        with told_transaction(scope, self._categories):
            return await self._anywhere(iter(self._main), lambda link: link.transaction(statements))

    async def _pass_on(
        self,
        link: Link,
        sql: str,
        params: Sequence[Value],
        queue: asyncio.Queue[list[Row] | None],
    ) -> None:
        """All portions; what has begun to be passed on cannot be begun again elsewhere."""
        begun = False
        portions = link.portions(sql, params)
        try:
            while True:
                async with asyncio.timeout(self._limits.answer):
                    rows = await anext(portions, None)
                if rows is None:
                    return
                await queue.put(rows)
                begun = True
        except SqlError as error:
            raise SqlError(str(error), error.code, uncertain=begun) from error
        finally:
            await portions.aclose()

    async def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        self._limits = Limits(0, self._limits.connect, self._limits.answer)
        for server in (*self._main, *self._replicas):
            while server.idle:
                link, scope = server.idle.pop()
                await link.close()
                _ended(scope)

    def _readers(self) -> Iterator[_Server]:
        """Servers for a query, the best first."""
        if self._replicas:
            self._turn = (self._turn + 1) % len(self._replicas)
            yield from self._replicas[self._turn :]
            yield from self._replicas[: self._turn]
        yield from self._main

    async def _anywhere(
        self,
        servers: Iterator[_Server],
        work: Callable[[Link], Awaitable[T]],
        *,
        timed: bool = True,
    ) -> T:
        """Do it on the first server that can, in time if ``timed``.  Raises SqlError."""
        now = asyncio.get_running_loop().time
        failure: SqlError | None = None
        for server in servers:
            if server.rests_until > now():
                failure = failure or server.error()
                continue
            for _ in range(2):
                try:
                    link, scope, reused = await self._take(server)
                except SqlError as error:
                    server.failed(error, now())
                    failure = error
                    break
                try:
                    return await self._use(server, link, scope, work, timed=timed)
                except SqlError as error:
                    failure = error
                    if error.code in _READ_ONLY:
                        break
                    if link.alive or error.uncertain:
                        raise
                    self._forget_idle(server)
                    if error.code == _SILENT:
                        server.failed(error, now())
                        raise
                    if not reused:
                        server.failed(error, now())
                        break
        raise failure or SqlError("no server")

    async def _take(self, server: _Server) -> tuple[Link, Scope, bool]:
        """A connection, and whether it had been used before."""
        try:
            async with asyncio.timeout(self._limits.answer):
                await server.free.acquire()
        except TimeoutError:
            text = f"{server.address}: all {self._limits.connections} connections are busy"
            raise SqlError(text, "EBUSY") from None
        try:
            while server.idle:
                link, scope = server.idle.pop()
                if link.alive:
                    return link, scope, True
                _ended(scope)
            async with asyncio.timeout(self._limits.connect):
                link = await self.open_link(server.address)
        except TimeoutError:
            server.free.release()
            raise SqlError(f"{server.address}: cannot connect in time", _SILENT) from None
        except BaseException:
            server.free.release()
            raise
        server.works()
        return link, Scope(None, self._categories), False

    async def _use(
        self,
        server: _Server,
        link: Link,
        scope: Scope,
        work: Callable[[Link], Awaitable[T]],
        *,
        timed: bool,
    ) -> T:
        """Do the work; the connection goes back to the idle ones if it may be used again."""
        sound = False
        try:
            async with asyncio.timeout(self._limits.answer if timed else None):
                result = await work(link)
            sound = True
            return result
        except SqlError:
            sound = link.alive
            raise
        except TimeoutError:
            link.terminate()
            raise SqlError(f"{server.address}: no answer in time", _SILENT) from None
        finally:
            if sound and link.alive and self._limits.connections:
                server.idle.append((link, scope))
            else:
                link.terminate()
                _ended(scope)
            server.free.release()

    @staticmethod
    def _forget_idle(server: _Server) -> None:
        while server.idle:
            link, scope = server.idle.pop()
            link.terminate()
            _ended(scope)


def _ended(scope: Scope) -> None:
    if sql_connection_finished.emit is not None:
        sql_connection_finished.emit(scope)
