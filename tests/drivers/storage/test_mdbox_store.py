"""The container store: the family's contract, and what only it has to survive."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from contract import FOLDER, MAIL, StorageContract
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.drivers.storage.api import Location, MessageLost, MessageStore, StorageError
from pillarbox.drivers.storage.mdbox import container
from pillarbox.drivers.storage.mdbox.store import MdboxStore


class TestMdbox(StorageContract):
    def make(self, path: Path) -> MessageStore:
        return MdboxStore(path / "storage", rotate_size=1 << 20)


class TestMdboxCompressed(StorageContract):
    def make(self, path: Path) -> MessageStore:
        return MdboxStore(path / "storage", rotate_size=1 << 20, compress=True)


class TestMdboxRotatingOften(StorageContract):
    def make(self, path: Path) -> MessageStore:
        return MdboxStore(path / "storage", rotate_size=4096)


async def fill(path: Path, mails: list[bytes], rotate: int = 1 << 20) -> list[Location]:
    store = MdboxStore(path, rotate_size=rotate)
    places = []
    for mail in mails:
        batch = store.begin(FOLDER)
        places.append(batch.add(mail).location)
        await batch.commit()
    await store.close()
    return places


def test_compression_saves_space_and_is_seen_by_a_plain_store(tmp_path: Path) -> None:
    async def go() -> None:
        packed = MdboxStore(tmp_path, rotate_size=1 << 20, compress=True)
        batch = packed.begin(FOLDER)
        saved = batch.add(MAIL * 1000)
        await batch.commit()
        await packed.close()
        plain = MdboxStore(tmp_path, rotate_size=1 << 20)
        assert bytes(await plain.read(saved.location)) == MAIL * 1000
        (stored,) = plain.scan()
        assert stored.size == len(MAIL) * 1000
        await plain.close()

    asyncio.run(go())
    assert (tmp_path / "m.1").stat().st_size < len(MAIL) * 1000


def test_a_stale_hint_is_no_harm(tmp_path: Path) -> None:
    """After a kill between sync and hint, new mail must not overwrite what was acknowledged."""
    places = asyncio.run(fill(tmp_path, [b"x" * n for n in (10, 3000, 50)]))
    fd = os.open(tmp_path / "m.1", os.O_RDWR)
    container.write_hint(fd, container.DATA_START)
    os.close(fd)
    more = asyncio.run(fill(tmp_path, [b"y" * 400]))
    assert more[0] not in places

    async def go() -> None:
        store = MdboxStore(tmp_path, rotate_size=1 << 20)
        got = [bytes(await store.read(place)) for place in places + more]
        assert got == [b"x" * 10, b"x" * 3000, b"x" * 50, b"y" * 400]
        await store.close()

    asyncio.run(go())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_hides_only_the_message_that_it_hit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage")
    mails = [bytes([65 + n]) * (n * 37 + 1) for n in range(8)]
    places = asyncio.run(fill(path, mails))
    end = places[-1].offset + len(mails[-1]) + container.OVERHEAD
    at = data.draw(st.integers(container.DATA_START, end - 1))
    raw = bytearray((path / "m.1").read_bytes())
    raw[at] ^= data.draw(st.integers(1, 255))
    (path / "m.1").write_bytes(raw)
    hit = max(n for n, place in enumerate(places) if place.offset <= at)
    store = MdboxStore(path, rotate_size=1 << 20)
    found = {stored.location for stored in store.scan()}
    at_hand = store.at_hand([(*place, len(mail)) for place, mail in zip(places, mails)])
    padding = range(places[hit].offset + 72, places[hit].offset + 76)
    for n, place in enumerate(places):
        if n == hit and at not in padding:
            assert place not in found
            with pytest.raises(MessageLost):
                store.read_sync(place)
            assert at_hand[n] is None or bytes(at_hand[n] or b"") == mails[n]
        elif n != hit:
            assert place in found
            assert at_hand[n] is None or bytes(at_hand[n] or b"") == mails[n]
            assert bytes(store.read_sync(place)) == mails[n]
    asyncio.run(store.close())


def test_neighbours_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails = [b"%d" % n * 500 for n in range(40)]
    places = asyncio.run(fill(tmp_path, mails, rotate=16 * 1024))
    assert len({place.container for place in places}) > 2
    store = MdboxStore(tmp_path, rotate_size=1 << 20)
    reads: list[tuple[int, int]] = []
    preadv = os.preadv

    def counted(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        reads.append((fd, offset))
        return preadv(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", counted)
    found = store.at_hand([(*place, 500 * len(b"%d" % n)) for n, place in enumerate(places)])
    assert [message and bytes(message) for message in found] == mails
    assert len(reads) == len({place.container for place in places})
    asyncio.run(store.close())


def test_what_is_at_hand_is_what_the_kernel_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = asyncio.run(fill(tmp_path, [b"a" * 100, b"b" * 100, b"c" * 100]))
    store = MdboxStore(tmp_path, rotate_size=1 << 20)
    wanted = [(*place, 100) for place in places]
    preadv = os.preadv

    def only_the_beginning(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        return preadv(fd, [memoryview(buffers[0])[: places[1].offset + 50]], offset, flags)

    monkeypatch.setattr(os, "preadv", only_the_beginning)
    found = store.at_hand(wanted)
    assert [message and bytes(message) for message in found] == [b"a" * 100, None, None]

    def nothing(*args: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", nothing)
    assert store.at_hand(wanted) == [None, None, None]

    def broken(*args: object) -> int:
        raise OSError("input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    assert store.at_hand(wanted) == [None, None, None]
    monkeypatch.undo()
    assert store.at_hand([(*places[0], 99), (*places[1], 101)]) == [None, None]
    asyncio.run(store.close())


def test_a_truncated_container_keeps_what_is_before_the_cut(tmp_path: Path) -> None:
    places = asyncio.run(fill(tmp_path, [b"a" * 100, b"b" * 100, b"c" * 100]))
    os.truncate(tmp_path / "m.1", places[2].offset + 20)
    store = MdboxStore(tmp_path, rotate_size=1 << 20)
    assert [stored.location for stored in store.scan()] == places[:2]
    with pytest.raises(MessageLost):
        store.read_sync(places[2])
    asyncio.run(store.close())
    more = asyncio.run(fill(tmp_path, [b"d" * 100]))
    again = MdboxStore(tmp_path, rotate_size=1 << 20)
    assert bytes(again.read_sync(more[0])) == b"d" * 100
    assert bytes(again.read_sync(places[0])) == b"a" * 100
    asyncio.run(again.close())


def test_purge_moves_the_living_to_another_container(tmp_path: Path) -> None:
    mails = [b"%03d" % n * 500 for n in range(40)]
    places = asyncio.run(fill(tmp_path, mails, rotate=16384))
    assert len({place.container for place in places}) > 2
    live = {place: place for place in random.Random(1).sample(places, 15)}

    async def go() -> None:
        store = MdboxStore(tmp_path, rotate_size=16384)

        async def relocate(mapping: dict[Location, Location]) -> None:
            for old, now in live.items():
                live[old] = mapping.get(now, now)

        before = sum(f.stat().st_size for f in tmp_path.glob("m.*"))
        result = await store.purge(lambda: set(live.values()), relocate)
        assert result.messages_dropped == 25
        assert result.bytes_freed > 0
        assert sum(f.stat().st_size for f in tmp_path.glob("m.*")) < before
        for old, now in live.items():
            assert bytes(await store.read(now)) == mails[places.index(old)]
        await store.close()

    asyncio.run(go())


def test_purge_leaves_the_container_that_another_store_writes_to(tmp_path: Path) -> None:
    async def go() -> None:
        writer = MdboxStore(tmp_path, rotate_size=1 << 20)
        batch = writer.begin(FOLDER)
        saved = batch.add(MAIL)
        purger = MdboxStore(tmp_path, rotate_size=1 << 20)

        async def relocate(mapping: dict[Location, Location]) -> None:
            raise AssertionError(mapping)

        result = await purger.purge(set, relocate)
        assert result.containers_removed == 0
        await batch.commit()
        assert bytes(await purger.read(saved.location)) == MAIL
        await writer.close()
        await purger.close()

    asyncio.run(go())


def test_purge_refuses_while_this_process_saves(tmp_path: Path) -> None:
    async def go() -> None:
        store = MdboxStore(tmp_path, rotate_size=1 << 20)

        async def relocate(mapping: dict[Location, Location]) -> None:
            raise AssertionError(mapping)

        with store.hold(), pytest.raises(StorageError):
            await store.purge(set, relocate)
        await store.close()

    asyncio.run(go())


def test_a_full_disk_is_a_temporary_failure(tmp_path: Path) -> None:
    """A container that may not grow (RLIMIT_FSIZE would do as well) refuses and stays usable."""

    async def go() -> None:
        store = MdboxStore(tmp_path, rotate_size=1 << 20)
        batch = store.begin(FOLDER)
        kept = batch.add(MAIL)
        await batch.commit()
        original = os.pwritev
        try:
            os.pwritev = _no_space  # type: ignore[assignment]
            failing = store.begin(FOLDER)
            failing.add(MAIL)
            with pytest.raises(StorageError):
                await failing.commit()
        finally:
            os.pwritev = original
        after = store.begin(FOLDER)
        saved = after.add(b"after")
        await after.commit()
        assert bytes(await store.read(kept.location)) == MAIL
        assert bytes(await store.read(saved.location)) == b"after"
        assert [s.location for s in store.scan()] == [kept.location, saved.location]
        await store.close()

    asyncio.run(go())


def _no_space(*args: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_number_that_is_used_again_is_another_container(tmp_path: Path) -> None:
    async def nothing(mapping: dict[Location, Location]) -> None:
        raise AssertionError("nothing is to be moved")

    async def go() -> None:
        (old,) = await fill(tmp_path, [b"old" * 100])
        reading, purging = (MdboxStore(tmp_path, rotate_size=1 << 20) for _ in range(2))
        assert bytes(reading.read_sync(old)) == b"old" * 100
        await purging.purge(set, nothing)
        assert list(tmp_path.glob("m.*")) == []
        batch = purging.begin(FOLDER)
        saved = [batch.add(b"a" * 7), batch.add(b"new" * 100)]
        await batch.commit()
        assert saved[1].location.container == old.container
        assert bytes(await reading.read(saved[1].location, 300)) == b"new" * 100
        with pytest.raises(MessageLost):
            reading.read_sync(Location(old.container, 1 << 16))
        for store in (reading, purging):
            await store.close()

    asyncio.run(go())


def test_a_container_stays_open_for_those_who_read(tmp_path: Path) -> None:
    """A thread's read goes on while others open so many containers that its own is let go of."""
    places = asyncio.run(fill(tmp_path, [b"%02d" % n * 500 for n in range(40)], rotate=1))
    assert len({place.container for place in places}) == 40
    store = MdboxStore(tmp_path, rotate_size=1 << 20)
    file = store._reader._file(places[0])
    for n, place in enumerate(places):
        assert bytes(store.read_sync(place)) == b"%02d" % n * 500
    assert container.read_record(file.fd, places[0])[1] == b"00" * 500
    descriptors = len(os.listdir("/proc/self/fd"))
    del file
    assert len(os.listdir("/proc/self/fd")) == descriptors - 1
    asyncio.run(store.close())
    assert len(os.listdir("/proc/self/fd")) < descriptors - 10
