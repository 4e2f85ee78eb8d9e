"""A service for tests of the master: answers lines with what its process knows."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys

from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.service import ServiceContext

PR_GET_NO_NEW_PRIVS = 39
PR_GET_PDEATHSIG = 2


class Obedient(Connection):
    """One command to a line."""

    __slots__ = ()

    def received(self, data: bytes) -> None:
        for line in data.decode().split():
            getattr(self, f"do_{line}")()

    def answer(self, *values: object) -> None:
        self.send(" ".join(map(str, values)).encode() + b"\n")

    def do_who(self) -> None:
        self.answer(os.getpid(), self.ctx.index, self.ctx.settings.login_greeting)

    def do_ids(self) -> None:
        self.answer(os.getuid(), os.geteuid(), os.getgid(), *os.getgroups())

    def do_prctl(self) -> None:
        libc = ctypes.CDLL(None)
        number = ctypes.c_int()
        libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
        self.answer(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), number.value)

    def do_die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_print(self) -> None:
        sys.stderr.write("printed by the service\n")
        sys.stderr.flush()
        self.answer("ok")

    def do_log(self) -> None:
        self.ctx.log.info(self.scope, "logged by the service")
        self.answer("ok")

    def shutting_down(self) -> None:
        self.send(b"bye\n")
        self.finish("Server shutting down")


async def run(ctx: ServiceContext) -> None:
    """Serve until told otherwise."""
    if ctx.settings.login_greeting == "broken":
        raise RuntimeError("this service cannot start")
    acceptor = Acceptor(ctx, lambda listener: Obedient(ctx, listener))
    acceptor.start()
    await ctx.ready()
    if ctx.settings.login_greeting == "stubborn":
        await asyncio.Event().wait()
    shutdown = asyncio.ensure_future(ctx.shutdown.wait())
    retiring = asyncio.ensure_future(ctx.retiring.wait())
    await asyncio.wait((shutdown, retiring), return_when=asyncio.FIRST_COMPLETED)
    if not shutdown.done():
        acceptor.retire()
        empty = asyncio.ensure_future(acceptor.wait_empty(None))
        await asyncio.wait((shutdown, empty), return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()
    await acceptor.close(1)
    shutdown.cancel()
    retiring.cancel()
