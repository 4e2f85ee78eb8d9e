"""Sequence numbers: several sessions change a mailbox at random, each client keeps count.

A client knows nothing but what it is told: EXISTS adds messages, EXPUNGE or VANISHED takes them
away, FETCH tells their UIDs.  However the commands mix, its picture must agree with every FETCH,
nothing may be expunged in the answer to FETCH, STORE or SEARCH, and in the end all clients see
the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest


class Watcher:
    """A client that believes what it is told, and checks it."""

    def __init__(self, client: Any, qresync: bool) -> None:
        self.client = client
        self.qresync = qresync
        self.uids: list[Any] = []
        self.flags: dict[int, frozenset[str]] = {}

    async def do(self, command: str) -> list[str]:
        """One command; what came before its tagged reply is taken in."""
        lines: list[str] = await self.client.command(command)
        quiet = command.startswith(("FETCH", "STORE", "SEARCH"))
        for line in lines[:-1]:
            self.take(line, quiet)
        if match := re.match(r"STORE (\d+):(\d+) -FLAGS.SILENT", command):
            self.assume(int(match.group(1)), int(match.group(2)))
        return lines

    def assume(self, low: int, high: int) -> None:
        """A silent STORE worked: nobody tells."""
        for uid in self.uids[low - 1 : high]:
            if uid in self.flags:
                self.flags[uid] -= {"\\Deleted", "\\Seen"}

    def take(self, line: str, quiet: bool) -> None:
        if match := re.fullmatch(r"\* (\d+) EXISTS", line):
            count = int(match.group(1))
            assert count >= len(self.uids)
            self.uids += [None] * (count - len(self.uids))
        elif match := re.fullmatch(r"\* (\d+) EXPUNGE", line):
            assert not quiet
            assert not self.qresync
            del self.uids[int(match.group(1)) - 1]
        elif match := re.fullmatch(r"\* VANISHED ([\d:,]+)", line):
            assert not quiet
            assert self.qresync
            for part in match.group(1).split(","):
                low, _, high = part.partition(":")
                for uid in range(int(low), int(high or low) + 1):
                    # A message that came and went before the client asked for its UID.
                    self.uids.remove(uid if uid in self.uids else None)
        elif match := re.fullmatch(r"\* (\d+) FETCH \((.*)\)", line):
            self.take_fetch(int(match.group(1)), match.group(2))

    def take_fetch(self, number: int, items: str) -> None:
        if uid := re.search(r"UID (\d+)", items):
            known = self.uids[number - 1]
            assert known in (None, int(uid.group(1)))
            self.uids[number - 1] = int(uid.group(1))
        flags = re.search(r"FLAGS \(([^)]*)\)", items)
        known = self.uids[number - 1]
        if flags and known is not None:
            self.flags[known] = frozenset(flags.group(1).split()) - {"\\Recent"}

    async def refresh(self) -> None:
        """Learn the UIDs of new messages."""
        if None in self.uids:
            await self.do("FETCH 1:* (UID FLAGS)")


def choose(watcher: Watcher, dice: random.Random) -> str:
    """A random command that makes sense for what the client believes."""
    count = len(watcher.uids)
    if not count:
        return dice.choice(["NOOP", "APPEND INBOX {6+}\r\na: b\r\n"])
    low = dice.randint(1, count)
    numbers = f"{low}:{dice.randint(low, min(count, low + 3))}"
    uid = dice.choice([u for u in watcher.uids if u is not None] or [1])
    return dice.choice(
        [
            "NOOP",
            "APPEND INBOX {6+}\r\na: b\r\n",
            "APPEND INBOX (\\Deleted) {6+}\r\na: b\r\n {6+}\r\na: c\r\n",
            f"STORE {numbers} +FLAGS (\\Deleted)",
            f"STORE {numbers} -FLAGS.SILENT (\\Deleted \\Seen)",
            f"STORE {numbers} FLAGS (\\Seen word{dice.randint(1, 3)})",
            f"UID STORE {uid}:* +FLAGS (\\Flagged)",
            f"FETCH {numbers} (UID FLAGS)",
            f"FETCH {numbers} (UID RFC822.SIZE)",
            f"UID FETCH {uid} FLAGS",
            "SEARCH DELETED",
            "UID SEARCH ALL",
            "EXPUNGE",
            f"UID EXPUNGE {uid}",
            f"COPY {numbers} INBOX",
            f"MOVE {numbers} Trash",
            f"UID MOVE {uid} INBOX",
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_every_client_keeps_count(imap: Callable[..., None], seed: int) -> None:
    dice = random.Random(seed)

    async def test(server: Any) -> None:
        watchers = []
        for qresync in (False, True, False):
            watcher = Watcher(await server.login(), qresync)
            if qresync:
                await watcher.do("ENABLE QRESYNC")
            await watcher.do("SELECT INBOX")
            watchers.append(watcher)
        for _ in range(120):
            watcher = dice.choice(watchers)
            await watcher.refresh()
            lines = await watcher.do(choose(watcher, dice))
            assert not lines[-1].startswith("x BAD"), lines
        finals = []
        for watcher in watchers:
            await watcher.do("NOOP")
            await watcher.refresh()
            known = dict(watcher.flags)
            uids = list(watcher.uids)
            if uids:
                await watcher.do("FETCH 1:* (UID FLAGS)")
            assert watcher.uids == uids
            told = [uid for uid in uids if uid in known]
            assert {u: watcher.flags[u] for u in told} == {u: known[u] for u in told}
            finals.append((uids, {u: watcher.flags[u] for u in uids}))
        assert finals[0] == finals[1] == finals[2]

    imap(test)
