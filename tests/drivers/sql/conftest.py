"""The contract suite is imported by name from this folder; every sql event is recorded."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any], list[str]]]]:
    """Name, fields and categories of each event."""
    seen: list[tuple[str, dict[str, Any], list[str]]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        fields = {k: v for k, v in own.items() if v is not None}
        seen.append((event.name, fields, scope.all_categories()))

    subscription = bus.subscribe(Call(take), "event=sql_*")
    yield seen
    bus.unsubscribe(subscription)
