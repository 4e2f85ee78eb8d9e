"""The index against a dictionary: two processes interleaved, rotations, torn tails, power cuts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pillarbox.events.event import Scope
from pillarbox.mailstore.index import opening
from pillarbox.mailstore.index.draft import EVERYTHING, Draft
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.mailstore.index.log import DATA_START, TAIL_AT
from pillarbox.mailstore.index.ranges import find
from pillarbox.mailstore.index.records import empty_records, uid_array
from pillarbox.mailstore.index.transaction import HEADER
from pillarbox.mailstore.index.writer import Writer

GUID = bytes(range(16))
KEYWORDS = [b"$Forwarded", b"$Junk", b"work", b"later"]
OPTIONS = Options(lock_timeout=5.0, rotate_min_size=2500, rotate_max_size=2500)


@dataclass(frozen=True)
class Mail:
    guid: bytes
    size: int
    flags: int
    keywords: frozenset[bytes]


class StrictIndex(MailboxIndex):
    """Nothing in this test is damage."""

    def recover_locked(self, path: Path, reason: str) -> Any:
        raise AssertionError(f"taken for damage: {path}: {reason}")


class Model(RuleBasedStateMachine):
    """What the index must be equal to after every step, seen through either process."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "mailbox"
        self.loop = asyncio.new_event_loop()
        opening.create(self.folder, GUID, 77)
        self.mails: dict[int, Mail] = {}
        self.uidnext = 1
        self.modseq = 1
        self.vanished: list[tuple[int, int]] = []
        self.processes = [self.opened(), self.opened()]

    def opened(self) -> tuple[MailboxIndex, Writer]:
        index = StrictIndex(self.folder, GUID, Scope(), OPTIONS)
        return index, Writer(index)

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def commit(self, which: int, *builders: Any, alone: bool = False) -> list[Any]:
        writer = self.processes[which][1]

        async def together() -> list[Any]:
            return list(await asyncio.gather(*(writer.commit(b, alone=alone) for b in builders)))

        return self.run(together())

    def choose(self, data: st.DataObject) -> list[int]:
        return sorted(data.draw(st.sets(st.sampled_from(sorted(self.mails)), max_size=6)))

    @rule(which=st.integers(0, 1), counts=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def append(self, which: int, counts: list[int]) -> None:
        def builder(count: int) -> Any:
            def build(draft: Draft) -> tuple[list[int], list[bytes], int]:
                records = empty_records(count)
                guids = [os.urandom(16) for _ in range(count)]
                for at, guid in enumerate(guids):
                    records["guid"][at] = np.void(guid)
                    records["size"][at] = 100 + at
                return draft.append(records).tolist(), guids, draft.modseq

            return build

        for uids, guids, modseq in self.commit(which, *map(builder, counts)):
            assert uids == list(range(self.uidnext, self.uidnext + len(uids)))
            self.uidnext += len(uids)
            assert modseq > self.modseq
            self.modseq = modseq
            for at, (uid, guid) in enumerate(zip(uids, guids, strict=True)):
                self.mails[uid] = Mail(guid, 100 + at, 0, frozenset())

    @precondition(lambda self: self.mails)
    @rule(
        which=st.integers(0, 1),
        data=st.data(),
        keep=st.integers(0, 31),
        add=st.integers(0, 31),
        names=st.sets(st.sampled_from(KEYWORDS), max_size=2),
    )
    def store(
        self, which: int, data: st.DataObject, keep: int, add: int, names: set[bytes]
    ) -> None:
        uids = self.choose(data)

        def build(draft: Draft) -> tuple[list[int], int]:
            positions, present = find(draft.state.uids, uid_array(uids))
            assert present.all()
            bits = draft.keyword_bits(sorted(names))
            changed = draft.change_flags(
                positions, keep=keep, add=add, keywords_keep=EVERYTHING, keywords_add=bits
            )
            return draft.state.uids[changed].tolist(), draft.modseq if draft.ops else 0

        [(changed, modseq)] = self.commit(which, build)
        expected = []
        for uid in uids:
            old = self.mails[uid]
            new = replace(
                old, flags=old.flags & keep | add, keywords=old.keywords | frozenset(names)
            )
            if new != old:
                expected.append(uid)
            self.mails[uid] = new
        assert changed == expected
        self.modseq = max(self.modseq, modseq)

    @precondition(lambda self: self.mails)
    @rule(which=st.integers(0, 1), data=st.data())
    def expunge(self, which: int, data: st.DataObject) -> None:
        uids = self.choose(data)

        def build(draft: Draft) -> tuple[list[int], int]:
            positions, present = find(draft.state.uids, uid_array(uids))
            assert present.all()
            return draft.expunge(positions).tolist(), draft.modseq

        [(gone, modseq)] = self.commit(which, build, alone=True)
        assert gone == uids
        for uid in uids:
            del self.mails[uid]
            self.vanished.append((modseq, uid))
        if uids:
            self.modseq = modseq

    @rule(which=st.integers(0, 1))
    def checkpoint(self, which: int) -> None:
        self.run(self.processes[which][1].checkpoint())

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        index, writer = self.processes[which]
        self.run(writer.close())
        index.close()
        self.processes[which] = self.opened()

    @rule(garbage=st.binary(min_size=1, max_size=200))
    def torn_tail(self, garbage: bytes) -> None:
        """A process was killed in the middle of a write."""
        self.settle()
        path = self.folder / "index.log"
        index = self.processes[0][0]
        index.refresh()
        header = HEADER.pack(0x31545850, 400, 1, index.prev, 1, 1, 2**40, 0)
        with open(path, "r+b") as file:
            file.seek(index.offset)
            file.write(header + garbage)

    @rule(back=st.integers(0, 1000))
    def power_cut(self, back: int) -> None:
        """All processes die, and the tail word on disk is an older one."""
        self.close_all()
        path = self.folder / "index.log"
        raw = bytearray(path.read_bytes())
        (tail,) = struct.unpack_from("<Q", raw, TAIL_AT)
        ends = [DATA_START]
        while ends[-1] < tail:
            ends.append(ends[-1] + HEADER.unpack_from(raw, ends[-1])[1])
        assert ends[-1] == tail
        struct.pack_into("<Q", raw, TAIL_AT, ends[back % len(ends)])
        path.write_bytes(raw)
        self.processes = [self.opened(), self.opened()]

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "processes"):
            return
        for index, _ in self.processes:
            index.refresh()
            state = index.state
            assert state.uidvalidity == 77
            assert state.uids.tolist() == sorted(self.mails)
            assert state.uidnext == self.uidnext
            assert state.highestmodseq >= self.modseq
            mails = [self.mails[uid] for uid in state.uids.tolist()]
            assert state.records["flags"].tolist() == [m.flags for m in mails]
            assert [r["guid"].tobytes() for r in state.records] == [m.guid for m in mails]
            for record, mail in zip(state.records, mails, strict=True):
                names = {
                    n for i, n in enumerate(state.keywords) if int(record["keywords"]) >> i & 1
                }
                assert names == mail.keywords
            assert state.unseen == sum(not m.flags & 1 for m in mails)
            assert state.deleted == sum(bool(m.flags & 8) for m in mails)
            assert state.size == sum(m.size for m in mails)
            history = state.expunged_since(0)
            assert history is not None
            assert list(zip(history["modseq"].tolist(), history["uid"].tolist(), strict=True)) == [
                (m, u) for m, u in self.vanished
            ]

    def settle(self) -> None:
        for _, writer in self.processes:
            self.run(writer.close())

    def close_all(self) -> None:
        for index, writer in self.processes:
            self.run(writer.close())
            index.close()

    def teardown(self) -> None:
        if hasattr(self, "processes"):
            with contextlib.suppress(Exception):
                self.close_all()
            self.loop.close()
            shutil.rmtree(self.root)


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=int(os.environ.get("PILLARBOX_MODEL_EXAMPLES", "25")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
