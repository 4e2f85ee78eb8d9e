"""What all processes must know of each other: the client of the anvil service.

Anvil counts connections, wrong passwords and what users send, and knows which servers behind the
proxy are down.

`AnvilClient.connect` asks for one more connection of a user from an address and gets yes or no in
one atomic step; `disconnect` gives it back.  Whatever this process registered is released by anvil
when this client's connection closes, so a worker that dies holds nothing.

Limits must not turn into an outage: while anvil cannot be reached everybody is let in, the log
says so once, and when anvil is back all sessions of this process are registered again.  Requests
are answered in order, so pipelining needs no numbers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from pillarbox.events.event import Scope
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.log import Log
from pillarbox.runtime.log import log as process_log

RETRY_SECONDS: Final = 1.0
ANSWER_TIMEOUT: Final = 5.0


class AnvilSession(msgspec.Struct, array_like=True, frozen=True):
    """One counted session: whose, of which service, from where, in which process."""

    session: str
    user: str
    service: str
    ip: str
    pid: int = 0
    since: float = 0.0


class Connect(msgspec.Struct, tag="connect", frozen=True):
    """Count a session unless user, service and ip have ``limit`` already (0: always count)."""

    session: AnvilSession
    limit: int = 0


class Disconnect(msgspec.Struct, tag="disconnect", frozen=True):
    """A session ended."""

    session: str


class Who(msgspec.Struct, tag="who", frozen=True):
    """List sessions, all or those of one user."""

    user: str | None = None


class Failures(msgspec.Struct, tag="failures", frozen=True):
    """How often did logins under these keys fail in the last ``expire`` seconds?"""

    keys: list[str]
    expire: float


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """A login under these keys failed; the same checksum again counts once."""

    keys: list[str]
    checksum: bytes
    expire: float


class Forgive(msgspec.Struct, tag="forgive", frozen=True):
    """Forget the failures under these keys."""

    keys: list[str]


class Penalised(msgspec.Struct, tag="penalised", frozen=True):
    """List the keys whose logins failed most in the last ``expire`` seconds."""

    expire: float


class Penalty(msgspec.Struct, array_like=True, frozen=True):
    """A key, its failures, and the seconds since the last one."""

    key: str
    failures: int
    since: float


class TryHost(msgspec.Struct, tag="try_host", frozen=True):
    """May a session (``trial``) try to reach this server, as ``host:port``?"""

    host: str
    trial: str


class TriedHost(msgspec.Struct, tag="tried_host", frozen=True):
    """Whether it was reached; None: nobody knows."""

    host: str
    trial: str
    reached: bool | None


class DownHosts(msgspec.Struct, tag="down_hosts", frozen=True):
    """List the servers that are down."""


class DownHost(msgspec.Struct, array_like=True, frozen=True):
    """A server, the seconds since it was last found down, and whether somebody tries it now."""

    host: str
    since: float
    tried: bool


class Count(msgspec.Struct, tag="count", frozen=True):
    """Count one more under this key unless there were ``limit`` in the last ``period`` seconds."""

    key: str
    limit: int
    period: float


Request = (
    Connect
    | Disconnect
    | Who
    | Failures
    | Failed
    | Forgive
    | Penalised
    | TryHost
    | TriedHost
    | DownHosts
    | Count
)


class Answer(msgspec.Struct, frozen=True):
    """``ok`` False: over the limit, or not to be tried.

    ``sessions`` answers Who, ``failures`` Failures, ``penalties`` Penalised, ``hosts`` DownHosts.
    """

    ok: bool = True
    sessions: list[AnvilSession] = []
    failures: int = 0
    penalties: list[Penalty] = []
    hosts: list[DownHost] = []


class AnvilClient:
    """One process's connection to anvil."""

    def __init__(self, path: Path, log: Log = process_log, scope: Scope | None = None) -> None:
        self._path = path
        self._log = log
        self._scope = scope
        self._sessions: dict[str, AnvilSession] = {}
        self._waiting: deque[asyncio.Future[Answer] | None] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()
        self._complained = False

    def start(self) -> None:
        """Connect, and connect again whenever the connection is lost, until `close`."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Close the connection: anvil forgets this process's sessions."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def connect(self, user: str, service: str, ip: str, session: str, limit: int) -> bool:
        """Count a session; False if ``limit`` (0: none) of this user, service and ip exist.

        True also while anvil cannot be reached.
        """
        self.start()
        await self._attempted.wait()
        entry = AnvilSession(session, user, service, ip)
        if self._writer is None:
            self._sessions[session] = entry
            return True
        try:
            answer = await self._ask(Connect(entry, limit))
        except (ConnectionError, TimeoutError):
            self._sessions[session] = entry
            return True
        if answer.ok:
            self._sessions[session] = entry
        return answer.ok

    def disconnect(self, session: str) -> None:
        """A session ended; harmless if it was never counted."""
        if self._sessions.pop(session, None) is not None and self._writer is not None:
            self._tell(Disconnect(session))

    async def who(self, user: str | None = None) -> list[AnvilSession]:
        """All counted sessions, or those of one user.  Raises ConnectionError, TimeoutError."""
        self.start()
        await self._attempted.wait()
        return (await self._ask(Who(user))).sessions

    async def failures(self, keys: list[str], expire: float) -> int:
        """The most failed logins under one of these keys; 0 also while anvil cannot be reached."""
        self.start()
        await self._attempted.wait()
        try:
            return (await self._ask(Failures(keys, expire))).failures
        except (ConnectionError, TimeoutError):
            return 0

    def failed(self, keys: list[str], checksum: bytes, expire: float) -> None:
        """A login under these keys failed."""
        self._tell(Failed(keys, checksum, expire))

    def forgive(self, keys: list[str]) -> None:
        """A login proved that these keys are no guesser's."""
        self._tell(Forgive(keys))

    async def penalised(self, expire: float) -> list[Penalty]:
        """Whose logins failed, the worst first.  Raises ConnectionError, TimeoutError."""
        self.start()
        await self._attempted.wait()
        return (await self._ask(Penalised(expire))).penalties

    async def pardon(self, keys: list[str]) -> None:
        """`forgive`, and be sure of it.  Raises ConnectionError, TimeoutError."""
        self.start()
        await self._attempted.wait()
        await self._ask(Forgive(keys))

    async def try_host(self, host: str, trial: str) -> bool:
        """Whether this server may be tried now; True also while anvil cannot be reached."""
        self.start()
        await self._attempted.wait()
        try:
            return (await self._ask(TryHost(host, trial))).ok
        except (ConnectionError, TimeoutError):
            return True

    def tried_host(self, host: str, trial: str, reached: bool | None) -> None:
        """What came of an attempt that `try_host` allowed."""
        self._tell(TriedHost(host, trial, reached))

    async def down_hosts(self) -> list[DownHost]:
        """Which servers are down.  Raises ConnectionError, TimeoutError."""
        self.start()
        await self._attempted.wait()
        return (await self._ask(DownHosts())).hosts

    async def count(self, key: str, limit: int, period: float) -> bool:
        """Count one more under this key; False if ``limit`` were counted in ``period`` seconds.

        True also while anvil cannot be reached.
        """
        self.start()
        await self._attempted.wait()
        try:
            return (await self._ask(Count(key, limit, period))).ok
        except (ConnectionError, TimeoutError):
            return True

    def _tell(self, request: Request) -> None:
        if self._writer is not None:
            self._waiting.append(None)
            self._writer.write(encode_frame(request))

    async def _ask(self, request: Request) -> Answer:
        writer = self._writer
        if writer is None:
            raise ConnectionError("anvil is not reachable")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        writer.write(encode_frame(request))
        async with asyncio.timeout(ANSWER_TIMEOUT):
            return await answer

    async def _run(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError as error:
                self._complain(f"{error.strerror}; nothing is limited meanwhile")
                self._attempted.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._complained = False
            self._writer = writer
            for entry in self._sessions.values():
                self._waiting.append(None)
                writer.write(encode_frame(Connect(entry)))
            self._attempted.set()
            try:
                await self._read(reader)
            except (OSError, FrameTooLong, msgspec.MsgspecError, IndexError) as error:
                self._complain(str(error))
            finally:
                self._lost(writer)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader(Answer)
        while data := await reader.read(65536):
            for answer in frames.feed(data):
                waiting = self._waiting.popleft()
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)

    def _lost(self, writer: asyncio.StreamWriter) -> None:
        self._writer = None
        writer.close()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(ConnectionError("anvil is gone"))

    def _complain(self, text: str) -> None:
        if not self._complained:
            self._complained = True
            self._log.warning(self._scope, f"anvil ({self._path}): {text}")
