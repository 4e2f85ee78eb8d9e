"""COPY and MOVE, by number or UID (RFC 3501 6.4.7, RFC 6851, RFC 4315 COPYUID).

A target that does not exist is answered NO [TRYCREATE].  MOVE tells COPYUID in an untagged OK
before the expunges, which the tagged reply's update sends.
"""

from __future__ import annotations

from typing import cast

from pillarbox.mailstore import errors
from pillarbox.mailstore.view import CopyResult
from pillarbox.services.imap.imapsieve import run_scripts
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.copy import Copy
from pillarbox.wire.imap.response import No


async def copy(run: Run) -> Ok:
    """COPY and UID COPY."""
    result = await _transfer(run, move=False)
    if result is None:
        return Ok("No messages found.")
    return Ok("Copy completed.", _copyuid(result))


async def move(run: Run) -> Ok:
    """MOVE and UID MOVE."""
    session = run.session
    if session.require_selected().readonly:
        raise No("Mailbox is read-only.")
    result = await _transfer(run, move=True)
    if result is None:
        return Ok("No messages found.")
    session.send(b"* OK [%b] Moved UIDs.\r\n" % _copyuid(result))
    session.counts.expunged += len(result.source_uids)
    code = None
    if session.qresync:
        code = b"HIGHESTMODSEQ %d" % session.require_selected().mailbox.highestmodseq
    return Ok("Move completed.", code)


async def _transfer(run: Run, move: bool) -> CopyResult | None:
    session = run.session
    args = cast(Copy, run.args)
    selected = session.require_selected()
    positions = selected.positions(args.sequence, args.uid)
    try:
        target = session.user.open_mailbox(args.mailbox)
    except errors.NoSuchMailbox as error:
        raise No(error.text, b"TRYCREATE") from None
    try:
        if not len(positions):
            return None
        view = selected.view
        result = await (
            view.move(run.scope, positions, target)
            if move
            else view.copy(run.scope, positions, target)
        )
        copied = result.target_uids.tolist() if len(result.source_uids) else ()
        await run_scripts(run, "copy", target, copied, source=selected.name)
    finally:
        session.user.release_mailbox(target)
    return result if len(result.source_uids) else None


def _copyuid(result: CopyResult) -> bytes:
    return b"COPYUID %d %b %b" % (
        result.uidvalidity,
        sequence.render(result.source_uids.tolist()),
        sequence.render(result.target_uids.tolist()),
    )
