"""`MailCache` with several processes' worth of objects on one file, its damage, its events."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.events.catalogue import mail_cache as events
from pillarbox.events.event import Scope
from pillarbox.mailstore.cache import format as fmt
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.mailstore.cache.format import Uids
from pillarbox.mailstore.cache.purge import Purge
from pillarbox.settings.model import Settings

DAY = 86_400
ENVELOPE = "imap.envelope"
SCOPE = Scope()

NAMES = (
    "mail_cache_corrupted",
    "mail_cache_decision_changed",
    "mail_cache_decision_rejected",
    "mail_cache_purge_drop_field",
    "mail_cache_purge_finished",
    "mail_cache_purge_started",
    "mail_cache_record_corrupted",
)


def uids(*numbers: int) -> Uids:
    return np.array(numbers, np.uint32)


class Clock:
    """A clock that goes when told."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every mail_cache_* event that is emitted, with its own fields."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name in NAMES:

        def emit(scope: Scope, *, _name: str = name, **fields: Any) -> None:
            assert isinstance(scope, Scope)
            found.append((_name, fields))

        monkeypatch.setattr(getattr(events, name), "emit", emit)
    return found


def cache(folder: Path, clock: Clock, **changes: Any) -> MailCache:
    changes.setdefault("mail_cache_fields", ("imap.envelope", "imap.bodystructure"))
    return MailCache(folder / "index.cache", msgspec.structs.replace(Settings(), **changes), clock)


def test_values_are_shared_between_processes(tmp_path: Path, clock: Clock) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [None, None]
    assert not (tmp_path / "index.cache").exists()
    assert one.add(SCOPE, ENVELOPE, uids(1, 3), [b"one", b"three"])
    assert two.lookup(ENVELOPE, uids(1, 2, 3), SCOPE) == [b"one", None, b"three"]
    assert two.add(SCOPE, ENVELOPE, uids(2), [b"two"])
    assert two.add(SCOPE, "hdr.subject", uids(2), [b""])
    assert one.lookup(ENVELOPE, uids(1, 2, 3), SCOPE) == [b"one", b"two", b"three"]
    assert one.lookup("hdr.subject", uids(1, 2), SCOPE) == [None, b""]
    one.close()
    assert one.lookup(ENVELOPE, uids(2), SCOPE) == [b"two"]


def test_only_the_owner_may_read_it(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    for _ in range(2):
        one.add(SCOPE, ENVELOPE, uids(1), [b"one"])
        assert (tmp_path / "index.cache").stat().st_mode & 0o777 == 0o600
        assert one.purge(SCOPE, uids(1), "test")
        assert (tmp_path / "index.cache").stat().st_mode & 0o777 == 0o600


def test_a_busy_file_is_read_but_not_written(tmp_path: Path, clock: Clock) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"one"])
    purge = one.begin_purge(SCOPE, uids(1), "test")
    assert purge is not None
    assert not two.add(SCOPE, ENVELOPE, uids(2), [b"two"])
    assert not one.add(SCOPE, ENVELOPE, uids(2), [b"two"])
    assert not one.wants(ENVELOPE)
    assert two.begin_purge(SCOPE, uids(1), "test") is None
    assert two.lookup(ENVELOPE, uids(1), SCOPE) == [b"one"]
    one.abandon_purge()
    assert two.add(SCOPE, ENVELOPE, uids(2), [b"two"])


def test_first_use_adds_a_field(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    one = cache(tmp_path, clock)
    assert one.decision("hdr.x-test") == "no"
    one.add(SCOPE, "hdr.x-test", uids(7, 8), [b"a", b"b"])
    assert one.decision("hdr.x-test") == "temp"
    assert seen == [
        (
            "mail_cache_decision_changed",
            {
                "field": "hdr.x-test",
                "last_used": int(clock.now),
                "reason": "add",
                "uid": 7,
                "old_decision": "no",
                "new_decision": "temp",
            },
        )
    ]


def test_access_makes_a_field_permanent(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2, 3), [b"1", b"2", b"3"])
    assert seen == []
    two.lookup(ENVELOPE, uids(1, 2), SCOPE, first_new_uid=1)
    two.lookup(ENVELOPE, uids(3), SCOPE, first_new_uid=1)
    assert seen == []
    assert two.decision(ENVELOPE) == "temp"
    two.lookup(ENVELOPE, uids(3), SCOPE, first_new_uid=1)
    assert [fields["reason"] for _, fields in seen] == ["unordered_access"]
    assert seen[0][1]["uid"] == 3
    assert (seen[0][1]["old_decision"], seen[0][1]["new_decision"]) == ("temp", "yes")
    one.lookup(ENVELOPE, uids(1), SCOPE)
    assert one.decision(ENVELOPE) == "yes"
    assert len(seen) == 1


def test_what_a_delivery_adds_was_not_asked_for(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"], asked=False)
    assert one.lookup(ENVELOPE, uids(1), SCOPE) == [b"1"]
    assert one.decision(ENVELOPE) == "temp"
    one.lookup(ENVELOPE, uids(1), SCOPE)
    assert one.decision(ENVELOPE) == "yes"


def test_old_mail_makes_a_field_permanent(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    cache(tmp_path, clock).add(SCOPE, ENVELOPE, uids(1, 9), [b"1", b"9"])
    cache(tmp_path, clock).lookup(ENVELOPE, uids(1, 9), SCOPE, first_new_uid=5)
    assert [(fields["reason"], fields["uid"]) for _, fields in seen] == [("old_mail", 1)]


def test_last_use_is_written_once_a_day(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    reader = cache(tmp_path, clock)
    reader.lookup(ENVELOPE, uids(1), SCOPE)
    size = reader.size
    clock.now += DAY / 2
    cache(tmp_path, clock).lookup(ENVELOPE, uids(1), SCOPE)
    assert os.path.getsize(tmp_path / "index.cache") == size
    clock.now += DAY
    cache(tmp_path, clock).lookup(ENVELOPE, uids(1), SCOPE)
    assert os.path.getsize(tmp_path / "index.cache") > size


def test_too_many_headers(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    one = cache(tmp_path, clock, mail_cache_max_headers_count=2)
    for name in ("a", "b", "c", "c"):
        one.add(SCOPE, f"hdr.{name}", uids(1), [b"x"])
    rejected = [fields for name, fields in seen if name == "mail_cache_decision_rejected"]
    assert rejected == [{"field": "hdr.c", "reason": "too_many_headers"}]
    assert not one.wants("hdr.c")
    assert one.lookup("hdr.c", uids(1), SCOPE) == [None]
    assert one.add(SCOPE, ENVELOPE, uids(1), [b"x"])


def test_settings_decide_first(tmp_path: Path, clock: Clock) -> None:
    one = cache(
        tmp_path,
        clock,
        mail_cache_fields=("hdr.a",),
        mail_always_cache_fields=("hdr.b",),
        mail_never_cache_fields=("hdr.c",),
        mail_cache_max_header_name_length=5,
    )
    assert one.wanted_fields(SCOPE) == ["hdr.a", "hdr.b"]
    assert not one.add(SCOPE, "hdr.c", uids(1), [b"x"])
    assert not one.add(SCOPE, "hdr.toolong", uids(1), [b"x"])
    one.add(SCOPE, "hdr.a", uids(1), [b"x"])
    other = cache(tmp_path, clock, mail_cache_fields=())
    assert other.wanted_fields(SCOPE) == ["hdr.a", "hdr.b"]
    assert (other.decision("hdr.a"), other.decision("hdr.b")) == ("temp", "yes")


def test_purge(tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2, 3, 4), [b"1", b"2", b"3", b"4"])
    one.add(SCOPE, "hdr.old", uids(1), [b"gone"])
    two.lookup(ENVELOPE, uids(4), SCOPE)
    two.lookup(ENVELOPE, uids(1), SCOPE)
    assert two.decision(ENVELOPE) == "yes"
    clock.now += 29 * DAY
    one.lookup(ENVELOPE, uids(1), SCOPE)
    used = int(clock.now)
    clock.now += 2 * DAY
    size = os.path.getsize(tmp_path / "index.cache")
    seen.clear()
    assert one.purge(SCOPE, uids(2, 4, 9), "test reason")
    common = {
        "file_seq": 2,
        "prev_file_seq": 1,
        "prev_file_size": size,
        "prev_deleted_records": 2,
        "reason": "test reason",
    }
    names = [name for name, _ in seen]
    assert names[0] == "mail_cache_purge_started"
    assert seen[0][1] == common
    dropped = {f["field"]: f for n, f in seen if n == "mail_cache_purge_drop_field"}
    assert dropped["hdr.old"] == common | {
        "field": "hdr.old",
        "decision": "temp",
        "last_used": used - 29 * DAY,
    }
    changed = {f["field"]: f for n, f in seen if n == "mail_cache_decision_changed"}
    assert changed["hdr.old"]["new_decision"] == "no"
    assert changed["hdr.old"]["reason"] == "test reason"
    assert ENVELOPE not in dropped
    assert seen[-1] == (
        "mail_cache_purge_finished",
        common | {"file_size": os.path.getsize(tmp_path / "index.cache"), "max_uid": 4},
    )
    assert two.lookup(ENVELOPE, uids(1, 2, 4), SCOPE) == [None, b"2", b"4"]
    assert two.file_seq == 2
    assert two.decision("hdr.old") == "no"
    assert "hdr.old" not in two.wanted_fields(SCOPE)
    assert two.add(SCOPE, ENVELOPE, uids(9), [b"9"])
    assert one.lookup(ENVELOPE, uids(9), SCOPE) == [b"9"]


def test_purge_drops_old_mail_of_temporary_fields(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2, 3), [b"1", b"2", b"3"])
    assert one.purge(SCOPE, uids(1, 2, 3), "test", first_new_uid=3)
    assert one.lookup(ENVELOPE, uids(1, 2, 3), SCOPE) == [None, None, b"3"]


def test_a_writer_follows_a_purge_by_another(tmp_path: Path, clock: Clock) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    two.lookup(ENVELOPE, uids(1), SCOPE)
    assert one.purge(SCOPE, uids(1), "test")
    assert two.add(SCOPE, ENVELOPE, uids(2), [b"2"])
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [b"1", b"2"]


def test_closed_while_purging(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    purge = one.begin_purge(SCOPE, uids(1), "test")
    assert purge is not None
    fresh = purge.write()
    one.close()
    assert not one.finish_purge(SCOPE, purge, fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["index.cache"]
    assert one.lookup(ENVELOPE, uids(1), SCOPE) == [b"1"]


def test_purge_in_a_thread(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2), [b"1", b"2"])
    assert asyncio.run(one.purge_in_thread(SCOPE, uids(2), "test"))
    assert [name for name, _ in seen] == ["mail_cache_purge_started", "mail_cache_purge_finished"]
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [None, b"2"]


def test_a_purge_that_nobody_waits_for(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    begun, go_on = threading.Event(), threading.Event()
    write = Purge.write

    def slowly(purge: Purge) -> Path:
        begun.set()
        assert go_on.wait(10)
        return write(purge)

    monkeypatch.setattr(Purge, "write", slowly)

    async def cancelled() -> None:
        task = asyncio.ensure_future(one.purge_in_thread(SCOPE, uids(1), "test"))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.add(SCOPE, ENVELOPE, uids(2), [b"2"])
        go_on.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)
        await asyncio.to_thread(lambda: None)

    asyncio.run(cancelled())
    assert [path.name for path in tmp_path.iterdir()] == ["index.cache"]
    assert one.file_seq == 1
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [b"1", b"2"]


def test_a_purge_that_cannot_be_written(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pillarbox.mailstore.cache.purge.pack_values", full)
    assert not one.purge(SCOPE, uids(1), "test")
    assert not asyncio.run(one.purge_in_thread(SCOPE, uids(1), "test"))
    assert [path.name for path in tmp_path.iterdir()] == ["index.cache"]
    assert one.add(SCOPE, ENVELOPE, uids(2), [b"2"])


def test_reasons_to_purge(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock, mail_cache_purge_min_size=1000)
    everybody = np.arange(1, 101, dtype=np.uint32)
    one.add(SCOPE, ENVELOPE, everybody, [b"x" * 100] * 100)
    one.lookup(ENVELOPE, everybody, SCOPE)
    assert one.purge_reason(everybody) is None
    assert one.purge_reason(everybody[:81]) is None
    assert one.purge_reason(everybody[:80]) == "20% of the cached mails are deleted"
    clock.now += 31 * DAY
    assert one.purge_reason(everybody) == "unused fields"
    small = cache(tmp_path, clock, mail_cache_purge_min_size=10**6)
    small.lookup(ENVELOPE, everybody, SCOPE)
    assert small.purge_reason(everybody[:1]) is None


def test_many_small_batches(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    assert not one.due()
    for uid in range(1, 1101):
        one.add(SCOPE, ENVELOPE, uids(uid), [b"value"])
    assert one.due()
    assert not one.due()
    everybody = np.arange(1, 1101, dtype=np.uint32)
    assert one.purge_reason(everybody) == "1100 small batches"
    assert one.purge(SCOPE, everybody, "1100 small batches")
    assert one.purge_reason(everybody) is None
    assert one.lookup(ENVELOPE, everybody, SCOPE) == [b"value"] * 1100


def test_a_full_file_begins_anew(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock, mail_cache_max_size=4096)
    assert one.add(SCOPE, ENVELOPE, uids(1), [b"x" * 3000])
    assert not one.add(SCOPE, ENVELOPE, uids(2), [b"x" * 3000])
    assert not one.wants(ENVELOPE)
    reason = one.purge_reason(uids(1, 2))
    assert reason == "cache file is full"
    assert one.purge(SCOPE, uids(1, 2), reason)
    assert one.add(SCOPE, ENVELOPE, uids(2), [b"x" * 3000])
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [None, b"x" * 3000]


def test_dropped_record(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    one, two = cache(tmp_path, clock), cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2), [b"1", b"2"])
    assert two.lookup(ENVELOPE, uids(1, 2), SCOPE) == [b"1", b"2"]
    one.drop_record(SCOPE, 1, "no envelope")
    assert seen == [("mail_cache_record_corrupted", {"uid": 1, "reason": "no envelope"})]
    for each in (one, two, cache(tmp_path, clock)):
        assert each.lookup(ENVELOPE, uids(1, 2), SCOPE) == [None, b"2"]
    one.add(SCOPE, ENVELOPE, uids(1), [b"again"])
    for each in (one, two, cache(tmp_path, clock)):
        assert each.lookup(ENVELOPE, uids(1, 2), SCOPE) == [b"again", b"2"]


def test_dropped_empty_record(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b""])
    one.drop_record(SCOPE, 1, "test")
    assert one.lookup(ENVELOPE, uids(1), SCOPE) == [None]


def flip(path: Path, at: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    # In place, as damage comes: the inode stays.
    with path.open("r+b") as file:
        file.write(data)


def test_one_bad_record(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    path = tmp_path / "index.cache"
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1" * 8])
    one.add(SCOPE, ENVELOPE, uids(2), [b"2" * 8])
    one.add(SCOPE, ENVELOPE, uids(3), [b"3" * 8])
    one.close()
    flip(path, path.read_bytes().index(b"2" * 8))
    assert one.lookup(ENVELOPE, uids(1, 2, 3), SCOPE) == [b"1" * 8, None, b"3" * 8]
    corrupted = [item for item in seen if item[0] == "mail_cache_record_corrupted"]
    assert corrupted == [
        ("mail_cache_record_corrupted", {"uid": 2, "reason": "checksum of the record differs"})
    ]
    assert cache(tmp_path, clock).lookup(ENVELOPE, uids(2), SCOPE) == [None]
    assert len([item for item in seen if item[0] == "mail_cache_record_corrupted"]) == 1


def test_damage_under_an_open_file_is_noticed(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    path = tmp_path / "index.cache"
    one = cache(tmp_path, clock)
    everybody = np.arange(1, 6, dtype=np.uint32)
    one.add(SCOPE, ENVELOPE, everybody, [b"%d" % uid * 8 for uid in range(1, 6)])
    assert one.lookup(ENVELOPE, everybody, SCOPE)[2] == b"3" * 8
    flip(path, path.read_bytes().index(b"3" * 8))
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    assert one.lookup(ENVELOPE, everybody, SCOPE) == [None] * 5
    assert seen[-1][0] == "mail_cache_corrupted"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (0, "header has no magic"),
        (8, "unknown version 0"),
        (12, "checksum of the header differs"),
        (fmt.HEADER_SIZE, f"no batch at offset {fmt.HEADER_SIZE}"),
        (fmt.HEADER_SIZE + 10, f"no batch at offset {fmt.HEADER_SIZE}"),
        (-20, "checksum of 3 records"),
    ],
)
def test_a_damaged_file_is_thrown_away(
    tmp_path: Path,
    clock: Clock,
    seen: list[tuple[str, dict[str, Any]]],
    at: int,
    reason: str,
) -> None:
    path = tmp_path / "index.cache"
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2, 3), [b"1" * 8, b"2" * 8, b"3" * 8])
    one.close()
    flip(path, at % path.stat().st_size)
    assert one.lookup(ENVELOPE, uids(1, 2, 3), SCOPE) == [None] * 3
    assert [name for name, _ in seen] == ["mail_cache_corrupted"]
    assert reason in seen[0][1]["reason"]
    assert one.add(SCOPE, ENVELOPE, uids(1), [b"again"])
    for each in (one, cache(tmp_path, clock)):
        assert each.lookup(ENVELOPE, uids(1), SCOPE) == [b"again"]
    assert [name for name, _ in seen].count("mail_cache_corrupted") == 1


def test_a_file_that_shrinks_under_us(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    path = tmp_path / "index.cache"
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1, 2), [b"1", b"2"])
    os.truncate(path, 100)
    assert one.lookup(ENVELOPE, uids(1, 2), SCOPE) == [None, None]
    assert seen[0][0] == "mail_cache_corrupted"
    assert "shrank" in seen[0][1]["reason"]
    assert one.file_seq == 2 or one.lookup(ENVELOPE, uids(1), SCOPE) == [None]
    assert one.decision(ENVELOPE) == "temp"


def test_a_torn_end_is_cut_off_silently(
    tmp_path: Path, clock: Clock, seen: list[tuple[str, dict[str, Any]]]
) -> None:
    path = tmp_path / "index.cache"
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    whole = path.stat().st_size
    one.add(SCOPE, ENVELOPE, uids(2), [b"2" * 50])
    data = path.read_bytes()
    one.close()
    for size in range(whole, len(data)):
        path.write_bytes(data[:size])
        again = cache(tmp_path, clock)
        assert again.lookup(ENVELOPE, uids(1, 2), SCOPE) == [b"1", None]
        assert again.add(SCOPE, ENVELOPE, uids(3), [b"3"])
        assert cache(tmp_path, clock).lookup(ENVELOPE, uids(1, 3), SCOPE) == [b"1", b"3"]
        again.close()
    assert [n for n, _ in seen if n != "mail_cache_decision_changed"] == []


def test_the_file_may_vanish_or_be_forbidden(tmp_path: Path, clock: Clock) -> None:
    one = cache(tmp_path, clock)
    one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    (tmp_path / "index.cache").unlink()
    assert one.lookup(ENVELOPE, uids(1), SCOPE) == [None]
    assert one.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    missing = MailCache(tmp_path / "none" / "index.cache", Settings(), clock)
    assert not missing.add(SCOPE, ENVELOPE, uids(1), [b"1"])
    assert missing.lookup(ENVELOPE, uids(1), SCOPE) == [None]
    (tmp_path / "folder").mkdir()
    folder = MailCache(tmp_path / "folder", Settings(), clock)
    assert folder.lookup(ENVELOPE, uids(1), SCOPE) == [None]
    assert not folder.add(SCOPE, ENVELOPE, uids(1), [b"1"])


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.sampled_from(["hdr.a", "hdr.b"]),
            st.dictionaries(st.integers(1, 30), st.binary(max_size=20), min_size=1, max_size=6),
        ),
        st.tuples(st.just("purge"), st.sets(st.integers(1, 30)), st.none()),
        st.tuples(st.just("drop"), st.integers(1, 30), st.none()),
        st.tuples(st.just("reopen"), st.none(), st.none()),
    ),
    max_size=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(OPERATIONS, st.randoms(use_true_random=False))
def test_like_a_dictionary(
    tmp_path: Path, operations: list[tuple[str, Any, Any]], rng: random.Random
) -> None:
    (tmp_path / "index.cache").unlink(missing_ok=True)
    clock = Clock()
    objects = [cache(tmp_path, clock) for _ in range(3)]
    model: dict[str, dict[int, bytes]] = {"hdr.a": {}, "hdr.b": {}}
    for name, first, second in operations:
        one = rng.choice(objects)
        if name == "add":
            items = sorted(second.items())
            numbers = np.array([uid for uid, _ in items], np.uint32)
            assert one.add(SCOPE, first, numbers, [value for _, value in items])
            model[first] |= second
        elif name == "purge":
            live = np.array(sorted(first), np.uint32)
            if one.purge(SCOPE, live, "test"):
                for values in model.values():
                    for uid in set(values) - first:
                        del values[uid]
        elif name == "drop":
            one.drop_record(SCOPE, first, "test")
            for values in model.values():
                values.pop(first, None)
        else:
            one.close()
        everybody = np.arange(1, 31, dtype=np.uint32)
        for field, values in model.items():
            found = rng.choice(objects).lookup(field, everybody, SCOPE)
            assert found == [values.get(uid) for uid in range(1, 31)]
    for one in objects:
        one.close()
