"""One cache file under several real processes, some of them killed: never a wrong value."""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pillarbox.events.event import Scope
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.settings.model import Settings

SCOPE = Scope()
FIELDS = ("imap.envelope", "hdr.subject", "date.sent")
MOST = 300


def value(field: str, uid: int) -> bytes:
    return f"{field}:{uid}:".encode() * (uid % 7)


def work(path: Path, seed: int, rounds: int, damage: list[str]) -> None:
    """Add, look up, purge and reopen at random; any value that is there must be the right one."""
    rng = random.Random(seed)
    cache = MailCache(path, msgspec.structs.replace(Settings(), mail_cache_max_size=200_000))
    for _ in range(rounds):
        field = rng.choice(FIELDS)
        first = rng.randrange(1, MOST)
        uids = np.arange(first, min(first + rng.choice((1, 1, 5, 60)), MOST), dtype=np.uint32)
        action = rng.random()
        if action < 0.45:
            cache.add(SCOPE, field, uids, [value(field, uid) for uid in uids.tolist()])
        elif action < 0.93:
            for uid, found in zip(uids.tolist(), cache.lookup(field, uids, SCOPE)):
                if found is not None and found != value(field, uid):
                    raise AssertionError((field, uid, found))
        elif action < 0.97:
            cache.purge(SCOPE, np.arange(first, MOST, dtype=np.uint32), "test")
        else:
            cache.close()
    if damage:
        raise AssertionError(damage)


def fork(function: Callable[[], None]) -> int:
    """Run a function in a child; 0 is its exit status if nothing was raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other tests' threads are idle; the child runs no others
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the events say of damage; none may come without any."""
    from pillarbox.events.catalogue import mail_cache as events

    told: list[str] = []
    for event in (events.mail_cache_corrupted, events.mail_cache_record_corrupted):
        monkeypatch.setattr(event, "emit", lambda _, **own: told.append(own["reason"]))
    return told


def test_four_processes(tmp_path: Path, damage: list[str]) -> None:
    path = tmp_path / "index.cache"
    children = [fork(lambda seed=seed: work(path, seed, 1500, damage)) for seed in range(4)]  # type: ignore[misc]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0, 0]


def test_killed_writers(tmp_path: Path, damage: list[str]) -> None:
    path = tmp_path / "index.cache"
    rng = random.Random(5)
    for turn in range(12):
        victim = fork(lambda turn=turn: work(path, turn, 10**9, damage))  # type: ignore[misc]
        witness = fork(lambda turn=turn: work(path, 1000 + turn, rng.randrange(50, 400), damage))  # type: ignore[misc]
        assert os.waitpid(witness, 0)[1] == 0
        os.kill(victim, signal.SIGKILL)
        assert os.waitpid(victim, 0)[1] == signal.SIGKILL
    work(path, 77, 300, damage)
