"""Rubbish: broken commands of every kind are answered and never reach the log as bugs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TRANSCRIPTS = Path(__file__).parent / "transcripts"
WORDS = [b"{3+}\r\nabc", b"{0}", *(b'" ( ) \\ * $ NIL'.split()), b"\xff", b"\x00", b" "]


def mutated(dice: random.Random) -> bytes:
    """The client's lines of all transcripts, with bytes changed, lost, doubled and put in."""
    lines: list[bytes] = []
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        for line in path.read_text("utf-8").split("\n"):
            if line.startswith("C") and "IDLE" not in line and "LOGOUT" not in line:
                lines.append(line.partition(": ")[2].encode())
    out = bytearray()
    for line in lines:
        raw = bytearray(line)
        for _ in range(dice.choice([0, 0, 1, 1, 2])):
            at = dice.randint(0, len(raw))
            kind = dice.random()
            if kind < 0.3:
                del raw[at : at + dice.randint(1, 4)]
            elif kind < 0.6:
                raw[at:at] = dice.choice(WORDS)
            elif raw:
                raw[at % len(raw)] = dice.randint(0, 255)
        out += raw + b"\r\n"
    return bytes(out)


@pytest.mark.parametrize("seed", range(10))
def test_rubbish(imap: Callable[..., None], seed: int) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        client.feed(mutated(random.Random(seed)) + b"\r\n)\r\n\r\nlast NOOP\r\n")
        seen = b""
        while b"last OK NOOP completed." not in seen:
            seen = seen[-100:] + await client.recv()
        client.buffer = b""
        assert (await client.command("NOOP"))[-1] == "x OK NOOP completed."

    imap(test, mode="splits", imap_max_bad_commands=0)
