"""Handing a logged-in client from the login process to a worker.

The login process sends one frame per client over the worker's UNIX socket, with the client's
descriptor attached to it (SCM_RIGHTS, unix(7)): the TCP socket itself, or under TLS one end of a
socket pair whose other end it relays (`runtime.relay`).  The worker finishes the login and
answers with a `HandoffReply`; only a reply that is ok means that the client is no longer the login
process's.  Requests are numbered and many may be under way on one connection.

The one trick: a stream socket never joins bytes across attached descriptors in one recvmsg, so
the n-th descriptor belongs to the n-th frame, and no message boundary is needed.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from pillarbox.events.event import Scope
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.service import ServiceContext

REPLY_TIMEOUT: Final = 60.0
MAX_FDS: Final = 64
READ_SIZE: Final = 256 * 1024
_FD_SIZE: Final = array.array("i").itemsize


class HandoffError(Exception):
    """The worker could not be reached, or gave no answer.

    ``ambiguous``: it may have got the client and even answered it, so the connection cannot be
    used any more.
    """

    def __init__(self, text: str, ambiguous: bool) -> None:
        super().__init__(text)
        self.ambiguous = ambiguous


class Handoff(msgspec.Struct, kw_only=True):
    """All that a worker must know of a client that it takes over.

    ``hello`` is the name that the client gave itself in SMTP.

    ``tag`` is the login command's, ``auth_id``, ``auth_pid`` and ``auth_cookie`` name the
    authentication for the master lookup, ``sasl_final`` is the mechanism's last word where the
    protocol sends it with the success, ``input`` is what was read after the login command,
    ``net_in`` and ``net_out`` what was counted so far, ``started`` the monotonic clock in
    nanoseconds when the client connected.  Under TLS, or with ``relayed``, the descriptor is a
    socket pair's.
    """

    service: str
    tag: str
    session: str
    auth_id: int
    auth_pid: int
    auth_cookie: str
    local_ip: str | None = None
    local_port: int | None = None
    remote_ip: str | None = None
    remote_port: int | None = None
    real_local_ip: str | None = None
    real_local_port: int | None = None
    real_remote_ip: str | None = None
    real_remote_port: int | None = None
    mechanism: str = ""
    tls: bool = False
    relayed: bool = False
    secured: bool = False
    tls_protocol: str | None = None
    tls_cipher: str | None = None
    tls_cipher_bits: int | None = None
    tls_pfs: str | None = None
    local_name: str | None = None
    client_id: str | None = None
    hello: str = ""
    sasl_final: bytes | None = None
    input: bytes = b""
    compress: bool = False
    net_in: int = 0
    net_out: int = 0
    started: int = 0

    def scope(self, parent: Scope) -> Scope:
        """A scope of the session, begun when the client connected; the user is not known yet."""
        scope = Scope(
            parent,
            (),
            (),
            session=self.session,
            service=self.service,
            local_ip=self.local_ip,
            local_port=self.local_port,
            remote_ip=self.remote_ip,
            remote_port=self.remote_port,
            real_local_ip=self.real_local_ip,
            real_local_port=self.real_local_port,
            real_remote_ip=self.real_remote_ip,
            real_remote_port=self.real_remote_port,
        )
        if self.started:
            scope.started = self.started
        return scope


class HandoffReply(msgspec.Struct):
    """The worker's answer.

    ``code`` of a refusal: "connection_limit", "process_full", "internal_failure", "in_use",
    "login_delay", "mailbox_broken", "authorization_failed" or "user_disabled"; ``text`` is safe to
    show to the client; ``pid`` is the worker's process and ``user`` the name that the session has.
    """

    ok: bool
    code: str = ""
    text: str = ""
    pid: int = 0
    user: str = ""


class _Request(msgspec.Struct, array_like=True):
    number: int
    handoff: Handoff


class _Answer(msgspec.Struct, array_like=True):
    number: int
    reply: HandoffReply


class _Client:
    """One connection of a login process to one worker."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._path = path
        self._sock: socket.socket | None = None
        self._reader = FrameReader(_Answer)
        self._waiting: dict[int, asyncio.Future[HandoffReply]] = {}
        self._number = 0
        self._sending = asyncio.Lock()

    async def request(self, fd: int, handoff: Handoff) -> HandoffReply:
        async with self._sending:
            sock = self._sock or await self._connect()
            self._number += 1
            number = self._number
            answer: asyncio.Future[HandoffReply] = self._loop.create_future()
            self._waiting[number] = answer
            await self._send(sock, encode_frame(_Request(number, handoff)), fd)
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                return await answer
        except TimeoutError:
            raise HandoffError("no answer from the worker", True) from None
        finally:
            self._waiting.pop(number, None)

    async def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, self._path)
        except OSError as error:
            sock.close()
            raise HandoffError(f"{self._path}: {error.strerror}", False) from error
        self._sock = sock
        self._reader = FrameReader(_Answer)
        self._loop.add_reader(sock.fileno(), self._readable, sock)
        return sock

    async def _send(self, sock: socket.socket, frame: bytes, fd: int) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        at = 0
        while at < len(frame):
            if self._sock is not sock:
                raise HandoffError("the worker is gone", at > 0)
            try:
                at += sock.sendmsg([memoryview(frame)[at:]], ancillary if at == 0 else [])
            except (BlockingIOError, InterruptedError):
                await _writable(self._loop, sock)
            except OSError as error:
                # Part of a frame on the wire makes the stream useless for everybody on it.
                self.close(f"{self._path}: {error.strerror}")
                raise HandoffError(f"{self._path}: {error.strerror}", at > 0) from error

    def _readable(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close("the worker is gone")
            return
        try:
            for answer in self._reader.feed(data):
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer.reply)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            self.close(f"bad answer from the worker: {error}")

    def close(self, why: str) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(HandoffError(why, True))


class HandoffClient:
    """All connections of one login process to workers, by path of the worker's socket."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}

    async def send(self, path: Path | str, fd: int, handoff: Handoff) -> HandoffReply:
        """Hand over a descriptor; the caller still owns (and closes) its own.

        Raises HandoffError.
        """
        key = str(path)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _Client(key, asyncio.get_running_loop())
        return await client.request(fd, handoff)

    def close(self) -> None:
        """Close the connections to workers; what is under way fails."""
        for client in self._clients.values():
            client.close("closed")
        self._clients.clear()


async def send_client(path: Path | str, fd: int, handoff: Handoff) -> HandoffReply:
    """Hand over one descriptor on a connection of its own.  Raises HandoffError."""
    client = HandoffClient()
    try:
        return await client.send(path, fd, handoff)
    finally:
        client.close()


OnClient = Callable[[socket.socket, Handoff], Awaitable[HandoffReply]]


class HandoffServer:
    """The worker's side: takes clients from login processes on its listening socket.

    ``on_client(sock, handoff)`` owns the socket (non-blocking) and its closing, whatever it
    answers; an exception from it is an internal failure to the client and an error in the log,
    and closes the socket.  ``path`` is the listener's name, such as ``imap/0``.
    """

    def __init__(self, ctx: ServiceContext, path: str, on_client: OnClient) -> None:
        self._ctx = ctx
        self._on_client = on_client
        self._loop = asyncio.get_running_loop()
        self._listener = ctx.listener(path).sock
        self._channels: set[_Channel] = set()
        self._accepting = False

    def start(self) -> None:
        """Begin to accept login processes."""
        self._accepting = True
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop_accepting(self) -> None:
        """Accept no further login processes; those connected can still hand over."""
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def close(self) -> None:
        """Stop, and close the connections of login processes."""
        self.stop_accepting()
        for channel in list(self._channels):
            channel.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._ctx.log.error(self._ctx.scope, f"accept() failed: {error.strerror}")
            return
        sock.setblocking(False)
        self._channels.add(_Channel(self._ctx, self._loop, sock, self._on_client, self._channels))


class _Channel:
    """One login process's connection to this worker."""

    def __init__(
        self,
        ctx: ServiceContext,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_client: OnClient,
        owner: set[_Channel],
    ) -> None:
        self._ctx = ctx
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._on_client = on_client
        self._owner = owner
        self._reader = FrameReader(_Request)
        self._fds: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            data, ancillary, flags, _ = sock.recvmsg(
                READ_SIZE, socket.CMSG_SPACE(MAX_FDS * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary, flags = b"", [], 0
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(value[: len(value) - len(value) % _FD_SIZE])
                self._fds.extend(fds)
        if flags & socket.MSG_CTRUNC:
            # Descriptors were lost (too many open files): which belongs to whom is unknown.
            self._ctx.log.error(self._ctx.scope, "Handoff: descriptors lost, too many open files")
            self.close()
            return
        if not data:
            self.close()
            return
        try:
            for request in self._reader.feed(data):
                self._take(request)
        except (FrameTooLong, msgspec.MsgspecError, IndexError) as error:
            self._ctx.log.error(self._ctx.scope, f"Handoff: bad request: {error}")
            self.close()

    def _take(self, request: _Request) -> None:
        sock = socket.socket(fileno=self._fds.popleft())
        sock.setblocking(False)
        task = self._loop.create_task(self._handle(request.number, sock, request.handoff))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, number: int, sock: socket.socket, handoff: Handoff) -> None:
        try:
            reply = await self._on_client(sock, handoff)
        except Exception as error:
            scope = handoff.scope(self._ctx.scope)
            self._ctx.log.error(scope, f"Handoff failed: {type(error).__name__}: {error}")
            sock.close()
            reply = HandoffReply(False, "internal_failure", "Internal error occurred.")
        except BaseException:
            sock.close()
            raise
        if not reply.pid:
            reply.pid = os.getpid()
        await self._answer(encode_frame(_Answer(number, reply)))

    async def _answer(self, frame: bytes) -> None:
        async with self._sending:
            sock = self._sock
            if sock is None:
                return
            try:
                await self._loop.sock_sendall(sock, frame)
            except OSError:
                self.close()

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        while self._fds:
            os.close(self._fds.popleft())
        self._owner.discard(self)


async def _writable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    fd = sock.fileno()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(fd, wake)
    try:
        await ready
    finally:
        if sock.fileno() == fd:
            loop.remove_writer(fd)
