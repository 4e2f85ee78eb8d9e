"""What every message store must do, whatever it is made of."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pillarbox.drivers.storage.api import Location, MessageLost, MessageStore

FOLDER = bytes(range(16))
MAIL = b"Subject: one\r\n\r\nbody\r\n"


class StorageContract:
    """Subclass, and say how a store is made."""

    persistent = True

    def make(self, path: Path) -> MessageStore:
        raise NotImplementedError

    def test_what_was_committed_can_be_read(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            batch = store.begin(FOLDER)
            saved = [batch.add(MAIL * n, received=n) for n in (1, 2, 5000)]
            await batch.commit()
            for n, one in zip((1, 2, 5000), saved, strict=True):
                assert one.size == len(MAIL) * n
                assert bytes(await store.read(one.location)) == MAIL * n
                assert bytes(store.read_sync(one.location)) == MAIL * n
                (at_hand,) = store.at_hand([(*one.location, one.size)])
                assert at_hand is None or bytes(at_hand) == MAIL * n
            assert len({one.guid for one in saved}) == 3
            await store.close()

        asyncio.run(go())

    def test_what_is_at_hand_comes_in_the_order_that_was_asked_for(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            bodies = [b"%d\r\n" % n * (1 + 997 * n % 5000) for n in range(120)]
            batch = store.begin(FOLDER)
            saved = [batch.add(body) for body in bodies]
            await batch.commit()
            order = sorted(range(120), key=lambda n: n * 61 % 120)
            wanted = [(*saved[n].location, saved[n].size) for n in order]
            wanted.insert(7, (77, 64, 10))
            found = store.at_hand(wanted)
            assert found.pop(7) is None
            for n, message in zip(order, found, strict=True):
                assert message is None or bytes(message) == bodies[n]
            assert store.at_hand([]) == []
            await store.close()

        asyncio.run(go())

    def test_an_empty_message_is_a_message(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            batch = store.begin(FOLDER)
            saved = batch.add(b"")
            await batch.commit()
            assert bytes(await store.read(saved.location)) == b""
            await store.close()

        asyncio.run(go())

    def test_a_given_guid_is_kept_and_told_again(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            guid = os.urandom(16)
            batch = store.begin(FOLDER)
            saved = batch.add(MAIL, guid=guid, received=1234567890)
            await batch.commit()
            (stored,) = list(store.scan())
            assert stored.guid == guid == saved.guid
            assert stored.received == 1234567890
            assert stored.mailbox_guid == FOLDER
            assert stored.size == len(MAIL)
            assert stored.location == saved.location
            await store.close()

        asyncio.run(go())

    def test_an_aborted_batch_leaves_nothing(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            aborted = store.begin(FOLDER)
            gone = aborted.add(MAIL)
            aborted.abort()
            kept = store.begin(FOLDER)
            saved = kept.add(b"kept")
            await kept.commit()
            assert [one.location for one in store.scan()] == [saved.location]
            with pytest.raises(MessageLost):
                await store.read(gone.location)
            await store.close()

        asyncio.run(go())

    def test_batches_commit_together(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)

            async def one(n: int) -> Location:
                batch = store.begin(FOLDER)
                saved = batch.add(b"%d" % n * 100)
                await batch.commit()
                return saved.location

            places = await asyncio.gather(*(one(n) for n in range(60)))
            assert len(set(places)) == 60
            for n, place in enumerate(places):
                assert bytes(await store.read(place)) == b"%d" % n * 100
            await store.close()

        asyncio.run(go())

    def test_nothing_there_is_a_lost_message(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            with pytest.raises(MessageLost):
                await store.read(Location(77, 64))
            await store.close()

        asyncio.run(go())

    def test_purge_keeps_what_lives(self, tmp_path: Path) -> None:
        async def go() -> None:
            store = self.make(tmp_path)
            batch = store.begin(FOLDER)
            saved = [batch.add(b"%d" % n * 1000) for n in range(20)]
            await batch.commit()
            places = {one.location: one.location for one in saved[::2]}

            async def relocate(mapping: dict[Location, Location]) -> None:
                for old, now in places.items():
                    places[old] = mapping.get(now, now)

            result = await store.purge(lambda: set(places.values()), relocate)
            assert result.messages_dropped == 10
            for n, one in enumerate(saved):
                if n % 2 == 0:
                    assert bytes(await store.read(places[one.location])) == b"%d" % n * 1000
            assert len(list(store.scan())) == 10
            again = await store.purge(lambda: set(places.values()), relocate)
            assert again.messages_dropped == 0
            await store.close()

        asyncio.run(go())

    def test_a_second_store_sees_it(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this store lives in one process only")

        async def go() -> None:
            one, two = self.make(tmp_path), self.make(tmp_path)
            first, second = one.begin(FOLDER), two.begin(FOLDER)
            a, b = first.add(b"a" * 50), second.add(b"b" * 50)
            await asyncio.gather(first.commit(), second.commit())
            assert bytes(await two.read(a.location)) == b"a" * 50
            assert bytes(await one.read(b.location)) == b"b" * 50
            await one.close()
            await two.close()
            three = self.make(tmp_path)
            assert {stored.location for stored in three.scan()} == {a.location, b.location}
            await three.close()

        asyncio.run(go())
