"""A program that waits behind a UNIX socket: what it is told, and what it answers.

It is told the arguments one to a line, an empty line, and then the input until we close our half.
It sends its output and then, as the last line, its exit status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.outgoing import Destination, ServerConnection

CONNECT_TIMEOUT: Final = 10.0


class TooMuchOutput(Exception):
    """It said more than anybody wants to hear."""


class NoStatus(Exception):
    """Its last line is no exit status."""


class ProgramConnection(ServerConnection):
    """One question to one program; ``most`` is the largest answer, in octets."""

    def __init__(self, parent: Scope, log: Log, most: int) -> None:
        super().__init__(parent, log)
        self._most = most
        self._size = 0
        self._pieces: list[bytes] = []
        self._over: asyncio.Future[None] = self._loop.create_future()

    def received(self, data: bytes) -> None:
        """A piece of the answer."""
        self._size += len(data)
        if self._size > self._most:
            self.abort("Too much output")
        else:
            self._pieces.append(data)

    def closed(self, reason: str) -> None:
        """The answer is whole, or never will be."""
        if not self._over.done():
            self._over.set_result(None)

    async def ask(
        self, socket: Path, arguments: Sequence[str], data: bytes | None
    ) -> tuple[int, bytes]:
        """Exit status and output.  Raises OSError, TooMuchOutput, NoStatus."""
        await self.open(Destination(path=str(socket)), timeout=CONNECT_TIMEOUT)
        try:
            head = "".join(f"{argument}\n" for argument in arguments) + "\n"
            self.send(head.encode("utf-8", "surrogateescape"), data or b"")
            self.flush()
            if self.transport is not None:
                self.transport.write_eof()
            await self._over
        finally:
            self.abort("Cancelled")
        if self._size > self._most:
            raise TooMuchOutput
        output, _, last = b"".join(self._pieces).removesuffix(b"\n").rpartition(b"\n")
        if not last.isdigit() or len(last) > 3:
            raise NoStatus
        return int(last), output + b"\n" if output else b""
