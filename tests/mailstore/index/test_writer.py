"""Committing: grouping, refusal, failure of the disk, waiting for others."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.mailstore.errors import LockTimeout, MailboxDeleted, NoSpace, Temporary
from pillarbox.mailstore.index import lock
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.index import MailboxIndex
from pillarbox.mailstore.index.log import LogFile
from pillarbox.mailstore.index.records import empty_records
from pillarbox.mailstore.index.writer import Writer, _pool, commit_blocking
from pillarbox.runtime.log import Line

Open = Callable[..., MailboxIndex]


def one(draft: Draft) -> int:
    return int(draft.append(empty_records(1))[0])


def test_concurrent_changes_share_a_sync(open_index: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = LogFile.write

    def counted(self: LogFile, data: bytes, start: int) -> None:
        writes.append(len(data))
        write(self, data, start)

    monkeypatch.setattr(LogFile, "write", counted)

    async def main() -> None:
        writer = Writer(open_index())
        uids = await asyncio.gather(*(writer.commit(one) for _ in range(100)))
        assert uids == list(range(1, 101))
        await writer.close()

    asyncio.run(main())
    assert len(writes) <= 3
    assert open_index().state.count == 100


def test_a_builder_that_refuses_hurts_nobody_else(open_index: Open) -> None:
    def refuse(draft: Draft) -> None:
        draft.append(empty_records(3))
        draft.keyword_bits([b"$never"])
        raise ValueError("no")

    async def main() -> None:
        writer = Writer(open_index())
        results = await asyncio.gather(
            writer.commit(one),
            writer.commit(refuse),
            writer.commit(one),
            return_exceptions=True,
        )
        assert results[0] == 1
        assert results[2] == 2
        assert isinstance(results[1], ValueError)

    asyncio.run(main())
    state = open_index().state
    assert state.uids.tolist() == [1, 2]
    assert state.keywords == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, Temporary)])
def test_a_failing_disk_changes_nothing(
    open_index: Open,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[Line],
    number: int,
    kind: type[Exception],
) -> None:
    index = open_index()

    def broken(fd: int) -> None:
        raise OSError(number, "planned")

    async def main() -> None:
        writer = Writer(index)
        assert await writer.commit(one) == 1
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", broken)
            with pytest.raises(kind):
                await writer.commit(one)
            assert index.state.count == 1
        assert open_index().state.count == 1
        assert await writer.commit(one) == 2

    asyncio.run(main())
    assert open_index().state.uids.tolist() == [1, 2]
    assert logged[0].level == "error"


def test_somebody_who_keeps_the_lock_makes_a_temporary_failure(
    open_index: Open, folder: Path
) -> None:
    async def main() -> None:
        writer = Writer(open_index(lock_timeout=0.02))
        fd = lock.try_lock(folder)
        assert fd is not None
        with pytest.raises(LockTimeout):
            await writer.commit(one)
        lock.release(fd)
        wait = lock.LockWait()
        lock.lock_wait.set(wait)
        assert await writer.commit(one) == 1
        assert wait.usecs == 0
        fd = lock.try_lock(folder)
        assert fd is not None
        asyncio.get_running_loop().call_later(0.005, lock.release, fd)
        assert await writer.commit(one) == 2
        assert wait.usecs >= 1000

    asyncio.run(main())


def test_a_cancelled_caller_does_not_stop_the_write(open_index: Open) -> None:
    async def main() -> None:
        writer = Writer(open_index())
        task = asyncio.create_task(writer.commit(one))
        await asyncio.sleep(0)
        task.cancel()
        assert await writer.commit(one) == 2
        await writer.close()

    asyncio.run(main())
    assert open_index().state.count == 2


def test_writing_to_a_deleted_mailbox(open_index: Open, folder: Path) -> None:
    async def main() -> None:
        index = open_index()
        writer = Writer(index)
        await writer.commit(one)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        with pytest.raises(MailboxDeleted):
            await writer.commit(one)
        assert index.deleted

    asyncio.run(main())


def test_nothing_to_do_writes_nothing(open_index: Open) -> None:
    async def main() -> None:
        index = open_index()
        assert await Writer(index).commit(lambda draft: draft.modseq) == 2
        assert index.state.highestmodseq == 1
        assert index.log.tail == 128

    asyncio.run(main())


def test_long_logs_are_rotated_by_themselves(open_index: Open, folder: Path) -> None:
    async def main() -> None:
        writer = Writer(open_index(rotate_min_size=2000, rotate_max_size=2000))
        other = open_index()
        for number in range(120):
            await writer.commit(one)
            if number % 50 == 0:
                other.refresh()
        await writer.close()
        assert other.refresh()
        assert other.state.count == 120
        assert other.log.base.sequence > 2

    asyncio.run(main())
    assert (folder / "index").exists()
    assert (folder / "index.log.2").exists()
    assert not list(folder.glob("*.tmp"))
    assert open_index().state.uids.tolist() == list(range(1, 121))


def test_a_rotation_while_somebody_catches_up_hides_nothing(
    open_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after a reader's look at the tail word, others write and rotate the log."""

    async def main() -> None:
        reader, writer = open_index(), Writer(open_index())
        await writer.commit(one)
        looks = [reader.log.word]
        await writer.commit(one)
        await writer.checkpoint()
        now = LogFile.word.fget
        assert now is not None
        with monkeypatch.context() as patch:
            look = property(lambda log: looks.pop() if looks else now(log))
            patch.setattr(LogFile, "word", look)
            reader.refresh()
        assert reader.state.count == 1
        reader.refresh()
        assert (reader.state.count, reader.state.uidnext) == (2, 3)
        assert await Writer(reader).commit(one) == 3
        await writer.close()

    asyncio.run(main())


def test_checkpoints_asked_for_at_the_same_time(open_index: Open, folder: Path) -> None:
    """Each comes to its end, whoever is overtaken, and a caller may go away meanwhile."""

    async def main() -> None:
        writer = Writer(open_index())
        await writer.commit(one)
        gone = asyncio.create_task(writer.checkpoint())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(asyncio.gather(*(writer.checkpoint() for _ in range(3))), 10)
        assert await writer.commit(one) == 2
        await writer.close()

    asyncio.run(main())
    assert not list(folder.glob("*.tmp"))
    assert open_index().state.count == 2


def rotate_and_die(open_index: Open, step: int) -> None:
    """In a child process: commit, checkpoint, and die at that system call of the checkpoint."""
    status = 3
    try:
        _pool.clear()
        left = step

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                if left == 0:
                    os._exit(1)
                left -= 1
                return real(*args, **kwargs)

            return call

        async def main() -> None:
            writer = Writer(open_index())
            await writer.commit(one)
            for name in ("rename", "link", "fsync", "unlink", "pwrite", "write"):
                setattr(os, name, dying(getattr(os, name)))
            await writer.checkpoint()

        asyncio.run(main())
        status = 0
    finally:
        os._exit(status)


def test_dying_in_the_middle_of_a_rotation(open_index: Open, logged: list[Line]) -> None:
    """At each system call of it; the others find what was committed and go on."""
    for step in range(60):
        count = open_index().state.count
        child = os.fork()
        if child == 0:
            rotate_and_die(open_index, step)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 1)
        assert open_index().state.count == count + 1
        assert commit_blocking(open_index(), one) == count + 2
        assert open_index().state.uids.tolist() == list(range(1, count + 3))
        if status == 0:
            assert step > 10
            assert logged == []
            return
    raise AssertionError("the rotation never came to its end")
