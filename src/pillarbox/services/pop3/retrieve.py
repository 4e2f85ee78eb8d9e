"""RETR and TOP: a message, or the beginning of it, as a multi-line reply.

A small message leaves with its status line and final dot in one write, and without a task if the
kernel has it at hand.  A big one is stuffed and sent piece by piece, each when the client has read
what came before.  A message that cannot be read is an error before anything of it was sent; nothing
can fail later but the connection.

`quickly` is `retr` without what only watchers need: no parsed command, no `Run`, no scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.catalogue.pop3 import pop3_command_finished
from pillarbox.mail.buffer import Buffer
from pillarbox.mailstore.errors import MailError
from pillarbox.services.pop3.run import Run, Work
from pillarbox.wire.pop3 import message
from pillarbox.wire.pop3.command import Message, Top
from pillarbox.wire.pop3.response import END, ok

if TYPE_CHECKING:
    from pillarbox.services.pop3.session import Pop3Session

_RETR: Final = re.compile(rb"(?i:RETR) ([0-9]{1,9})(?:\r?\n)?").fullmatch


def retr(run: Run) -> Work | None:
    """RETR (RFC 1939 section 5)."""
    assert isinstance(run.args, Message)
    maildrop = run.session.maildrop
    index = maildrop.index(run.args.number or 0)
    data = maildrop.at_hand(index)
    if data is None:
        return _retr(run, index)
    maildrop.opened(run.scope, index)
    _retr_now(run.session, index, data)
    return None


def quickly(session: Pop3Session, line: bytes) -> bool:
    """Carry out a RETR of a message that is at hand, if nobody wants to hear of the command.

    False if it is anything else: nothing is done then, and the ordinary way is the one to take.
    The line may have its end or not.
    """
    match = _RETR(line)
    if match is None or pop3_command_finished.emit is not None:
        return False
    if mail_opened.emit is not None and mail_opened.scoped:
        return False
    maildrop = session.maildrop
    index = int(match[1]) - 1
    if not 0 <= index < maildrop.count or index in maildrop.deleted:
        return False
    try:
        data = maildrop.at_hand(index)
    except MailError:  # The ordinary way will say so.
        return False
    if data is None:
        return False
    maildrop.opened(session.scope, index)
    _retr_now(session, index, data)
    session.bad_commands = 0
    return True


def _retr_now(session: Pop3Session, index: int, data: Buffer) -> None:
    maildrop, counts = session.maildrop, session.counts
    maildrop.touch(index)
    if session.workarounds:
        data = _worked_around(bytes(data), session.workarounds)
    reply = message.reply(b"+OK %d octets\r\n" % maildrop.sizes[index], data)
    session.send(reply)
    counts.retr_count += 1
    counts.retr_bytes += len(reply)


async def _retr(run: Run, index: int) -> None:
    session = run.session
    data = await _read(run, index)
    sent = session.sent
    session.maildrop.touch(index)
    body: Buffer = data
    if session.workarounds:
        body = _worked_around(bytes(data), session.workarounds)
    status = b"+OK %d octets\r\n" % session.maildrop.sizes[index]
    await _send(run, status, message.pieces(body))
    session.counts.retr_count += 1
    session.counts.retr_bytes += session.sent - sent


def top(run: Run) -> Work:
    """TOP (RFC 1939 section 7); it does not count as fetching."""
    assert isinstance(run.args, Top)
    return _top(run, run.session.maildrop.index(run.args.number), run.args.lines)


async def _top(run: Run, index: int, lines: int) -> None:
    session = run.session
    data = bytes(await _read(run, index))
    sent = session.sent
    if session.workarounds:
        data = _worked_around(data, session.workarounds)
    await _send(run, ok(), message.pieces(message.top(data, lines)))
    session.counts.top_count += 1
    session.counts.top_bytes += session.sent - sent


async def _read(run: Run, index: int) -> memoryview:
    session = run.session
    await session.ahead.ready(index)
    return await session.maildrop.read(run.scope, index)


async def _send(run: Run, status: bytes, pieces: Iterable[bytes]) -> None:
    """Status line, message and final dot; what is small together."""
    session = run.session
    waiting = [status]
    for piece in pieces:
        if len(piece) < message.PIECE:
            waiting.append(piece)
            continue
        session.send(*waiting, piece)
        waiting = []
        await session.breathe()
    session.send(*waiting, END)


def _worked_around(data: bytes, workarounds: frozenset[str]) -> bytes:
    if "outlook-no-nuls" in workarounds:
        data = message.without_nuls(data)
    if "oe-ns-eoh" in workarounds:
        data = message.with_header_end(data)
    return data
