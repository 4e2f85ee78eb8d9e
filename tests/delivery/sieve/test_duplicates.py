"""Copies of one message at the same moment: exactly one passes, and none is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from sieve_world import MAIL, Outbox, World

from pillarbox.delivery.outcome import Kind, Outcome
from pillarbox.delivery.sieve import duplicates as module
from pillarbox.delivery.sieve.duplicates import Duplicates
from pillarbox.delivery.sieve.memory import CLAIM_SECONDS, Memory
from pillarbox.delivery.sieve_storage.errors import TryLater
from pillarbox.drivers.dict.api import Dict
from pillarbox.drivers.dict.fail import FailDict
from pillarbox.drivers.dict.file import FileDict
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.events.event import Scope
from pillarbox.settings.model import Settings
from pillarbox.sieve.result import DuplicateMark

SCRIPT = 'require ["duplicate", "copy"]; if duplicate { discard; stop; } redirect :copy "a@x.org";'


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeUser:
    name: str = "bob"


@dataclass
class FakeCase:
    """What is said goes to ``errors``."""

    scope: None = None
    errors: list[str] = field(default_factory=list)

    @property
    def log(self) -> FakeCase:
        return self

    def error(self, scope: None, text: str) -> None:
        self.errors.append(text)


@dataclass
class OneDict:
    dictionary: Dict

    async def get(self, *_: Any, **__: Any) -> Dict:
        return self.dictionary


def delivery_with(dictionary: Dict, case: FakeCase | None = None) -> Duplicates:
    """The duplicate tests of another delivery."""
    memory = Memory(
        cast(Any, OneDict(dictionary)), Settings(), cast(Any, FakeUser()), set(), Scope()
    )
    return Duplicates(cast(Any, case or FakeCase()), memory)


def mark(unique_id: str, seconds: int = 100) -> DuplicateMark:
    return DuplicateMark("", unique_id, seconds, False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.002)


async def waiting(task: asyncio.Task[Any], turns: int = 50) -> None:
    """Let a task go on; it must not come to its end."""
    for _ in range(turns):
        await asyncio.sleep(0.002)
    assert not task.done()


@pytest.mark.usefixtures("quick")
def test_others_wait_until_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAUSES", 100_000)

    async def go() -> None:
        clock = Clock()
        memory = MemoryDict(clock)
        first = delivery_with(memory)
        assert not await first.seen("", "1")
        assert not await first.seen("", "1")  # of another script for the same message
        others = [asyncio.create_task(delivery_with(memory).seen("", "1")) for _ in range(3)]
        await waiting(others[0])
        assert not await delivery_with(memory).seen("other", "1")
        await first.remember([mark("1")])
        await first.withdraw()
        assert await asyncio.gather(*others) == [True] * 3
        clock.now += 101
        assert not await delivery_with(memory).seen("", "1")

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
def test_one_of_the_others_is_the_first_if_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAUSES", 100_000)

    async def go() -> None:
        memory = MemoryDict()
        first = delivery_with(memory)
        assert not await first.seen("", "1")
        waiters = [delivery_with(memory) for _ in range(4)]
        tasks = [asyncio.create_task(one.seen("", "1")) for one in waiters]
        await waiting(tasks[0])
        await first.withdraw()
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await waiting(next(iter(rest)))
        assert [task.result() for task in done] == [False]
        await waiters[tasks.index(done.pop())].remember([mark("1")])
        assert await asyncio.gather(*rest) == [True] * 3

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
def test_a_claim_of_the_dead_delays_and_loses_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        clock = Clock()
        one, other = (FileDict(str(tmp_path / "d"), clock) for _ in range(2))  # two processes
        assert not await delivery_with(one).seen("", "1")
        await one.close()
        with pytest.raises(TryLater):
            await delivery_with(other).seen("", "1")
        clock.now += CLAIM_SECONDS + 1
        assert not await delivery_with(other).seen("", "1")
        await other.close()

    asyncio.run(go())


def test_who_was_overtaken_does_not_withdraw_the_claim_of_another() -> None:
    async def go() -> None:
        clock = Clock()
        memory = MemoryDict(clock)
        slow, other = delivery_with(memory), delivery_with(memory)
        assert not await slow.seen("", "1")
        clock.now += CLAIM_SECONDS + 1
        assert not await other.seen("", "1")
        await slow.withdraw()
        await other.remember([mark("1")])
        assert await delivery_with(memory).seen("", "1")

    asyncio.run(go())


def test_what_is_not_to_be_remembered_is_withdrawn() -> None:
    async def go() -> None:
        memory = MemoryDict()
        first = delivery_with(memory)
        for unique_id in "123":
            assert not await first.seen("", unique_id)
        await first.remember([mark("1"), mark("2", 0)])
        second = delivery_with(memory)
        assert [await second.seen("", unique_id) for unique_id in "123"] == [True, False, False]
        await second.withdraw()
        assert len(await memory.iterate("priv/")) == 1

    asyncio.run(go())


def test_without_a_memory_every_message_is_new() -> None:
    async def go() -> None:
        case = FakeCase()
        first = delivery_with(FailDict(), case)
        assert not await first.seen("", "1")
        await first.remember([mark("1")])
        assert len(case.errors) == 2

    asyncio.run(go())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.usefixtures("quick")
def test_with_a_bad_memory_nothing_stays_claimed(seed: int) -> None:
    async def go() -> None:
        memory = MemoryDict()
        bad = FailDict(memory, rate=0.5, slow=3, seed=seed)
        lost = 0
        for number in range(30):
            case = FakeCase()
            one = delivery_with(bad, case)
            try:
                assert not await one.seen("", str(number))
            except TryLater:
                lost += 1
            await one.withdraw()
            lost += len(case.errors)
        left = await memory.iterate("priv/")
        assert len(left) <= lost  # only where withdrawing failed

    asyncio.run(go())


@dataclass
class Gate(Outbox):
    """Says when somebody sends, and lets them only when it is open."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[Any] = field(default_factory=list)

    async def send(self, *arguments: Any, **options: Any) -> Any:
        self.reached.set()
        await self.opened.wait()
        self.kind = self.answers.pop(0) if self.answers else "sent"
        return await super().send(*arguments, **options)


@pytest.mark.parametrize("first", ["sent", "temporary"])
def test_two_copies_at_once(tmp_path: Path, first: str) -> None:
    world, other = World(tmp_path), World(tmp_path)
    world.script(SCRIPT)
    gate = world.outbox = Gate(answers=[first])
    found: list[Outcome] = []

    async def second() -> Outcome:
        return await asyncio.to_thread(other.deliver)  # with a loop, dicts and mailboxes of its own

    async def both(user: Any, delivery: Any) -> None:
        from sieve_world import ANN, BOB, one

        task = asyncio.create_task(one(user, delivery, MAIL, ANN, BOB))
        await gate.reached.wait()
        inside = asyncio.create_task(one(user, delivery, MAIL, ANN, BOB))
        outside = asyncio.create_task(second())
        await waiting(inside, 20)
        assert not outside.done()
        gate.opened.set()
        found.extend(await asyncio.gather(task, inside, outside))

    world.do(both)
    assert {len(world.outbox.sent) + len(other.outbox.sent)} == {1}
    kept = sum(len(mails) for mails in world.mail().values())
    assert kept == 1
    assert [one.kind for one in found].count(Kind.TEMPORARY) == (first == "temporary")
