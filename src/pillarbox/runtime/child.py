"""The program that every service process runs: ``python -m pillarbox.runtime.child <fd>``.

It reads its `Bootstrap` from the inherited descriptor, gives up what it must not keep
(`runtime.privileges`), sends its log to the master, makes the `ServiceContext`, starts the stats
agent and runs the service.  The service's module is imported last, so a process loads only what
its service needs.  When the service has returned, or the master is gone, the process ends.

Signals: SIGTERM stops it like the master's Stop; SIGINT and SIGHUP are the master's business.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop

from pillarbox.runtime import debug_log
from pillarbox.runtime.control import (
    Answer,
    Bootstrap,
    FromChild,
    Question,
    Ready,
    Reload,
    Retire,
    Stop,
    ToChild,
)
from pillarbox.runtime.describe import place
from pillarbox.runtime.dns_client import dns
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.log import log
from pillarbox.runtime.log_pipe import PipeSink
from pillarbox.runtime.privileges import confine, raise_file_limit
from pillarbox.runtime.service import BoundListener, ListenerKind, ServiceContext
from pillarbox.settings.load import decode
from pillarbox.settings.model import Settings

PR_SET_NAME: Final = 15
GC_THRESHOLD: Final = 50_000
BLOCKING_THREADS: Final = 32


class Control:
    """The child's end of the channel to the master."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader: FrameReader[ToChild] = FrameReader(cast(type[ToChild], ToChild))
        self._early: list[ToChild] = []
        self._ctx: ServiceContext | None = None
        self._sending = asyncio.Lock()
        self._answers: set[asyncio.Task[None]] = set()

    def bootstrap(self) -> Bootstrap:
        """Wait for the first message.  Raises EOFError if the master is gone."""
        while True:
            data = self._sock.recv(65536)
            if not data:
                raise EOFError("no bootstrap")
            messages = list(self._reader.feed(data))
            if messages:
                first, *self._early = messages
                if not isinstance(first, Bootstrap):
                    raise ValueError(f"first message is {type(first).__name__}")
                return first

    def attach(self, ctx: ServiceContext) -> None:
        """Follow the master's orders from now on."""
        self._ctx = ctx
        self._sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._readable)
        for message in self._early:
            self._obey(ctx, message)

    async def ready(self) -> None:
        """Tell the master that the service serves."""
        await self._send(Ready())

    async def _send(self, message: FromChild) -> None:
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._sock, encode_frame(message))

    def _readable(self) -> None:
        ctx = self._ctx
        assert ctx is not None
        try:
            data = self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            ctx.shutdown.set()
            return
        try:
            for message in self._reader.feed(data):
                self._obey(ctx, message)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            ctx.log.error(ctx.scope, f"Bad message from the master: {error}")

    def _obey(self, ctx: ServiceContext, message: ToChild) -> None:
        if isinstance(message, Stop):
            ctx.shutdown.set()
        elif isinstance(message, Retire):
            ctx.retiring.set()
        elif isinstance(message, Reload):
            ctx.reload(decode(message.settings))
        elif isinstance(message, Question):
            answer = Answer(message.id, ctx.answer(message.name, message.arguments))
            task = asyncio.get_running_loop().create_task(self._send(answer))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)


def make_context(start: Bootstrap, ready: Callable[[], Any]) -> ServiceContext:
    """The context that a bootstrap describes."""
    listeners = [
        BoundListener(
            socket.socket(fileno=entry.fd),
            entry.name,
            cast(ListenerKind, entry.kind),
            entry.ssl,
            entry.haproxy,
        )
        for entry in start.listeners
    ]
    for listener in listeners:
        listener.sock.setblocking(False)
    return ServiceContext(
        name=start.name,
        settings=decode(start.settings),
        base_dir=Path(start.base_dir),
        index=start.index,
        processes=start.processes,
        client_limit=start.client_limit,
        listeners=listeners,
        peers=start.peers,
        log=log,
        on_ready=ready,
    )


async def _serve(start: Bootstrap, control: Control, sink: PipeSink) -> None:
    loop = asyncio.get_running_loop()
    # Threads of a worker wait for disks, so there may be many more of them than cores.
    loop.set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS, "blocking"))
    sink.attach(loop)
    ctx = make_context(start, control.ready)
    log.set_level("debug" if ctx.settings.log_debug else "info")
    loop.add_signal_handler(signal.SIGTERM, ctx.shutdown.set)
    loop.set_exception_handler(lambda _loop, context: _report(ctx, context))
    control.attach(ctx)
    debug_log.follow(ctx)
    _use_dns(ctx)
    service = importlib.import_module(start.module)
    agent = _start_stats_agent(ctx)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    try:
        await service.run(ctx)
    finally:
        close = getattr(agent, "close", None)
        if close is not None:
            closing = close()
            if asyncio.iscoroutine(closing):
                await closing


def _use_dns(ctx: ServiceContext) -> None:
    """Have lookups asked of this server's DNS worker."""

    def apply(settings: Settings) -> None:
        dns.use(ctx.base_dir, settings.dns_client_timeout)

    apply(ctx.settings)
    ctx.on_reload(apply)


def _start_stats_agent(ctx: ServiceContext) -> Any:
    """Begin to take part in events, unless this is the service that collects them."""
    if ctx.name == "stats":
        return None
    try:
        agent = importlib.import_module("pillarbox.runtime.stats_agent")
    except ModuleNotFoundError:
        return None
    return agent.start_agent(ctx)


def _report(ctx: ServiceContext, context: dict[str, Any]) -> None:
    """What asyncio would print: an exception that nobody waited for."""
    error = context.get("exception")
    text = str(context.get("message", "error in the event loop"))
    if error is not None:
        text += f": {type(error).__name__}: {error}{place(error)}"
    ctx.log.error(ctx.scope, text)


def _set_name(name: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, name[:15].encode("ascii", "replace"), 0, 0, 0)


def main() -> int:
    """Run one service process; the exit code is 0 when it ended as it should."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control = Control(socket.socket(fileno=int(sys.argv[1])))
    start = control.bootstrap()
    confine(start.master_pid)
    raise_file_limit()
    title = start.name.replace("_", "-")
    _set_name(f"{title}/{start.index}")
    sink = PipeSink(start.log_fd)
    log.service = title
    log.sink = sink
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(start, control, sink))
    except Exception as error:
        log.fatal(None, f"{type(error).__name__}: {error}{place(error)}")
        return 1
    finally:
        sink.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
