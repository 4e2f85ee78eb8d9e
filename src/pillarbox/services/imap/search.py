"""SEARCH and UID SEARCH (RFC 3501 6.4.4, RFC 4731 ESEARCH, RFC 5182 SEARCHRES, RFC 7162 3.1.5).

The mail store gives the matching positions; here they become numbers or UIDs, the plain or the
extended reply, and the saved result.  A search that fails after SAVE was asked leaves the saved
result empty, one that is BAD leaves it as it was (RFC 5182 section 2.1).
"""

from __future__ import annotations

from typing import cast

import numpy as np

from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.search import search as find
from pillarbox.services.imap.run import Ok, Run
from pillarbox.services.imap.selected import Selected
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.response import Bad, string
from pillarbox.wire.imap.search import has_modseq, replace_saved
from pillarbox.wire.imap.search_syntax import Search


async def search(run: Run) -> Ok:
    """SEARCH and UID SEARCH."""
    session = run.session
    args = cast(Search, run.args)
    selected = session.require_selected()
    modseq = has_modseq(args.key)
    if modseq:
        session.enable_condstore()
    saving = args.returns is not None and "SAVE" in args.returns
    try:
        program = replace_saved(args.key, selected.saved_set())
        found = await find(selected.view, run.scope, program)
    except Bad:
        raise
    except Exception:
        if saving:
            selected.forget_saved()
        raise
    if args.returns is None:
        session.send(_plain(selected, found, args.uid, modseq))
        return Ok("Search completed.")
    if saving:
        selected.saved = selected.view.uids[_to_save(found, args.returns)].copy()
    if args.returns != {"SAVE"}:
        session.send(_extended(run, selected, found, args, modseq))
    return Ok("Search completed.")


def _plain(selected: Selected, found: Positions, uid: bool, modseq: bool) -> bytes:
    numbers = selected.view.uids[found] if uid else found + 1
    count = len(found)
    line = b"* SEARCH" + b" %d" * count % tuple(numbers.tolist())
    if modseq and count:
        line += b" (MODSEQ %d)" % int(selected.view.records["modseq"][found].max())
    return line + b"\r\n"


def _extended(run: Run, selected: Selected, found: Positions, args: Search, modseq: bool) -> bytes:
    returns = args.returns or frozenset()
    parts = [b"* ESEARCH (TAG %b)" % string(run.tag)]
    if args.uid:
        parts.append(b"UID")
    numbers = selected.view.uids[found] if args.uid else found + 1
    if len(found):
        if "MIN" in returns:
            parts.append(b"MIN %d" % int(numbers[0]))
        if "MAX" in returns:
            parts.append(b"MAX %d" % int(numbers[-1]))
        if "ALL" in returns:
            parts.append(b"ALL %b" % sequence.render(numbers.tolist()))
    if "COUNT" in returns:
        parts.append(b"COUNT %d" % len(found))
    if modseq and len(found):
        told = found if returns & {"ALL", "COUNT"} else _ends(found, returns)
        parts.append(b"MODSEQ %d" % int(selected.view.records["modseq"][told].max()))
    return b" ".join(parts) + b"\r\n"


def _to_save(found: Positions, returns: frozenset[str]) -> Positions:
    """What SAVE keeps: all, or the ends if only MIN or MAX were asked (RFC 5182 2.4)."""
    if returns & {"ALL", "COUNT"} or not returns & {"MIN", "MAX"}:
        return found
    return _ends(found, returns)


def _ends(found: Positions, returns: frozenset[str]) -> Positions:
    if not len(found):
        return found
    ends = ([found[0]] if "MIN" in returns else []) + ([found[-1]] if "MAX" in returns else [])
    return np.unique(np.array(ends or found, np.int64))
