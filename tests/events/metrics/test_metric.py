"""Metrics counting real emissions, grouped, bounded, merged and named."""

from __future__ import annotations

import threading
from typing import Annotated

import pytest

from pillarbox.events.bus import Bus
from pillarbox.events.event import Event, Scope
from pillarbox.events.field import F, Field, own_fields
from pillarbox.events.metrics.defaults import DEFAULT_METRICS
from pillarbox.events.metrics.metric import FOLD, Metric
from pillarbox.events.metrics.snapshot import Group, Snapshot, merge_all, rows
from pillarbox.settings.model import GroupBySettings, MetricSettings


def _cmd(
    scope: Scope,
    /,
    *,
    state: Annotated[str | None, F("State.")] = None,
    size: Annotated[int | None, F("Size.")] = None,
) -> None:
    """A command."""


@pytest.fixture
def event() -> Event[...]:
    return Event("cmd", "imap", "", own_fields(_cmd), {"name": Field("string", "Name.")}, "")


@pytest.fixture
def bus(event: Event[...]) -> Bus:
    return Bus({"cmd": event})


def by(field: str, **more: object) -> GroupBySettings:
    return GroupBySettings(field=field, **more)  # type: ignore[arg-type]


def metric(bus: Bus, limit: int = 1000, **settings: object) -> Metric:
    made = Metric("m", MetricSettings(**settings), limit)  # type: ignore[arg-type]
    bus.subscribe(made, made.filter)
    return made


def emit(event: Event[...], name: object = None, **own: object) -> None:
    assert event.emit is not None
    event.emit(Scope(None, name=name), **own)  # type: ignore[arg-type]


def names(made: Metric) -> dict[str, int]:
    return {row.name: row.group.count for row in rows(made.snapshot())}


def test_a_counter(event: Event[...], bus: Bus) -> None:
    made = metric(bus, filter="event=cmd AND state=OK")
    for state in ("OK", "NO", "ok", None):
        emit(event, state=state)
    assert names(made) == {"m": 2}
    made.reset()
    emit(event, state="OK")
    assert names(made) == {"m": 1}


def test_sub_metrics_are_named_after_their_labels(event: Event[...], bus: Bus) -> None:
    made = metric(bus, group_by=(by("name"), by("state")))
    for name, state in (("SELECT", "OK"), ("SELECT", "NO"), ("FETCH", "OK"), ("FETCH", None)):
        emit(event, name=name, state=state)
    emit(event, state="OK")
    assert names(made) == {
        "m": 5,
        "m_FETCH": 2,
        "m_FETCH_OK": 1,
        "m_SELECT": 2,
        "m_SELECT_NO": 1,
        "m_SELECT_OK": 1,
    }


def test_modifiers(event: Event[...], bus: Bus) -> None:
    made = metric(bus, group_by=(by("name", discrete_modifier="%{value | domain | lower}"),))
    for name in ("a@Example.com", "b@example.COM", "c@example.org", "d"):
        emit(event, name=name)
    assert names(made) == {"m": 4, "m_example.com": 2, "m_example.org": 1}


def test_exponential_groups(event: Event[...], bus: Bus) -> None:
    group = by(
        "size",
        method="exponential",
        exponential_min_magnitude=1,
        exponential_max_magnitude=3,
    )
    made = metric(bus, group_by=(group,))
    for size in (-5, 0, 10, 11, 100, 101, 1000, 1001, 10**9):
        emit(event, size=size)
    emit(event, size="x")
    assert names(made) == {
        "m": 10,
        "m_ninf_10": 3,
        "m_11_100": 2,
        "m_101_1000": 2,
        "m_1001_inf": 2,
    }
    assert bus.failures == 0


def test_linear_groups(event: Event[...], bus: Bus) -> None:
    group = by("size", method="linear", linear_min=0, linear_max=50, linear_step=20)
    made = metric(bus, group_by=(group,))
    for size in (0, 1, 20, 21, 45, 50, 51):
        emit(event, size=size)
    assert names(made) == {
        "m": 7,
        "m_ninf_0": 1,
        "m_1_20": 2,
        "m_21_40": 1,
        "m_41_50": 2,
        "m_51_inf": 1,
    }


def test_fields_are_measured(event: Event[...], bus: Bus) -> None:
    made = metric(bus, group_by=(by("state"),), fields=("size", "duration"))
    for size in range(1, 2 * FOLD + 50):
        emit(event, state="OK", size=size)
    emit(event, state="OK")
    emit(event, state="OK", size="many")
    (group,) = made.snapshot().groups
    sizes = group.fields["size"]
    assert group.count == 2 * FOLD + 51
    assert (sizes.count, sizes.minimum, sizes.maximum) == (2 * FOLD + 49, 1, 2 * FOLD + 49)
    assert sizes.sum == sum(range(1, 2 * FOLD + 50))
    assert group.fields["duration"].count == group.count
    assert group.fields["duration"].minimum >= 0


def test_one_field_without_groups(event: Event[...], bus: Bus) -> None:
    made = metric(bus, fields=("size",))
    emit(event, size=5)
    emit(event, size=7)
    assert made.snapshot().total.fields["size"].sum == 12
    made.reset()
    emit(event, size=1)
    assert made.snapshot().total.fields["size"].sum == 1


def test_groups_are_bounded_and_what_was_refused_is_counted(event: Event[...], bus: Bus) -> None:
    made = metric(bus, limit=3, group_by=(by("name"),), fields=("size",))
    for number in range(100):
        emit(event, name=f"n{number}", size=1)
        emit(event, name="n0", size=1)
    snapshot = made.snapshot()
    assert [(g.labels, g.count) for g in snapshot.groups] == [
        (("n0",), 101),
        (("n1",), 1),
        (("n2",), 1),
    ]
    assert snapshot.refused.count == 97
    assert snapshot.total.count == 200
    assert snapshot.total.fields["size"].sum == 200
    made.reset()
    emit(event, name="later", size=1)
    assert names(made) == {"m": 1, "m_later": 1}


def test_many_values_in_few_groups_need_little_memory(event: Event[...], bus: Bus) -> None:
    made = metric(bus, limit=2, group_by=(by("name", discrete_modifier="%{value | domain}"),))
    for number in range(200):
        emit(event, name=f"u{number}@example.com")
    assert names(made) == {"m": 200, "m_example.com": 200}
    assert len(made._pending) <= 16


def test_lists_and_odd_values_group(event: Event[...], bus: Bus) -> None:
    made = metric(bus, group_by=(by("name"), by("reason_code")))
    for name in (["a", "b"], 5, True, ""):
        emit(event, name=name)
    assert bus.failures == 0
    assert made.snapshot().total.count == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"filter": "a b"},
        {"group_by": (by("x", discrete_modifier="%{nothing}"),)},
        {"group_by": (by("x", discrete_modifier="%{value | lowr}"),)},
        {"group_by": (by("x", method="exponential", exponential_min_magnitude=3),)},
        {"group_by": (by("x", method="linear"),)},
        {"group_by": (by("x", method="linear", linear_max=10**9),)},
    ],
)
def test_nonsense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Metric("m", MetricSettings(**settings))  # type: ignore[arg-type]


def test_counters_of_processes_add_up() -> None:
    one = Snapshot("m", ("a",), groups=[Group(("x",), 1), Group(("y",), 2)], refused=Group((), 1))
    two = Snapshot("m", ("a",), groups=[Group(("y",), 3), Group(("z",), 4)])
    other = Snapshot("n", groups=[Group((), 9)])
    merged = merge_all([[one, other], [two]], limit=2)
    assert {g.labels: g.count for g in merged["m"].groups} == {("x",): 1, ("y",): 5}
    assert merged["m"].refused.count == 5
    assert merged["m"].total.count == 11
    assert merged["n"].total.count == 9


def test_the_default_metrics_make_sense() -> None:
    for name, settings in DEFAULT_METRICS.items():
        made = Metric(name, settings)
        assert made.filter.warnings() == [], name
        assert settings.description


def test_threads_lose_no_counts(event: Event[...], bus: Bus) -> None:
    made = metric(bus, group_by=(by("name"),), fields=("size",))

    def work() -> None:
        for number in range(3000):
            emit(event, name=f"n{number % 7}", size=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        made.snapshot()
    for thread in threads:
        thread.join()
    total = made.snapshot().total
    assert (total.count, total.fields["size"].sum) == (12000, 12000)
