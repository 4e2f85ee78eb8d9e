"""The pace of syncs: in place while they are quick, in threads when they are not."""

from __future__ import annotations

import time

import pytest

from pillarbox.runtime import disk
from pillarbox.runtime.disk import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    return now


def sync(pace: Pace, clock: list[int], microseconds: int) -> None:
    def work() -> None:
        clock[0] += microseconds * 1000

    pace.timed(work)


def test_nothing_is_taken_for_quick_before_it_was_measured(clock: list[int]) -> None:
    assert not Pace().quick(100, 0)


def test_quick_syncs_are_believed_after_a_while_and_one_stall_ends_it(clock: list[int]) -> None:
    pace = Pace()
    for _ in range(40):
        sync(pace, clock, 100)
    assert pace.quick(100, 0)
    sync(pace, clock, 20_000)
    assert not pace.quick(100, 0)
    for _ in range(60):
        sync(pace, clock, 100)
    assert pace.quick(100, 0)


def test_large_writes_and_busy_files_go_to_threads(clock: list[int]) -> None:
    pace = Pace()
    for _ in range(40):
        sync(pace, clock, 100)
    assert not pace.quick(disk.SMALL + 1, 0)
    assert not pace.quick(100, clock[0] - disk.BUSY // 2)
    assert pace.quick(100, clock[0] - disk.BUSY * 2)


def test_a_failing_write_is_measured_too_and_its_error_passed_on(clock: list[int]) -> None:
    pace = Pace()

    def fail() -> None:
        clock[0] += 30_000_000
        raise OSError(28, "full")

    with pytest.raises(OSError):
        pace.timed(fail)
    assert not pace.quick(1, 0)
