"""What the index costs: opening, counting, flagging, appending, looking whether anything changed.

Run as ``python bench/index.py [folder]``; figures are medians, on the disk that ``folder`` is on.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore.index import opening
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.mailstore.index.records import empty_records
from pillarbox.mailstore.index.writer import Writer, commit_blocking
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.mailstore.user import Users
from pillarbox.settings.model import Settings

COUNT = 100_000
GUID = bytes(range(16))


def median(work: Callable[[], object], times: int = 15) -> float:
    """Seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def row(what: str, value: float, unit: str) -> None:
    print(f"{what:<58} {value:>12,.3f} {unit}")


def fill(folder: Path) -> None:
    """A mailbox of 100,000 messages, one in ten unseen, with a snapshot."""
    opening.create(folder, GUID, 1)
    index = MailboxIndex(folder, GUID, Scope(), Options())
    records = empty_records(COUNT)
    records["size"] = 5000
    records["flags"] = np.where(np.arange(COUNT) % 10 == 0, 0, 1)
    records["offset"] = np.arange(COUNT) * 5100
    records["guid"] = np.frombuffer(np.random.default_rng(1).bytes(16 * COUNT), "V16")
    commit_blocking(index, lambda draft: draft.append(records))
    asyncio.run(Writer(index).checkpoint())
    index.close()


def opening_and_looking(folder: Path) -> None:
    def first_open() -> None:
        index = MailboxIndex(folder, GUID, Scope(), Options())
        assert (index.state.count, index.state.unseen) == (COUNT, COUNT // 10)
        index.close()

    row("first open and counts, 100,000 messages", median(first_open) * 1e3, "ms")
    index = MailboxIndex(folder, GUID, Scope(), Options())
    refresh = index.refresh

    def many() -> None:
        for _ in range(10_000):
            refresh()

    row("refresh when nothing changed", median(many) * 1e9 / 10_000, "ns")
    row("open and first unseen", median(lambda: _first_unseen(folder)) * 1e3, "ms")
    index.close()


def _first_unseen(folder: Path) -> None:
    index = MailboxIndex(folder, GUID, Scope(), Options())
    assert index.state.first_unseen() == 0
    index.close()


async def storing(folder: Path) -> None:
    index = MailboxIndex(folder, GUID, Scope(), Options())
    writer = Writer(index)
    everything = np.arange(COUNT, dtype=np.int64)
    taken = []
    for number in range(30):
        masks = {"add": 4} if number % 2 == 0 else {"keep": 0xFB}
        started = time.perf_counter()
        await writer.commit(lambda draft, m=masks: draft.change_flags(everything, **m))
        taken.append(time.perf_counter() - started)
    row("durable STORE 1:* of 100,000", statistics.median(taken) * 1e3, "ms")
    await writer.close()
    index.close()


async def appending(folder: Path) -> None:
    opening.create(folder, GUID, 1)
    index = MailboxIndex(folder, GUID, Scope(), Options())
    writer = Writer(index)

    def build(draft: Draft) -> None:
        draft.append(empty_records(1))

    started = time.perf_counter()
    for _ in range(1000):
        await writer.commit(build)
    row("index transactions, one after the other", 1000 / (time.perf_counter() - started), "/s")
    for tasks in (10, 50):
        started = time.perf_counter()

        async def some() -> None:
            for _ in range(200):
                await writer.commit(build)

        await asyncio.gather(*(some() for _ in range(tasks)))
        rate = tasks * 200 / (time.perf_counter() - started)
        row(f"index transactions, {tasks} writers", rate, "/s")
    await writer.close()
    index.close()


async def saving(folder: Path) -> None:
    users = Users()
    user = await users.acquire("bench", {"home": str(folder)}, Settings())
    mailbox = user.open_mailbox("INBOX")
    message = [NewMessage(b"Subject: x\r\n\r\n" + b"x" * 3000)]
    scope = Scope()
    started = time.perf_counter()
    for _ in range(500):
        await mailbox.append(scope, message)
    row(
        "durable appends with bytes, one after the other",
        500 / (time.perf_counter() - started),
        "/s",
    )
    for tasks in (10, 50):
        started = time.perf_counter()

        async def some() -> None:
            for _ in range(100):
                await mailbox.append(scope, message)

        await asyncio.gather(*(some() for _ in range(tasks)))
        rate = tasks * 100 / (time.perf_counter() - started)
        row(f"durable appends with bytes, {tasks} writers", rate, "/s")
    await users.close()


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as path:
        root = Path(path)
        fill(root / "big")
        opening_and_looking(root / "big")
        asyncio.run(storing(root / "big"))
        asyncio.run(appending(root / "small"))
        asyncio.run(saving(root / "home"))


if __name__ == "__main__":
    main()
