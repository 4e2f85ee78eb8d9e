"""A process that changes a user's mail without pause, telling each step before and after.

Started by test_crash.py and killed by it.  Every line is JSON: ``["begin", mail, what, ...]`` and,
once the mail store has acknowledged it, ``["done", mail, what, folder, uid, flags]``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import Any

import msgspec
import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore.mailbox import Mailbox, NewMessage
from pillarbox.mailstore.user import Users
from pillarbox.settings.model import Settings

TASKS = 4
FOLDERS = ("INBOX", "Archive")


def say(*what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


class Worker:
    """One task with mails of its own: mail -> (folder, uid, flags)."""

    def __init__(self, mailboxes: dict[str, Mailbox], name: str, seed: int) -> None:
        self.mailboxes = mailboxes
        self.name = name
        self.random = random.Random(seed)
        self.mails: dict[str, tuple[str, int, int]] = {}
        self.count = 0
        self.scope = Scope()

    async def run(self) -> None:
        while True:
            what = self.random.choice(["append", "append", "flag", "flag", "expunge", "move"])
            if what == "append" or not self.mails:
                await self.append()
            else:
                mail = self.random.choice(sorted(self.mails))
                await getattr(self, what)(mail, *self.mails[mail])

    async def append(self) -> None:
        folder = self.random.choice(FOLDERS)
        names = [f"{self.name}-{self.count + i}" for i in range(self.random.choice([1, 1, 3]))]
        self.count += len(names)
        for mail in names:
            say("begin", mail, "append", folder)
        filler = b"x" * self.random.randrange(3000)
        new = [NewMessage(b"Subject: %b\n\n%b\n" % (m.encode(), filler)) for m in names]
        appended = await self.mailboxes[folder].append(self.scope, new)
        for mail, uid in zip(names, appended.uids.tolist(), strict=True):
            self.done(mail, "append", folder, uid, 0)

    async def flag(self, mail: str, folder: str, uid: int, flags: int) -> None:
        flags = self.random.randrange(8)
        say("begin", mail, "flag", flags)
        view = self.mailboxes[folder].view(True)
        view.readonly = False
        await view.store(self.scope, self.at(view, uid), "replace", flags, [])
        self.done(mail, "flag", folder, uid, flags)

    async def expunge(self, mail: str, folder: str, uid: int, flags: int) -> None:
        say("begin", mail, "expunge")
        view = self.mailboxes[folder].view(True)
        view.readonly = False
        await view.store(self.scope, self.at(view, uid), "add", 8, [])
        gone = await view.expunge(self.scope, self.at(view, uid))
        assert gone.tolist() == [uid]
        del self.mails[mail]
        say("done", mail, "expunge", folder, uid, flags)

    async def move(self, mail: str, folder: str, uid: int, flags: int) -> None:
        target = FOLDERS[1 - FOLDERS.index(folder)]
        say("begin", mail, "move", target)
        view = self.mailboxes[folder].view(True)
        view.readonly = False
        result = await view.move(self.scope, self.at(view, uid), self.mailboxes[target])
        [new] = result.target_uids.tolist()
        self.done(mail, "move", target, new, flags)

    def at(self, view: Any, uid: int) -> Any:
        positions = view.positions(((uid, uid),), True)
        assert len(positions) == 1
        return np.asarray(positions)

    def done(self, mail: str, what: str, folder: str, uid: int, flags: int) -> None:
        self.mails[mail] = (folder, uid, flags)
        say("done", mail, what, folder, uid, flags)


async def main(home: str, name: str, seed: int) -> None:
    settings = msgspec.structs.replace(
        Settings(),
        mail_index_log_rotate_min_size=3000,
        mail_index_log_rotate_max_size=6000,
        mail_index_lock_timeout=20.0,
    )
    users = Users()
    user = await users.acquire("crash", {"home": home}, settings)
    mailboxes = {folder: user.open_mailbox(folder) for folder in FOLDERS}
    workers = [Worker(mailboxes, f"{name}.{i}", seed + i) for i in range(TASKS)]
    say("ready")
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
