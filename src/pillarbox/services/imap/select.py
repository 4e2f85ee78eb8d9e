"""SELECT, EXAMINE and CLOSE (RFC 3501 6.3.1, 6.3.2, 6.4.2; QRESYNC: RFC 7162 3.2.5).

A SELECT leaves the old mailbox first, whether it succeeds or not, and says so by [CLOSED].
With QRESYNC parameters that fit the mailbox's UIDVALIDITY, the client is told in the same reply
what vanished and what changed since it last looked.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, cast

import numpy as np

from pillarbox.mailstore.index.records import Uids
from pillarbox.services.imap.run import Ok, Run
from pillarbox.services.imap.selected import Selected
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.response import Bad
from pillarbox.wire.imap.select import QResync, Select
from pillarbox.wire.imap.sequence import SequenceSet
from pillarbox.wire.imap.states import State

_ANSWER: Final = (
    b"* %d EXISTS\r\n* %d RECENT\r\n%b"
    b"* OK [UIDVALIDITY %d] UIDs valid\r\n* OK [UIDNEXT %d] Predicted next UID\r\n"
    b"* OK [HIGHESTMODSEQ %d] Highest\r\n"
)


def select(run: Run) -> Ok:
    """SELECT."""
    return _open(run, readonly=False)


def examine(run: Run) -> Ok:
    """EXAMINE."""
    return _open(run, readonly=True)


def _open(run: Run, readonly: bool) -> Ok:
    session = run.session
    args = cast(Select, run.args)
    if args.qresync is not None and not session.qresync:
        raise Bad("QRESYNC is not enabled")
    if session.selected is not None:
        session.unselect()
        session.send(b"* OK [CLOSED] Previous mailbox closed.\r\n")
    mailbox = session.user.open_mailbox(args.mailbox)
    try:
        view = mailbox.view(readonly)
        selected = Selected(args.mailbox, mailbox, view)
        status = mailbox.status()
    except BaseException:
        session.user.release_mailbox(mailbox)
        raise
    unseen = status.first_unseen_seq
    answer = _ANSWER % (
        view.exists,
        view.recent,
        b"" if unseen is None else b"* OK [UNSEEN %d] First unseen.\r\n" % unseen,
        mailbox.uidvalidity,
        mailbox.uidnext,
        mailbox.highestmodseq,
    )
    if args.condstore:
        session.condstore = True
    session.selected = selected
    session.protocol_state = State.SELECTED
    session.send(*selected.flags_lines(), answer)
    if args.qresync is not None and args.qresync.uidvalidity == mailbox.uidvalidity:
        session.send(*_resync(selected, args.qresync))
    verb = "Examine" if readonly else "Select"
    return Ok(f"{verb} completed.", b"READ-ONLY" if readonly else b"READ-WRITE")


def _resync(selected: Selected, known: QResync) -> list[bytes]:
    """VANISHED (EARLIER) and FETCH for what changed since the client's mod-sequence."""
    view = selected.view
    lines = earlier(selected, known.modseq, known.known_uids)
    changed = np.nonzero(view.records["modseq"] > known.modseq)[0]
    if known.known_uids is not None:
        changed = changed[_inside(view.uids[changed], known.known_uids)]
    lines.append(selected.fetches(changed.astype(np.int64), uid=True, flags=True, modseq=True))
    return lines


def earlier(selected: Selected, modseq: int, uids: SequenceSet | None) -> list[bytes]:
    """The VANISHED (EARLIER) line for UIDs of the set (None: all), if any vanished since."""
    vanished = np.sort(selected.view.vanished_since(modseq))
    if uids is not None:
        vanished = vanished[_inside(vanished, uids)]
    vanished = vanished[~np.isin(vanished, selected.view.uids)]
    if not len(vanished):
        return []
    return [b"* VANISHED (EARLIER) %b\r\n" % sequence.render(vanished.tolist())]


def _inside(uids: Uids, wanted: SequenceSet) -> Any:
    """Which UIDs a set holds, as a mask; ``*`` is taken as unbounded."""
    mask = np.zeros(len(uids), bool)
    for low, high in wanted:
        first = low or sequence.MAX_NUMBER
        last = high or sequence.MAX_NUMBER
        mask |= (uids >= first) & (uids <= last)
    return mask


def close(run: Run) -> Ok | Coroutine[Any, Any, Ok]:
    r"""CLOSE: expunge what is \Deleted without a word, then leave."""
    session = run.session
    selected = session.require_selected()
    if selected.readonly:
        session.unselect()
        return Ok("Close completed.")
    return _expunge_and_leave(run, selected)


async def _expunge_and_leave(run: Run, selected: Selected) -> Ok:
    session = run.session
    try:
        uids = await selected.view.expunge(run.scope)
        session.counts.expunged += len(uids)
    finally:
        session.unselect()
    return Ok("Close completed.")
