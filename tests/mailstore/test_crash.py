"""kill -9 at random moments: nothing acknowledged is lost, doubled, or comes back.

Two processes work on the same two mailboxes; one is killed, then the other.  PILLARBOX_CRASH_ROUNDS
sets how often (10 unless told).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pillarbox.drivers.storage.api import Location
from pillarbox.mailstore.user import Users
from pillarbox.runtime.log import Line, log
from pillarbox.settings.model import Settings

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "10"))
CHILD = Path(__file__).with_name("crash_child.py")
Place = tuple[str, int, int] | None  # folder, uid (0: not known), flags; None: not there


@dataclass
class Expected:
    """What may be found: per mail the acknowledged place, and what was under way."""

    sure: dict[str, Place] = field(default_factory=dict)
    begun: dict[str, list[object]] = field(default_factory=dict)
    uids: dict[tuple[str, int], str] = field(default_factory=dict)

    def take(self, lines: list[bytes]) -> int:
        """Read one process's account; how many steps were acknowledged."""
        acknowledged = 0
        for line in lines:
            if not line.endswith(b"\n"):
                continue
            kind, *rest = json.loads(line)
            if kind == "begin":
                self.begun[rest[0]] = rest[1:]
            elif kind == "done":
                mail, what, folder, uid, flags = rest
                self.begun.pop(mail)
                self.sure[mail] = None if what == "expunge" else (folder, uid, flags)
                self.note_uid(folder, uid, mail)
                acknowledged += 1
        return acknowledged

    def note_uid(self, folder: str, uid: int, mail: str) -> None:
        """A UID never means two mails."""
        assert self.uids.setdefault((folder, uid), mail) == mail

    def may_be(self, mail: str, found: Place) -> bool:
        """Whether this is a place where the mail may be."""
        sure = self.sure.get(mail)
        if found == sure:
            return True
        under_way = self.begun.get(mail)
        if under_way is None:
            return False
        what, *args = under_way
        if what == "expunge":
            return found is None or (sure is not None and found == (*sure[:2], sure[2] | 8))
        if found is None:
            return False
        if what == "append":
            return found[0] == args[0] and found[2] == 0
        if what == "flag":
            return sure is not None and found == (sure[0], sure[1], args[0])
        return sure is not None and found[0] == args[0] and found[2] == sure[2]


def crash(home: Path, number: int, seed: int) -> tuple[list[list[bytes]], int]:
    """Let two processes work and kill them; their accounts."""
    chance = random.Random(seed)
    accounts: list[list[bytes]] = [[], []]
    children, readers = [], []
    for which in range(2):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), f"r{number}p{which}", str(seed * 7 + which)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        reader = threading.Thread(target=accounts[which].extend, args=(child.stdout,))
        children.append(child)
        readers.append(reader)
    working = [threading.Event() for _ in children]
    for which, (child, reader) in enumerate(zip(children, readers, strict=True)):
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == ["ready"]
        reader.start()
        working[which].set()
    for child in chance.sample(children, 2):
        threading.Event().wait(chance.uniform(0.02, 0.25))
        child.kill()
        child.wait()
    for child, reader in zip(children, readers, strict=True):
        reader.join()
        assert child.stdout is not None
        child.stdout.close()
    return accounts, seed


async def found_mails(home: Path) -> dict[str, Place]:
    """Every mail that is there, read from the store; none twice."""
    users = Users()
    user = await users.acquire("crash", {"home": str(home)}, Settings())
    found: dict[str, Place] = {}
    for folder in ("INBOX", "Archive"):
        mailbox = user.open_mailbox(folder)
        status = mailbox.status()
        assert status.messages == len(mailbox.records)
        for record in mailbox.records:
            place = Location(int(record["container"]), int(record["offset"]))
            data = bytes(user.store.read_sync(place))
            assert len(data) == int(record["size"])
            mail = data.split(b"\r\n", 1)[0].removeprefix(b"Subject: ").decode()
            assert mail not in found, f"{mail} is doubled"
            found[mail] = (folder, int(record["uid"]), int(record["flags"]))
            assert int(record["uid"]) < status.uidnext
    await users.close()
    return found


@pytest.mark.crash
@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Line] = []
    monkeypatch.setattr(log, "sink", logged.append)
    expected = Expected()
    seed = int(os.environ.get("PILLARBOX_CRASH_SEED", random.randrange(2**31)))
    acknowledged = 0
    for number in range(ROUNDS):
        accounts, _ = crash(tmp_path, number, seed + number)
        acknowledged += sum(expected.take(lines) for lines in accounts)
        found = asyncio.run(found_mails(tmp_path))
        for mail in expected.sure.keys() | expected.begun.keys() | found.keys():
            place = found.get(mail)
            assert expected.may_be(mail, place), (
                f"seed {seed}, round {number}: {mail} is at {place}, acknowledged was "
                f"{expected.sure.get(mail)}, under way {expected.begun.get(mail)}"
            )
            if place is not None:
                expected.note_uid(place[0], place[1], mail)
            expected.sure[mail] = place
        expected.begun.clear()
    assert acknowledged > ROUNDS
    assert [line.text for line in logged] == []
