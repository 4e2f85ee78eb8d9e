"""RETR and TOP: a message, or the beginning of it, as a multi-line reply.

A small message leaves with its status line and final dot in one write, and without a task if the
kernel has it at hand.  A big one is stuffed and sent piece by piece, each when the client has read
what came before.  A message that cannot be read
is an error before anything of it was sent; nothing can fail later but the connection.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.services.pop3.run import Run, Work
from pillarbox.wire.pop3 import message
from pillarbox.wire.pop3.command import Message, Top
from pillarbox.wire.pop3.response import END, ok


def retr(run: Run) -> Work | None:
    """RETR (RFC 1939 section 5)."""
    assert isinstance(run.args, Message)
    maildrop = run.session.maildrop
    index = maildrop.index(run.args.number or 0)
    if maildrop.sizes[index] < message.PIECE:
        data = maildrop.read_now(run.scope, index)
        if data is not None:
            _retr_now(run, index, data)
            return None
    return _retr(run, index)


def _retr_now(run: Run, index: int, data: memoryview) -> None:
    session = run.session
    sent = session.sent
    status, pieces = _answer(run, index, data)
    session.send(status, *pieces, END)
    _sent(run, session.sent - sent)


async def _retr(run: Run, index: int) -> None:
    session = run.session
    data = await _read(run, index)
    sent = session.sent
    await _send(run, *_answer(run, index, data))
    _sent(run, session.sent - sent)


def _answer(run: Run, index: int, data: memoryview) -> tuple[bytes, Iterable[bytes]]:
    """The status line and the message; that the client has fetched it is noted."""
    session = run.session
    session.maildrop.touch(index)
    body: bytes | memoryview = data
    if session.workarounds:
        body = _worked_around(bytes(data), session.workarounds)
    return b"+OK %d octets\r\n" % session.maildrop.sizes[index], message.pieces(body)


def _sent(run: Run, size: int) -> None:
    run.session.counts.retr_count += 1
    run.session.counts.retr_bytes += size


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
