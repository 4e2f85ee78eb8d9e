"""The selected mailbox of a session, and the untagged replies that keep the client up to date.

`Selected` joins the shared Mailbox with the session's own View, and remembers which keywords were
announced, up to which mod-sequence the client knows everything, and the result saved by SEARCH
(RFC 5182, kept as UIDs so that expunges do not shift it).
`updates` moves the view to the present and gives the lines that say what changed:
EXPUNGE or VANISHED, FLAGS for new keywords, EXISTS, RECENT, and FETCH for changed flags, in the
order that leaves a client's numbering right after each line.  The caller says whether sequence
numbers may shift now (RFC 3501 section 7.4.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pillarbox.mailstore import errors
from pillarbox.mailstore.flags import MAX_KEYWORDS
from pillarbox.mailstore.index.records import Positions, Records, Uids
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.view import View
from pillarbox.services.imap.flag_text import SYSTEM_FLAGS, FlagTable
from pillarbox.services.imap.rows import rows
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.response import Bad
from pillarbox.wire.imap.sequence import SequenceSet


class Selected:
    """A mailbox that a session has selected."""

    __slots__ = (
        "_announced",
        "_recent",
        "flags",
        "mailbox",
        "name",
        "readonly",
        "saved",
        "told_modseq",
        "view",
    )

    def __init__(self, name: str, mailbox: Mailbox, view: View) -> None:
        self.name = name
        self.mailbox = mailbox
        self.view = view
        self.readonly = view.readonly
        self.flags = FlagTable(mailbox.keywords)
        self.saved: Uids
        self.forget_saved()
        self._announced = len(mailbox.keywords)
        self._recent = view.recent
        self.told_modseq = mailbox.highestmodseq

    def records(self, positions: Positions) -> Records:
        """The records at these positions; not copied when they are one run."""
        count = len(positions)
        if count and int(positions[-1]) - int(positions[0]) + 1 == count:
            return self.view.records[int(positions[0]) : int(positions[-1]) + 1]
        return self.view.records[positions]

    def positions(self, numbers: SequenceSet, uid: bool) -> Positions:
        """The positions that a command's set means; a wrong sequence number is BAD."""
        if numbers == sequence.SAVED:
            found = np.nonzero(np.isin(self.view.uids, self.saved))[0]
            return found.astype(np.int64)
        try:
            return self.view.positions(numbers, uid)
        except errors.BadSequence as error:
            raise Bad(error.text) from None

    def saved_set(self) -> SequenceSet:
        """The saved result as a set of UIDs."""
        return sequence.ranges(self.saved.tolist())

    def forget_saved(self) -> None:
        """The saved result is empty from now on."""
        self.saved = np.empty(0, np.uint32)

    def flags_lines(self) -> list[bytes]:
        """FLAGS and PERMANENTFLAGS as they are now."""
        self._announced = len(self.mailbox.keywords)
        names = b" ".join([SYSTEM_FLAGS, *self.mailbox.keywords])
        if self.readonly:
            permanent = b"* OK [PERMANENTFLAGS ()] Read-only mailbox.\r\n"
        else:
            more = b"" if len(self.mailbox.keywords) >= MAX_KEYWORDS else b" \\*"
            permanent = b"* OK [PERMANENTFLAGS (%b%b)] Flags permitted.\r\n" % (names, more)
        return [b"* FLAGS (%b)\r\n" % names, permanent]

    def new_keywords(self) -> list[bytes]:
        """FLAGS and PERMANENTFLAGS if there are keywords that the client was not told of."""
        if len(self.mailbox.keywords) != self._announced:
            return self.flags_lines()
        return []

    def flag_fetches(self, positions: Positions, uid: bool, modseq: bool) -> bytes:
        """``* n FETCH (FLAGS ...)`` for each position, with UID and MODSEQ if wanted."""
        return self.fetches(positions, uid=uid, flags=True, modseq=modseq)

    def fetches(self, positions: Positions, *, uid: bool, flags: bool, modseq: bool) -> bytes:
        """``* n FETCH (...)`` lines with any of the three items."""
        count = len(positions)
        if count == 0:
            return b""
        records = self.records(positions)
        items: list[bytes] = []
        columns: list[list[Any]] = [(positions + 1).tolist()]
        if uid:
            items.append(b"UID %d")
            columns.append(records["uid"].tolist())
        if flags:
            recent = self.view.recent_among(records["uid"])
            common = self.flags.of_all(records, recent)
            if common is None:
                items.append(b"FLAGS (%b)")
                columns.append(self.flags.render(records, recent))
            else:
                items.append(b"FLAGS (%b)" % common.replace(b"%", b"%%"))
        if modseq:
            items.append(b"MODSEQ (%d)")
            columns.append(records["modseq"].tolist())
        return rows(b"* %%d FETCH (%b)\r\n" % b" ".join(items), columns, count)

    def updates(self, expunge: bool, qresync: bool, condstore: bool) -> list[bytes]:
        """Take over what changed, and the lines that tell it.  Raises MailError."""
        changes = self.view.sync(expunge)
        if expunge:
            self.told_modseq = self.mailbox.highestmodseq
        lines: list[bytes] = []
        if len(changes.expunged):
            if qresync:
                vanished = np.sort(changes.vanished).tolist()
                lines.append(b"* VANISHED %b\r\n" % sequence.render(vanished))
            else:
                gone = changes.expunged
                lines.append(b"* %d EXPUNGE\r\n" * len(gone) % tuple(gone))
            if len(self.saved):
                self.saved = self.saved[~np.isin(self.saved, changes.vanished)]
        if changes.keywords_changed:
            lines.extend(self.new_keywords())
        if changes.exists is not None:
            lines.append(b"* %d EXISTS\r\n" % changes.exists)
        if changes.recent is not None or self.view.recent != self._recent:
            self._recent = self.view.recent
            lines.append(b"* %d RECENT\r\n" % self._recent)
        if len(changes.changed):
            lines.append(self.flag_fetches(changes.changed, uid=qresync, modseq=condstore))
        return lines
