"""Playing a dialogue against a transcript: S: what the server sends, C: what the dialogue must say.

``T`` is the TLS handshake.  The server's bytes reach the reader whole, byte by byte, or in the
pieces that `cuts` gives; the result must not depend on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from pillarbox.wire.proxy.dialogue import Dialogue, Reader, Result, Send, StartTls

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def randomly(data: bytes) -> Iterator[bytes]:
    rng = random.Random(len(data))
    at = 0
    while at < len(data):
        step = rng.randint(1, 7)
        yield data[at : at + step]
        at += step


CUTS: tuple[Cut, ...] = (whole, bytewise, randomly)


class Player:
    """One dialogue and its reader."""

    def __init__(self, dialogue: Dialogue, reader: Reader) -> None:
        self.dialogue = dialogue
        self.reader = reader
        self.said = b""
        self.tls = False
        self.result: Result | None = None
        self._wants_input = False
        self._go(None)

    def feed(self, data: bytes) -> None:
        """What the server sends."""
        self.reader.feed(data)
        while self._wants_input and self.result is None:
            response = self.reader.next()
            if response is None:
                return
            self._go(response)

    def handshaken(self) -> None:
        """TLS is on."""
        assert self.tls
        self.tls = False
        self._go(b"")

    def _go(self, answer: bytes | None) -> None:
        self._wants_input = False
        try:
            while True:
                ask = self.dialogue.send(answer)  # type: ignore[arg-type]
                if isinstance(ask, Send):
                    self.said += ask.data
                    answer = b""
                elif isinstance(ask, StartTls):
                    self.tls = True
                    return
                else:
                    self._wants_input = True
                    return
        except StopIteration as stop:
            self.result = stop.value


def play(dialogue: Dialogue, reader: Reader, transcript: str, cut: Cut = whole) -> Result:
    """The dialogue's result; AssertionError if it says anything else than the transcript."""
    player = Player(dialogue, reader)
    for line in transcript.strip().splitlines():
        kind, text = line.strip()[:2], line.strip()[3:]
        if kind == "T":
            player.handshaken()
        elif kind == "S:":
            for piece in cut(text.replace("|", "\r\n").encode() + b"\r\n"):
                player.feed(piece)
        else:
            wanted = text.replace("|", "\r\n").encode() + b"\r\n"
            assert player.said == wanted, (player.said, wanted)
            player.said = b""
    assert player.said == b""
    assert player.result is not None, "the dialogue is not over"
    return player.result
