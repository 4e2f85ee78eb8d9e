"""The writers' lock: exclusive between descriptors, with a deadline, counted."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from pillarbox.mailstore.errors import LockTimeout, MailboxDeleted, Temporary
from pillarbox.mailstore.index import lock


def test_only_one_has_it(tmp_path: Path) -> None:
    fd = lock.try_lock(tmp_path)
    assert fd is not None
    assert lock.try_lock(tmp_path) is None
    lock.release(fd)
    again = lock.try_lock(tmp_path)
    assert again is not None
    lock.release(again)


def test_waiting_has_a_deadline_and_is_a_temporary_failure(tmp_path: Path) -> None:
    fd = lock.try_lock(tmp_path)
    assert fd is not None
    started = time.monotonic()
    with pytest.raises(LockTimeout):
        asyncio.run(lock.acquire(tmp_path, 0.05))
    with pytest.raises(Temporary):
        lock.acquire_blocking(tmp_path, 0.05)
    assert time.monotonic() - started >= 0.1
    lock.release(fd)


def test_the_loop_goes_on_while_somebody_waits(tmp_path: Path) -> None:
    async def main() -> None:
        fd = lock.try_lock(tmp_path)
        assert fd is not None
        waiting = asyncio.create_task(lock.acquire(tmp_path, 5))
        await asyncio.sleep(0)
        lock.release(fd)
        got, waited = await waiting
        assert waited > 0
        lock.release(got)

    asyncio.run(main())


def test_a_folder_that_is_gone_is_a_deleted_mailbox(tmp_path: Path) -> None:
    with pytest.raises(MailboxDeleted):
        lock.try_lock(tmp_path / "gone")


def test_waits_are_added_up_for_the_command() -> None:
    wait = lock.LockWait()
    lock.count_wait(5)
    token = lock.lock_wait.set(wait)
    lock.count_wait(10)
    lock.count_wait(20)
    lock.lock_wait.reset(token)
    assert wait.usecs == 30
