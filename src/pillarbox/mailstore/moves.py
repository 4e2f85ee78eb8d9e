"""Moving messages between two mailboxes so that a crash neither loses nor doubles them.

Three commits, each durable before the next begins: the source notes what is about to be moved
(MoveOut, with a token); the target takes the records, together with the token (MoveIn); the source
expunges them and drops its note (MoveDone).  Whoever opens a source with a note whose process is
dead asks the target for the token: if it is there the expunge is finished, else the note is
dropped and the messages stay.  The target forgets tokens with its next change.

A process is known by its number and start time, so a new process with an old number (the rule
in containers that restart) is not taken for the one that died.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pillarbox.mailstore.errors import MailboxDeleted
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.index import MailboxIndex
from pillarbox.mailstore.index.ranges import Ranges, as_positions, select
from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.index.state import State
from pillarbox.mailstore.index.writer import commit_blocking

if TYPE_CHECKING:
    from pillarbox.mailstore.user import MailUser


def new_token() -> int:
    """A number for one move."""
    return int.from_bytes(os.urandom(8), "little") >> 1


def process_start(pid: int) -> int | None:
    """When a process started, in the kernel's ticks (32 bits); None when there is none."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(raw[raw.rindex(b")") + 2 :].split()[19]) & 0xFFFFFFFF


def begin(token: int, target: bytes, ranges: Ranges) -> tx.MoveOut:
    """This process's note for the source."""
    pid = os.getpid()
    return tx.MoveOut(token, target, pid, process_start(pid) or 0, ranges)


def unclaimed(state: State, positions: Positions) -> Positions:
    """Those of the positions that no other move has taken already."""
    for move in state.moves_out.values():
        taken = as_positions(select(state.uids, move.ranges))
        positions = positions[~np.isin(positions, taken)]
    return positions


def abandoned(state: State, active: set[int]) -> list[tx.MoveOut]:
    """Moves whose process is dead; ``active`` are the tokens of this process's own."""
    return [
        move
        for move in state.moves_out.values()
        if move.token not in active
        and (move.pid == os.getpid() or process_start(move.pid) != move.started)
    ]


def settle(user: MailUser, source: bytes, moves: list[tx.MoveOut]) -> None:
    """Finish or forget abandoned moves out of a mailbox.  Raises MailError, OSError."""
    index = user.private_index(source)
    try:
        for move in moves:
            _settle_one(user, index, move)
    finally:
        index.close()


def _settle_one(user: MailUser, source: MailboxIndex, move: tx.MoveOut) -> None:
    target: MailboxIndex | None = None
    with contextlib.suppress(MailboxDeleted):
        target = user.private_index(move.target)
    try:
        arrived = target is not None and move.token in target.state.moves_in

        def finish(draft: Draft) -> None:
            if move.token in draft.state.moves_out:
                if arrived:
                    draft.expunge(as_positions(select(draft.state.uids, move.ranges)))
                draft.ops.append(tx.MoveDone(move.token))

        commit_blocking(source, finish)
        if target is not None and arrived:
            commit_blocking(target, lambda draft: draft.ops.append(tx.MoveDone(move.token)))
    finally:
        if target is not None:
            target.close()
