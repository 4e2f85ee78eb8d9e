"""Reading on: messages for somebody who takes one after the other.

`Onward.take` gives a message that needs no waiting.  Whoever asks for the one behind the last gets
it out of a window, which is read in one go and grows while the asking goes on; whoever jumps about
gets one message at a time.  So reading a whole mailbox costs a system call for many messages, and
never more memory than `MOST_OCTETS` and one message.

A window is of use as long as the index says what it said: after any change (a purge may have moved
the messages) it is read anew.  Whoever takes has refreshed the mailbox before.  No event is emitted
here: `View.opened` is for those who use what they took.
"""

from __future__ import annotations

from typing import Final

from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.view import View, extents

MOST_MESSAGES: Final = 32
MOST_OCTETS: Final = 64 * 1024


class Onward:
    """The messages at some positions of a view; indexes are those of ``positions``."""

    __slots__ = ("_at", "_index", "_known", "_next", "_positions", "_view", "_window")

    def __init__(self, view: View, positions: Positions) -> None:
        self._view = view
        self._index = view.mailbox.index
        self._positions = positions
        self._window: list[memoryview | None] = []
        self._at = 0
        self._next = -1
        self._known = (0, 0)

    def take(self, index: int) -> memoryview | None:
        """The whole message if nobody has to wait for it; else `View.read` gets it, or tells."""
        state = self._index.state
        known = (state.epoch, state.highestmodseq)
        where = index - self._at
        data = None
        if known == self._known and 0 <= where < len(self._window):
            data, self._window[where] = self._window[where], None
        if data is None:
            self._known = known
            self._read(index)
            data, self._window[0] = self._window[0], None
            if data is None:
                self._window = []  # The kernel reads ahead too: begin anew with one message.
        self._next = index + 1
        return data

    def _read(self, index: int) -> None:
        """The window that begins here."""
        count = min(2 * len(self._window), MOST_MESSAGES) if index == self._next else 1
        self._window = []
        wanted = extents(self._view.records[self._positions[index : index + max(count, 1)]])
        octets = 0
        for number, (_, _, size) in enumerate(wanted):
            octets += size
            if number and octets > MOST_OCTETS:
                del wanted[number:]
                break
        self._at = index
        self._window = self._view.mailbox.user.store.at_hand(wanted)
