"""Subscriptions: who is called with what, and that nobody pays for what nobody watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pytest

from pillarbox.events.build import Build
from pillarbox.events.bus import Bus, Call
from pillarbox.events.catalogue.imap import id_fields
from pillarbox.events.event import REMOVED, Event, Scope
from pillarbox.events.field import F, Field, own_fields

Seen = list[tuple[str, dict[str, Any], str]]


def _command(
    scope: Scope,
    /,
    *,
    state: Annotated[str | None, F("State.")] = None,
    size: Annotated[int | None, F("Size.")] = None,
) -> None:
    """A command."""


def _ident(
    scope: Scope,
    /,
    *,
    params: Annotated[
        Mapping[str, str | None] | None,
        F("Parameters.", expand=id_fields, patterns=(("id_param_<param>", "A parameter."),)),
    ] = None,
) -> None:
    """An ID."""


@pytest.fixture
def events() -> dict[str, Event[...]]:
    inherited = {"user": Field("string", "User.")}
    made: dict[str, Event[...]] = {}
    for name, category, function in (("cmd", "imap", _command), ("ident", None, _ident)):
        made[name] = Event(name, category, "", own_fields(function), inherited, __name__)
    return made


@pytest.fixture
def bus(events: dict[str, Event[...]]) -> Bus:
    return Bus(events)


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def call(seen: Seen) -> Call:
    return Call(lambda event, scope, own, location: seen.append((event.name, own, location)))


@pytest.fixture
def scope() -> Scope:
    return Scope(
        Scope(None, ("service:imap",), user="bob", port=143), (), ("imap:cmd_x",), tag="a1"
    )


def emit(event: Event[...], scope: Scope, **own: object) -> None:
    if event.emit is not None:
        event.emit(scope, **own)


def test_nobody_listens(events: dict[str, Event[...]], bus: Bus, call: Call) -> None:
    assert events["cmd"].emit is None
    subscription = bus.subscribe(call, "event=cmd")
    assert events["cmd"].emit is not None
    assert events["ident"].emit is None
    bus.unsubscribe(subscription)
    bus.unsubscribe(subscription)
    assert events["cmd"].emit is None


def test_listener_gets_own_fields(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen, scope: Scope
) -> None:
    bus.subscribe(call)
    emit(events["cmd"], scope, state="OK")
    emit(events["ident"], scope, params={"Name": "x"})
    emit(events["ident"], scope)
    assert seen == [
        ("cmd", {"state": "OK", "size": None}, ""),
        ("ident", {"id_param_name": "x"}, ""),
        ("ident", {}, ""),
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("event=cmd", 1),
        ("state=ok AND size > 1KB", 1),
        ("state=ok AND size > 1MB", 0),
        ("user=bob", 1),
        ("user=bob AND port=143 AND tag=A1", 1),
        ("user=bob AND state=no OR tag=a*", 1),
        ("category=imap", 1),
        ("category=service:imap", 1),
        ("category=pop3", 0),
        ("reason_code=imap:cmd_x AND duration >= 0", 1),
        ("NOT user=*", 0),
        ("source_location=test_bus.py", 1),
        ("source_location=bus.py", 0),
        ("event=ident", 0),
        ("NOT event=ident", 1),
        ("state=*", 1),
        ('nothing=x OR nothing=""', 1),
    ],
)
def test_filters(
    events: dict[str, Event[...]],
    bus: Bus,
    call: Call,
    seen: Seen,
    scope: Scope,
    text: str,
    count: int,
) -> None:
    bus.subscribe(call, text)
    emit(events["cmd"], scope, state="OK", size=5000)
    assert len(seen) == count
    assert bus.failures == 0


def test_expanded_fields_can_be_filtered(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen, scope: Scope
) -> None:
    bus.subscribe(call, "id_param_name=thing*")
    emit(events["ident"], scope, params={"NAME": "Thingummy"})
    emit(events["ident"], scope, params={"os": "x"})
    emit(events["ident"], scope)
    assert len(seen) == 1


def test_own_fields_fall_back_to_the_scope(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen
) -> None:
    bus.subscribe(call, "state=deep")
    emit(events["cmd"], Scope(None, state="deep"))
    emit(events["cmd"], Scope(None, state="deep"), state="given")
    emit(events["cmd"], Scope(Scope(None, state="deep"), state=REMOVED))
    assert len(seen) == 1


def test_removed_fields_are_gone(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen, scope: Scope
) -> None:
    bus.subscribe(call, "user=bob")
    emit(events["cmd"], Scope(scope, user=REMOVED))
    emit(events["cmd"], Scope(Scope(scope, user=REMOVED)))
    assert seen == []
    emit(events["cmd"], Scope(scope, user=None))
    assert len(seen) == 1


def test_the_place_of_the_emitter(
    events: dict[str, Event[...]], bus: Bus, seen: Seen, scope: Scope
) -> None:
    bus.subscribe(Call(lambda e, s, own, where: seen.append((e.name, own, where)), location=True))
    event = events["cmd"]
    assert event.emit is not None
    event.emit(scope)
    file, _, line = seen[0][2].rpartition(":")
    assert file.endswith("test_bus.py")
    assert int(line) > 100


def test_a_failing_sink_disturbs_nobody(
    events: dict[str, Event[...]], bus: Bus, scope: Scope
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("no")

    errors: list[Exception] = []
    bus.on_failure = errors.append
    bus.subscribe(Call(fail))
    emit(events["cmd"], scope)
    assert bus.failures == 1
    assert str(errors[0]) == "no"


def test_events_declared_later_are_heard(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen, scope: Scope
) -> None:
    late = events.pop("ident")
    bus.subscribe(call, "user=bob")
    assert late.emit is None
    events["ident"] = late
    bus.declared(late)
    emit(late, scope)
    assert [name for name, _, _ in seen] == ["ident"]


def test_a_batch_writes_once(
    events: dict[str, Event[...]], bus: Bus, call: Call, seen: Seen, scope: Scope
) -> None:
    with bus.batch():
        first = bus.subscribe(call, "event=cmd")
        bus.subscribe(call, "state=OK")
        bus.unsubscribe(first)
        assert events["cmd"].emit is None
    emit(events["cmd"], scope, state="OK")
    assert len(seen) == 1


class Two:
    """A sink that asks for the same field in several places."""

    def __init__(self, out: list[object]) -> None:
        self.out = out

    def statements(self, build: Build) -> Sequence[str]:
        user, size = build.field("user"), build.field("size")
        assert build.field("user") == user
        return [f"{build.const(self.out)}.append(({user}, {size}, {build.field('duration')} >= 0))"]


def test_fields_are_loaded_where_they_are_needed(
    events: dict[str, Event[...]], bus: Bus, scope: Scope
) -> None:
    out: list[object] = []
    bus.subscribe(Two(out), "state=OK AND user=bob")
    bus.subscribe(Two(out), "state=NO")
    bus.subscribe(Two(out))
    emit(events["cmd"], scope, state="OK", size=7)
    assert out == [("bob", 7, True), ("bob", 7, True)]
    emit(events["cmd"], scope, state="NO", size=8)
    assert out[2:] == [("bob", 8, True), ("bob", 8, True)]
    assert bus.failures == 0


@pytest.mark.parametrize(
    ("wanted", "scoped"),
    [
        ("event=cmd", False),
        ("event=cmd AND user=bob", True),
        ("event=cmd AND category=service:imap", True),
        ("event=cmd AND duration > 5", True),
    ],
)
def test_whether_anybody_looks_at_the_scope(
    events: dict[str, Event[...]], bus: Bus, wanted: str, scoped: bool
) -> None:
    class Count:
        def statements(self, build: Build) -> Sequence[str]:
            return [f"{build.const([])}.append(1)"]

    event = events["cmd"]
    assert event.scoped
    counting = bus.subscribe(Count(), wanted)
    assert event.scoped is scoped
    asking = bus.subscribe(Call(lambda *args: None), "event=cmd")
    assert event.scoped
    bus.unsubscribe(asking)
    assert event.scoped is scoped
    bus.unsubscribe(counting)
    assert event.emit is None
    assert event.scoped
