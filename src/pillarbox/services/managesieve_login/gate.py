"""What lets a client of a worker come back to the state before login: UNAUTHENTICATE.

The login process relays every client, and counts commands off as they pass: their literals are
skipped, so nothing of a script is kept.  UNAUTHENTICATE is the last that goes to the worker, which
answers it and closes its end; what the client sent behind it waits here.
"""

from __future__ import annotations

from pillarbox.wire.managesieve.command import BadCommand, parse_command
from pillarbox.wire.managesieve.reader import CommandReader, Limits, Problem, RawCommand

_WORD = b"UNAUTHENTICATE"


class UnauthenticateGate:
    """See the module; a `runtime.relay.Gate`."""

    def __init__(self, longest_line: int) -> None:
        self.shut = False
        self._reader = CommandReader(Limits(longest_line, 0))
        self._lost = False
        self._held = bytearray()

    def passes(self, data: bytes) -> bytes:
        """All of it, up to an UNAUTHENTICATE."""
        if self.shut:
            self._held += data
            return b""
        if self._lost:
            return data
        self._reader.feed(data)
        while (item := self._reader.next()) is not None:
            if isinstance(item, Problem):
                # The worker has lost its place too, and closes.
                self._lost = item.fatal
                if item.fatal:
                    return data
            elif _ends_login(item):
                self.shut = True
                self._held += self._reader.rest()
                return data[: len(data) - len(self._held)]
        return data

    def held(self) -> bytes:
        """What came behind it."""
        held = bytes(self._held)
        self._held.clear()
        return held


def _ends_login(raw: RawCommand) -> bool:
    if raw.text[: len(_WORD)].upper() != _WORD:
        return False
    try:
        return parse_command(raw).name == "UNAUTHENTICATE"
    except BadCommand:
        return False
