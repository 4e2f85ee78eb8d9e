"""Reading ahead for a client that sends RETR after RETR without waiting.

A message that the kernel has in memory is read at once; one on the disk costs a thread.  So when
a client pipelines and a read had to wait, the messages that the waiting commands ask for are read
in one go in a thread, a batch of bounded size, and dropped: from then on the kernel has them.
The commands themselves read as always, so that events and errors are those of the command.
"""

from __future__ import annotations

import asyncio
from typing import Final

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.reading import batches, each
from pillarbox.services.pop3.maildrop import Maildrop
from pillarbox.wire.pop3.command import BadCommand, Message, parse_command

COMMANDS: Final = 64


class ReadAhead:
    """The batch that is being read for one session, if any."""

    def __init__(self) -> None:
        self._indexes: frozenset[int] = frozenset()
        self._done: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def begin(self, maildrop: Maildrop, scope: Scope, lines: list[bytes]) -> None:
        """Read what the lines ask for, unless a batch is under way."""
        if self._task is not None and not self._task.done():
            return
        indexes = [i for i in wanted(maildrop, lines) if i not in self._done]
        if not indexes:
            return
        positions = np.sort(maildrop.positions[indexes])
        first = next(batches(maildrop.view, positions))
        chosen = set(first.tolist())
        self._indexes = frozenset(i for i in indexes if int(maildrop.positions[i]) in chosen)
        self._done |= self._indexes
        self._task = asyncio.get_running_loop().create_task(_read(maildrop, scope, first))

    async def ready(self, index: int) -> None:
        """Wait for the batch if this message is in it."""
        if index in self._indexes and self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    def cancel(self) -> None:
        """The session is over."""
        if self._task is not None:
            self._task.cancel()


def wanted(maildrop: Maildrop, lines: list[bytes]) -> list[int]:
    """The messages that the first commands of a pipeline fetch, each once."""
    found: dict[int, None] = {}
    for line in lines:
        try:
            command = parse_command(line)
        except BadCommand:
            break
        if command.name == "DELE":
            continue
        if command.name != "RETR" or not isinstance(command.args, Message):
            break
        index = (command.args.number or 0) - 1
        if 0 <= index < maildrop.count and index not in maildrop.deleted:
            found[index] = None
    return list(found)


async def _read(maildrop: Maildrop, scope: Scope, positions: Positions) -> None:
    try:
        await each(maildrop.view, scope, positions, lambda index, message: None)
    except MailError:
        return  # The command that asks for the message will say so.
