"""Damage of every region of the index's files: the mail is found again, and nothing is silent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pillarbox.drivers.storage.api import Location, Stored
from pillarbox.events.catalogue.mail_index import mail_index_recreated
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailboxDeleted
from pillarbox.mailstore.index import opening
from pillarbox.mailstore.index import snapshot as snap
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.mailstore.index.log import DATA_START, DELETED, TAIL_AT
from pillarbox.mailstore.index.records import empty_records
from pillarbox.mailstore.index.writer import Writer, commit_blocking
from pillarbox.runtime.log import Line

GUID = bytes(range(16))
COUNT = 40


class Bench:
    """A mailbox of 40 mails (mail n begins with UID n), some flagged, 6 expunged.

    Half of that is in the snapshot, if there is one.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "mailbox"
        self.stored: list[Stored] = []
        self.events: list[tuple[str | None, str | None]] = []
        opening.create(self.folder, GUID, 77)

    def open(self) -> MailboxIndex:
        options = Options(lock_timeout=5.0, uidvalidity=77, rescue=lambda: list(self.stored))
        return MailboxIndex(self.folder, GUID, Scope(), options)

    def add(self, index: MailboxIndex, count: int) -> None:
        def build(draft: Draft) -> None:
            records = empty_records(count)
            for at in range(count):
                number = len(self.stored) + 1
                guid = number.to_bytes(16, "big")
                place = Location(1, number * 1000)
                self.stored.append(Stored(place, guid, 500 + number, 1_000_000 + number, GUID))
                records[at]["guid"] = np.void(guid)
                records[at]["container"], records[at]["offset"] = place
                records[at]["size"] = 500 + number
            draft.append(records)

        commit_blocking(index, build)

    def save(self) -> None:
        self._saved = {p.name: p.read_bytes() for p in self.folder.iterdir()}
        self._saved_stored = list(self.stored)

    def restore(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        for name, content in self._saved.items():
            (self.folder / name).write_bytes(content)
        self.stored = list(self._saved_stored)
        self.events.clear()

    def fill(self, rotations: int) -> None:
        """With 0, 1 or 2 rotations of the log, the last in the middle of the work."""
        index = self.open()
        for number in range(COUNT // 8):
            if number == 2 and rotations == 2:
                asyncio.run(Writer(index).checkpoint())
            self.add(index, 4)
        commit_blocking(index, lambda d: d.change_flags(np.arange(0, 10), add=1))
        commit_blocking(index, lambda d: d.expunge(np.array([2, 3, 4])))
        if rotations:
            asyncio.run(Writer(index).checkpoint())
        for _ in range(COUNT // 8):
            self.add(index, 4)
        commit_blocking(index, lambda d: d.change_flags(np.arange(20, 30), add=4))
        commit_blocking(index, lambda d: d.expunge(np.array([6, 7, 30])))
        self.flags = self.by_guid(index)
        self.uidnext = index.state.uidnext
        index.close()
        self.save()

    def by_guid(self, index: MailboxIndex) -> dict[int, int]:
        return {
            int.from_bytes(r["guid"].tobytes(), "big"): int(r["flags"]) for r in index.state.records
        }


@pytest.fixture
def bench(fast_path: Path, logged: list[Line]) -> Iterator[Bench]:
    made = Bench(fast_path)
    mail_index_recreated.emit = lambda scope, *, filepath=None, reason=None: made.events.append(
        (filepath, reason)
    )
    yield made
    mail_index_recreated.emit = None


def check(bench: Bench, *, lost_flags: int, back: int, event: bool = True) -> MailboxIndex:
    """All mail is there; at most so many have lost flags or came back; UIDs are never reused."""
    index = bench.open()
    assert bool(bench.events) == event
    found = bench.by_guid(index)
    assert set(bench.flags) <= set(found)
    assert len(set(found) - set(bench.flags)) <= back
    assert sum(found[guid] != flags for guid, flags in bench.flags.items()) <= lost_flags
    state = index.state
    for record in state.records:
        uid, guid = int(record["uid"]), int.from_bytes(record["guid"].tobytes(), "big")
        if state.uidvalidity == 77:
            assert uid == guid or uid >= bench.uidnext
    uids = state.uids.tolist()
    assert uids == sorted(set(uids))
    assert not uids or uids[-1] < state.uidnext
    assert state.unseen == sum(not int(f) & 1 for f in state.records["flags"])
    assert state.size == int(state.records["size"].sum())
    # It works on, here and for whoever opens it next.
    bench.add(index, 1)
    index.close()
    again = bench.open()
    assert bench.by_guid(again) == {**found, len(bench.stored): 0}
    assert len(bench.events) <= 1
    return again


def flip(path: Path, offset: int, mask: int = 0x55) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        [old] = file.read(1)
        file.seek(offset)
        file.write(bytes([old ^ mask]))


def transactions_end(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[TAIL_AT : TAIL_AT + 8], "little")


LOG_REGIONS = [*range(0, 60, 7), *range(DATA_START, 3000, 37)]


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_a_flip_anywhere_in_the_log_costs_one_transaction(bench: Bench, rotations: int) -> None:
    bench.fill(rotations)
    end = transactions_end(bench.folder / "index.log")
    for offset in (o for o in LOG_REGIONS if o < end):
        bench.restore()
        flip(bench.folder / "index.log", offset)
        check(bench, lost_flags=10, back=3).close()


@pytest.mark.parametrize("byte", range(8))
@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80, 0xFF])
def test_a_damaged_tail_word_costs_nothing(bench: Bench, byte: int, mask: int) -> None:
    bench.fill(1)
    flip(bench.folder / "index.log", TAIL_AT + byte, mask)
    index = bench.open()
    assert bench.by_guid(index) == bench.flags
    assert index.state.uidvalidity == 77
    bench.add(index, 1)
    index.close()
    again = bench.open()
    assert bench.by_guid(again) == {**bench.flags, len(bench.stored): 0}
    again.close()


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_the_log_can_be_cut_anywhere(bench: Bench, rotations: int) -> None:
    bench.fill(rotations)
    end = transactions_end(bench.folder / "index.log")
    for size in [0, 1, 60, 127, 128, 129, *range(150, end, 97), end - 1]:
        bench.restore()
        os.truncate(bench.folder / "index.log", size)
        check(bench, lost_flags=20, back=6).close()


@pytest.mark.parametrize("rotations", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_a_flip_anywhere_in_the_snapshot(bench: Bench, rotations: int, both: bool) -> None:
    """What is lost can be had from the logs as long as they go back far enough."""
    bench.fill(rotations)
    size = (bench.folder / "index").stat().st_size
    for offset in [*range(0, 180, 11), *range(snap.HEADER_SIZE, size, 29)]:
        bench.restore()
        flip(bench.folder / "index", offset)
        if both:
            flip(bench.folder / "index", size - snap.HEADER_SIZE + 20)
        whole = both and offset < 180
        worst = (10, 3) if whole and rotations == 2 else (1, 0)
        # The spare copy of the header is looked at only when the first is damaged.
        used = offset < size - snap.HEADER_SIZE
        check(bench, lost_flags=worst[0], back=worst[1], event=used).close()


@pytest.mark.parametrize("rotations", [1, 2])
def test_the_snapshot_can_be_cut_anywhere(bench: Bench, rotations: int) -> None:
    bench.fill(rotations)
    size = (bench.folder / "index").stat().st_size
    for length in [0, 1, 255, 256, *range(257, size - snap.HEADER_SIZE, 101)]:
        bench.restore()
        os.truncate(bench.folder / "index", length)
        check(bench, lost_flags=10, back=3 if rotations == 2 else 0).close()


@pytest.mark.parametrize("rotations", [0, 1, 2])
@pytest.mark.parametrize(
    "names",
    [
        ("index",),
        ("index.log",),
        ("index.log.2",),
        ("index", "index.log"),
        ("index.log", "index.log.2"),
        ("index", "index.log", "index.log.2"),
    ],
)
def test_files_that_are_gone(bench: Bench, rotations: int, names: tuple[str, ...]) -> None:
    bench.fill(rotations)
    there = [name for name in names if (bench.folder / name).exists()]
    for name in there:
        (bench.folder / name).unlink()
    check(bench, lost_flags=40, back=6, event=bool(there)).close()


def test_a_mailbox_whose_folder_is_gone_is_found_in_the_store(bench: Bench) -> None:
    bench.fill(1)
    for path in bench.folder.iterdir():
        path.unlink()
    bench.folder.rmdir()
    index = check(bench, lost_flags=40, back=6)
    assert index.state.uidvalidity > 77
    index.close()


def test_the_event_says_which_file_and_why(bench: Bench, logged: list[Line]) -> None:
    bench.fill(1)
    flip(bench.folder / "index", 600)
    bench.open().close()
    [(path, reason)] = bench.events
    assert path == str(bench.folder / "index")
    assert reason is not None
    assert "damaged" in reason
    assert any(line.level == "error" and str(path) in line.text for line in logged)


def test_damage_while_it_is_open_is_mended_too(bench: Bench) -> None:
    """Another process rebuilds; the first goes on with what it made."""
    bench.fill(0)
    first = bench.open()
    flip(bench.folder / "index.log", DATA_START + 50)
    second = bench.open()
    assert len(bench.events) == 1
    first.refresh()
    assert bench.by_guid(first) == bench.by_guid(second)
    bench.add(first, 1)
    second.refresh()
    assert bench.by_guid(first) == bench.by_guid(second)
    assert len(bench.events) == 1
    first.close()
    second.close()


def test_a_deleted_mailbox_is_not_rebuilt(bench: Bench) -> None:
    bench.fill(0)
    path = bench.folder / "index.log"
    raw = bytearray(path.read_bytes())
    raw[TAIL_AT : TAIL_AT + 8] = DELETED.to_bytes(8, "little")
    path.write_bytes(raw)
    with pytest.raises(MailboxDeleted):
        bench.open()
    assert not bench.events


@pytest.mark.parametrize("also", [(), ("index",), ("index", "index.log.2")])
def test_files_removed_while_in_use_cost_nothing(bench: Bench, also: tuple[str, ...]) -> None:
    """Whoever has the mailbox open writes it anew; the others come over."""
    bench.fill(1)
    first, second = bench.open(), bench.open()
    for name in ("index.log", *also):
        (bench.folder / name).unlink()
    bench.add(first, 1)
    assert len(bench.events) == 1
    assert second.refresh()
    expected = {**bench.flags, len(bench.stored): 0}
    assert bench.by_guid(first) == bench.by_guid(second) == expected
    assert first.state.uidvalidity == 77
    third = bench.open()
    assert bench.by_guid(third) == expected
    assert len(bench.events) == 1
    for index in (first, second, third):
        index.close()


def test_files_replaced_while_in_use_count(bench: Bench) -> None:
    """A backup put back under a running server is what the mailbox is from then on."""
    bench.fill(1)
    first = bench.open()
    bench.add(first, 1)
    for name in ("index", "index.log", "index.log.2"):
        (bench.folder / name).unlink()
        (bench.folder / name).write_bytes(bench._saved[name])
    bench.add(first, 1)
    assert set(bench.by_guid(first)) == {*bench.flags, len(bench.stored)}
    first.close()
    assert not bench.events
