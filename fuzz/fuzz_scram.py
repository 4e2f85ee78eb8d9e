"""Feed octets to the server mechanisms and to the clients that must not trust the server.

An exchange ends in an outcome whatever is said, is never accepted without the proof, and the
client raises only ServerNotTrusted.
"""

from __future__ import annotations

import sys
from typing import Any

from pillarbox.wire.sasl import client, scram
from pillarbox.wire.sasl.exchange import (
    Accepted,
    Challenge,
    FetchScram,
    FetchSecret,
    GssAccept,
    GssReply,
    GssUnwrap,
    GssWrap,
    Refused,
    Surroundings,
)
from pillarbox.wire.sasl.mechanisms import MECHANISMS

AROUND = Surroundings(
    "nonce", "host", ("realm",), {"tls-server-end-point": b"channel"}, "https://id.example/"
)
HELD = scram.secret("sha1", "a password that nobody guesses", b"salt", 1)


def one(data: bytes) -> None:
    """One input: messages separated by 0xFF."""
    messages = data.split(b"\xff")
    for mechanism in MECHANISMS.values():
        serve(mechanism.start(messages[0], AROUND), messages[1:])
        serve(mechanism.start(None, AROUND), messages)
    for exchange in (
        client.scram("sha1", "user", "pencil", "nonce"),
        client.digest_md5("user", "pencil", "nonce", "imap", "host"),
    ):
        next(exchange)
        try:
            for message in messages[:2]:
                exchange.send(message)
        except (client.ServerNotTrusted, StopIteration):
            pass


def serve(exchange: Any, messages: list[bytes]) -> None:
    """Drive one exchange to its end; out of messages the client says nothing."""
    rest = iter(messages)
    answer: Any = None
    while True:
        try:
            question = exchange.send(answer)
        except StopIteration as stop:
            if isinstance(stop.value, Accepted) or not isinstance(stop.value, Refused):
                raise AssertionError(stop.value) from None
            return
        if isinstance(question, Challenge):
            answer = next(rest, b"")
        elif isinstance(question, FetchScram):
            answer = HELD
        elif isinstance(question, GssAccept):
            answer = GssReply(question.token, question.token.startswith(b"done"))
        elif isinstance(question, GssWrap | GssUnwrap):
            answer = question.data
        elif isinstance(question, FetchSecret):
            answer = b"a secret that nobody guesses either."[:32]
        else:
            answer = False


def main() -> None:
    """Fuzz until stopped; arguments go to libFuzzer."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
