"""STATUS (RFC 3501 6.3.10, RFC 7162 3.1.7, RFC 8438): counters out of the index's header."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from pillarbox.mailstore.mailbox import Status as Counters
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap import response
from pillarbox.wire.imap.status import Status

if TYPE_CHECKING:
    from pillarbox.services.imap.session import ImapSession

_VALUES: Final[dict[str, Callable[[Counters], int]]] = {
    "MESSAGES": lambda c: c.messages,
    "RECENT": lambda c: c.recent,
    "UIDNEXT": lambda c: c.uidnext,
    "UIDVALIDITY": lambda c: c.uidvalidity,
    "UNSEEN": lambda c: c.unseen,
    "HIGHESTMODSEQ": lambda c: c.highestmodseq,
    "SIZE": lambda c: c.size,
}


def status(run: Run) -> Ok:
    """STATUS."""
    args = cast(Status, run.args)
    session = run.session
    if "HIGHESTMODSEQ" in args.items:
        session.enable_condstore()
    session.send(status_line(session, args.mailbox, args.items))
    return Ok("Status completed.")


def status_line(session: ImapSession, name: str, items: tuple[str, ...]) -> bytes:
    """``* STATUS name (items)``.  Raises NoSuchMailbox."""
    mailbox = session.user.open_mailbox(name)
    try:
        counters = mailbox.status()
    finally:
        session.user.release_mailbox(mailbox)
    selected = session.selected
    if selected is not None and selected.mailbox is mailbox and not selected.readonly:
        counters = dataclasses.replace(counters, recent=selected.view.recent)
    values = [b"%b %d" % (item.encode("ascii"), _VALUES[item](counters)) for item in items]
    return b"* STATUS %b (%b)\r\n" % (response.mailbox(name), b" ".join(values))
