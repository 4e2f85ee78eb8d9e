"""The commands after login, but for those that fetch messages (see `retrieve`)."""

from __future__ import annotations

import math
from typing import Final

from pillarbox.services.pop3 import retrieve
from pillarbox.services.pop3.maildrop import deletes_by_flag
from pillarbox.services.pop3.run import Handler, Run, Work
from pillarbox.wire.pop3 import language
from pillarbox.wire.pop3.capability import capabilities
from pillarbox.wire.pop3.command import Lang, Message
from pillarbox.wire.pop3.response import END, Err, listing, ok

SLICE: Final = 4096
"""Messages of a LIST or UIDL that are written before others have their turn."""


def capa(run: Run) -> None:
    """CAPA (RFC 2449); nothing about logging in is told any more."""
    delay = math.ceil(run.session.settings.pop3_login_delay)
    run.session.send(listing("Capability list follows", capabilities(login_delay=delay)))


def dele(run: Run) -> None:
    """DELE: a mark, until QUIT."""
    assert isinstance(run.args, Message)
    maildrop = run.session.maildrop
    maildrop.deleted.add(maildrop.index(run.args.number or 0))
    run.session.send(ok("Marked to be deleted."))


def lang(run: Run) -> None:
    """LANG (RFC 6856 section 3)."""
    assert isinstance(run.args, Lang)
    run.session.send(language.reply(run.args))


def last(run: Run) -> None:
    """LAST (RFC 1460): the highest number that was fetched, in any session."""
    if not run.session.settings.pop3_enable_last:
        raise Err("LAST is not supported.")
    run.session.send(ok(str(run.session.maildrop.last)))


def listed(run: Run) -> Work | None:
    """LIST: sizes, of one message or of all."""
    assert isinstance(run.args, Message)
    maildrop = run.session.maildrop
    if run.args.number is not None:
        index = maildrop.index(run.args.number)
        run.session.send(ok(f"{run.args.number} {maildrop.sizes[index]}"))
        return None
    kept = maildrop.kept()
    return _list(run, ok(f"{len(kept)} messages:"), kept, b"%d %d\r\n", maildrop.sizes)


def noop(run: Run) -> None:
    """NOOP."""
    run.session.send(ok("NOOP"))


def rset(run: Run) -> Work | None:
    r"""RSET: no mark stands; with pop3_enable_last nothing is \Seen either."""
    run.session.maildrop.deleted.clear()
    if run.session.settings.pop3_enable_last:
        return _forget(run)
    run.session.send(ok("No message is deleted."))
    return None


async def _forget(run: Run) -> None:
    await run.session.maildrop.forget_seen(run.scope)
    run.session.send(ok("No message is deleted, and none was seen."))


def stat(run: Run) -> None:
    """STAT: number and octets of the messages that are not deleted."""
    maildrop = run.session.maildrop
    count = maildrop.count - len(maildrop.deleted)
    run.session.send(ok(f"{count} {maildrop.total - maildrop.deleted_size}"))


def uidl(run: Run) -> Work | None:
    """UIDL: unique ids, of one message or of all."""
    assert isinstance(run.args, Message)
    maildrop = run.session.maildrop
    if run.args.number is not None:
        index = maildrop.index(run.args.number)
        run.session.send(ok(f"{run.args.number} {maildrop.uidls[index].decode('ascii')}"))
        return None
    return _list(run, ok(), maildrop.kept(), b"%d %b\r\n", maildrop.uidls)


def _list(
    run: Run, status: bytes, kept: list[int], line: bytes, values: list[int] | list[bytes]
) -> Work | None:
    """Number and value of each message; at once if they are few."""
    if len(kept) > SLICE:
        return _list_slowly(run, status, kept, line, values)
    run.session.send(status, _lines(kept, line, values), END)
    return None


async def _list_slowly(
    run: Run, status: bytes, kept: list[int], line: bytes, values: list[int] | list[bytes]
) -> None:
    run.session.send(status)
    for at in range(0, len(kept), SLICE):
        run.session.send(_lines(kept[at : at + SLICE], line, values))
        await run.session.breathe()
    run.session.send(END)


def _lines(kept: list[int], line: bytes, values: list[int] | list[bytes]) -> bytes:
    pairs = [item for index in kept for item in (index + 1, values[index])]
    return (line * len(kept)) % tuple(pairs)


def quit_(run: Run) -> Work:
    """QUIT: the UPDATE state, in which deletions become real (RFC 1939 section 6)."""
    run.session.leave_transaction()
    return _quit(run)


async def _quit(run: Run) -> None:
    session = run.session
    maildrop, settings = session.maildrop, session.settings
    by_flag = deletes_by_flag(settings)
    if not by_flag:
        maildrop.fetched -= maildrop.deleted
    await maildrop.mark_seen(run.scope)
    octets = maildrop.deleted_size
    if by_flag:
        count = await maildrop.hide(run.scope, settings.pop3_deleted_flag)
    else:
        count = await maildrop.expunge(run.scope)
    session.counts.deleted_count = count
    session.counts.deleted_bytes = octets
    session.send(ok("Logging out, messages deleted." if count else "Logging out."))


HANDLERS: Final[dict[str, Handler]] = {
    "CAPA": capa,
    "DELE": dele,
    "LANG": lang,
    "LAST": last,
    "LIST": listed,
    "NOOP": noop,
    "QUIT": quit_,
    "RETR": retrieve.retr,
    "RSET": rset,
    "STAT": stat,
    "TOP": retrieve.top,
    "UIDL": uidl,
}
