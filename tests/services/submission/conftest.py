"""A worker in this process, clients on socket pairs, and a relay in a thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1] / "e2e")]


@pytest.fixture
def relay() -> Iterator[object]:
    """A `FakeRelay`."""
    from fake_relay import FakeRelay

    with FakeRelay() as one:
        yield one
