"""What dicts tell: each event with its fields, whichever way the work ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dict_contract import Clock, DictContract

from pillarbox.drivers.dict.api import Dict, DictError, Increment, Set
from pillarbox.drivers.dict.fail import FailDict
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.drivers.dict_events import TellingDict, closed, opened
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope

SCOPE = Scope(None, user="ann")
Told = list[tuple[str, dict[str, Any]]]


class TestTellingDict(DictContract):
    def make(self, path: Path, clock: Clock) -> Dict:
        return TellingDict(MemoryDict(clock), SCOPE)


@pytest.fixture
def told() -> Iterator[Told]:
    """Names, and fields that have a value."""
    seen: Told = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        assert scope.get("user") == "ann"
        assert scope is not SCOPE  # its duration is that of the one question
        seen.append((event.name, {k: v for k, v in own.items() if v is not None}))

    subscription = bus.subscribe(Call(take), "event=dict_*")
    yield seen
    bus.unsubscribe(subscription)


def test_questions_and_changes(told: Told) -> None:
    async def main() -> None:
        dictionary = TellingDict(MemoryDict(), SCOPE)
        await dictionary.get("priv/a")
        assert await dictionary.commit([Set("priv/a", b"1")])
        await dictionary.get("priv/a")
        await dictionary.iterate("priv/")
        await dictionary.iterate("shared/")
        assert not await dictionary.commit([Increment("priv/none")])

    asyncio.run(main())
    memory = {"driver": "memory"}
    assert told == [
        ("dict_lookup_finished", {"key": "priv/a", "key_not_found": "yes", **memory}),
        ("dict_transaction_finished", memory),
        ("dict_lookup_finished", {"key": "priv/a", **memory}),
        ("dict_iteration_finished", {"rows": 1, "key": "priv/", **memory}),
        (
            "dict_iteration_finished",
            {"rows": 0, "key": "shared/", "key_not_found": "yes", **memory},
        ),
        ("dict_transaction_finished", {"rollback": "yes", **memory}),
    ]


def test_failures(told: Told) -> None:
    async def main() -> None:
        dictionary = TellingDict(FailDict(), SCOPE)
        for work in (dictionary.get("priv/a"), dictionary.iterate("priv/")):
            with pytest.raises(DictError):
                await work
        half = TellingDict(FailDict(MemoryDict(), rate=0.5), SCOPE)
        for number in range(100):
            try:
                await half.commit([Set(f"priv/{number}", b"1")])
            except DictError:
                pass

    asyncio.run(main())
    lookup, iteration, *changes = told
    assert lookup[0] == "dict_lookup_finished"
    assert iteration[1]["rows"] == 0
    assert lookup[1]["error"]
    assert iteration[1]["error"]
    assert not {"key_not_found"} & {*lookup[1], *iteration[1]}
    failed = [fields for _, fields in changes if "error" in fields]
    assert {"rollback" in fields for fields in failed} == {True, False}
    assert all(("rollback" in f) is not ("write_uncertain" in f) for f in failed)


def test_opening_and_closing(told: Told) -> None:
    def broken() -> Dict:
        raise ValueError("no such path")

    async def main() -> None:
        await closed(SCOPE, "notes", opened(SCOPE, "notes", "memory", MemoryDict))
        await closed(SCOPE, "", opened(SCOPE, "", "memory", MemoryDict))
        with pytest.raises(ValueError, match="path"):
            opened(SCOPE, "notes", "file", broken)

    asyncio.run(main())
    named = {"dict_name": "notes", "driver": "memory"}
    assert told == [
        ("dict_created", named),
        ("dict_destroyed", named),
        ("dict_created", {"driver": "memory"}),
        ("dict_destroyed", {"driver": "memory"}),
        ("dict_created", {"dict_name": "notes", "driver": "file", "error": "no such path"}),
    ]
