"""Answers leave in the order of their commands, also when later ones are ready earlier.

RCPT commands that a client pipelines are looked up side by side; each takes a `Slot` in the
`Pipeline` when it comes and fills it when its answer is there.

While commands of one burst are under way their answers are held back, so that they leave in one
packet (RFC 2920 section 3.2): MAIL, RCPT and DATA cost the client one wake-up instead of three.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

MOST_HELD: Final = 100


class Slot:
    """The place of one answer."""

    __slots__ = ("answer",)

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer


class Pipeline:
    """Answers on their way out through ``send``; with ``hold`` they wait for `release`."""

    __slots__ = ("_out", "_send", "_slots", "hold")

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._slots: deque[Slot] = deque()
        self._out: list[bytes] = []
        self.hold = False

    def __len__(self) -> int:
        """Answers that wait for themselves or for one before them."""
        return len(self._slots)

    def put(self, answer: bytes) -> None:
        """An answer that is ready."""
        if self._slots:
            self._slots.append(Slot(answer))
        else:
            self._leave(answer)

    def reserve(self) -> Slot:
        """The place of an answer that comes later."""
        slot = Slot()
        self._slots.append(slot)
        return slot

    def fill(self, slot: Slot, answer: bytes) -> None:
        """The answer is there."""
        slot.answer = answer
        slots = self._slots
        while slots and (ready := slots[0].answer) is not None:
            slots.popleft()
            self._leave(ready)

    def release(self) -> None:
        """Let go of what was held back, and hold no more."""
        self.hold = False
        if self._out:
            out, self._out = self._out, []
            self._send(b"".join(out))

    def _leave(self, answer: bytes) -> None:
        if self.hold and len(self._out) < MOST_HELD:
            self._out.append(answer)
        elif self._out:
            self._out.append(answer)
            held = self.hold
            self.release()
            self.hold = held
        else:
            self._send(answer)
