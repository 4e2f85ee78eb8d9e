"""EXPUNGE and UID EXPUNGE (RFC 3501 6.4.3, RFC 4315 2.1; RFC 7162 3.2.7).

The untagged EXPUNGE or VANISHED replies come from the update before the tagged reply, so that
expunges of other sessions are told in the same go and in the right order.
"""

from __future__ import annotations

from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap.copy import UidExpunge
from pillarbox.wire.imap.response import No


async def expunge(run: Run) -> Ok:
    """EXPUNGE and UID EXPUNGE."""
    session = run.session
    selected = session.require_selected()
    if selected.readonly:
        raise No("Mailbox is read-only.")
    positions = None
    if isinstance(run.args, UidExpunge):
        positions = selected.positions(run.args.uids, uid=True)
    uids = await selected.view.expunge(run.scope, positions)
    session.counts.expunged += len(uids)
    if len(uids) and session.qresync:
        return Ok("Expunge completed.", b"HIGHESTMODSEQ %d" % selected.mailbox.highestmodseq)
    return Ok("Expunge completed.")
