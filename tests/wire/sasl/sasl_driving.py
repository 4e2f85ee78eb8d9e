"""Driving a server mechanism by hand: its questions in order, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillarbox.wire.sasl.exchange import Challenge, Outcome, Question, Surroundings
from pillarbox.wire.sasl.mechanisms import MECHANISMS

AROUND = Surroundings("OA6MG9tEQGm2hh", "mail.example.com", ("elwood.innosoft.com",))


def drive(
    name: str,
    messages: list[bytes | None],
    answer: Callable[[Question], Any],
    around: Surroundings = AROUND,
) -> tuple[list[Question], Outcome]:
    """Run the server on fixed messages of the client, the first of which is initial or None."""
    exchange = MECHANISMS[name].start(messages[0], around)
    rest = iter(messages[1:])
    asked: list[Question] = []
    reply: Any = None
    while True:
        try:
            question = exchange.send(reply)
        except StopIteration as stop:
            return asked, stop.value
        asked.append(question)
        reply = next(rest) if isinstance(question, Challenge) else answer(question)


def talk(
    name: str, client: Any, answer: Callable[[Question], Any], around: Surroundings = AROUND
) -> Outcome:
    """Run both sides against each other; the client also gets the server's last word."""
    first = next(client)
    exchange = MECHANISMS[name].start(first if first else None, around)
    reply: Any = None
    while True:
        try:
            question = exchange.send(reply)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            data = getattr(outcome, "data", None)
            if data is not None:
                client.send(data)
            return outcome
        if not isinstance(question, Challenge):
            reply = answer(question)
        elif question.data == b"" and first == b"":
            reply, first = b"", None
        else:
            reply = client.send(question.data)
