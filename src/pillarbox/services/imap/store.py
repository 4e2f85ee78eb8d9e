"""STORE (RFC 3501 6.4.6, RFC 7162 3.1.3).

Every message asked for is answered with its flags, changed or not, unless .SILENT was said; with
CONDSTORE a changed message's MODSEQ is told even then.  Messages that UNCHANGEDSINCE refused are
listed in [MODIFIED ...], by UID in UID STORE.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from pillarbox.mailstore import flags as bits
from pillarbox.services.imap.flag_text import split_flags
from pillarbox.services.imap.imapsieve import reacts, run_scripts
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.response import No
from pillarbox.wire.imap.store import Store

_SLICE = 4096


async def store(run: Run) -> Ok:
    """STORE and UID STORE."""
    session = run.session
    args = cast(Store, run.args)
    selected = session.require_selected()
    if selected.readonly:
        raise No("Mailbox is read-only.")
    flags, keywords = split_flags(args.flags, session.settings.mail_max_keyword_length)
    if args.unchangedsince is not None:
        session.enable_condstore()
    positions = selected.positions(args.sequence, args.uid)
    if not len(positions):
        return Ok("Store completed.")
    view = selected.view
    result = await view.store(
        run.scope, positions, args.mode, flags, keywords, args.unchangedsince, silent=True
    )
    if flags & bits.DELETED and args.mode != "remove":
        session.counts.deleted += len(result.changed)
    if reacts(session.settings):
        changed = view.uids[result.changed].tolist()
        await run_scripts(run, "flag", selected.mailbox, changed, flags=args.flags)
    session.send(*selected.new_keywords())
    uid = args.uid or session.qresync
    modseq = session.condstore
    told = np.setdiff1d(positions, result.failed, assume_unique=True)
    if args.silent:
        told = result.changed if modseq else told[:0]
    for at in range(0, len(told), _SLICE):
        part = told[at : at + _SLICE]
        session.send(selected.fetches(part, uid=uid, flags=not args.silent, modseq=modseq))
        if at + _SLICE < len(told):
            await session.breathe()
    if len(result.failed):
        numbers = view.uids[result.failed] if args.uid else result.failed + 1
        modified = b"MODIFIED %b" % sequence.render(numbers.tolist())
        return Ok("Conditional STORE failed for some messages.", modified)
    return Ok("Store completed.")
