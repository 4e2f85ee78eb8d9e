"""JSON lines made of pieces say what lines made of whole records say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.events.bus import Bus
from pillarbox.events.catalogue.imap import imap_command_finished, imap_id_received
from pillarbox.events.catalogue.mailbox import mail_opened
from pillarbox.events.event import REGISTRY, REMOVED, Scope
from pillarbox.events.formats.json_line import JsonLine
from pillarbox.events.formats.line import formatter
from pillarbox.events.formats.record import Recorded

SLOW = formatter("json")

Emit = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def both() -> Iterator[Emit]:
    """Emit an event; its line by both ways, without what differs between two moments."""
    fast: list[bytes] = []
    slow: list[bytes] = []
    bus = Bus(REGISTRY)
    sinks = (JsonLine(fast.append, lambda: False), Recorded(lambda r: slow.append(SLOW(r))))
    subscriptions = [bus.subscribe(sink) for sink in sinks]

    def emit(event: Any, scope: Scope, **own: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        event.emit(scope, **own)
        one, other = json.loads(fast.pop()), json.loads(slow.pop())
        assert not fast
        assert not slow
        for line in (one, other):
            assert line["start_time"] <= line["end_time"]
            del line["start_time"], line["end_time"]
        return one, other

    yield emit
    for subscription in subscriptions:
        bus.unsubscribe(subscription)
    assert bus.failures == 0


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates included
VALUE = st.one_of(TEXT, st.integers(-(2**62), 2**62), st.none(), st.just(REMOVED))
NAME = st.sampled_from(["user", "session", "cmd_name", "cmd_args", "uid", "reason", "odd name"])
LEVEL = st.tuples(
    st.lists(st.sampled_from(["imap", "mailbox"]), max_size=2),
    st.lists(st.sampled_from(["imap:cmd_fetch", "imap:fetch_body"]), max_size=2),
    st.dictionaries(NAME, VALUE, max_size=4),
)


@given(
    levels=st.lists(LEVEL, max_size=3),
    reason=st.one_of(TEXT, st.none()),
    uid=st.one_of(st.integers(0, 2**32), st.none()),
    later=st.dictionaries(NAME, VALUE, max_size=2),
)
def test_the_same_as_the_slow_way(
    both: Emit, levels: list[Any], reason: str | None, uid: int | None, later: dict[str, Any]
) -> None:
    scopes: list[Scope] = [Scope(None, ("service:imap",))]
    for categories, reasons, fields in levels:
        scopes.append(Scope(scopes[-1], tuple(categories), tuple(reasons), **fields))
    for _ in range(2):
        one, other = both(mail_opened, scopes[-1], reason=reason, uid=uid)
        assert one == other
    scopes[len(scopes) // 2].set(**later)
    one, other = both(mail_opened, scopes[-1], reason=reason, uid=uid)
    assert one == other


def test_a_line_is_kept_for_each_event(both: Emit) -> None:
    scope = Scope(None, (), ("imap:cmd_fetch",), user="bob")
    for event in (mail_opened, imap_command_finished, mail_opened):
        one, other = both(event, scope)
        assert one == other
        assert one["event"] == event.name


def test_fields_of_any_name(both: Emit) -> None:
    scope = Scope(None, (), (), user="bob")
    one, other = both(imap_id_received, scope, params={"name": "x", "b d": None})
    assert one == other
    assert one["fields"]["id_invalid1"] == "b d "


def test_nothing_is_written_when_there_is_no_room() -> None:
    lines: list[bytes] = []
    bus = Bus(REGISTRY)
    subscription = bus.subscribe(JsonLine(lines.append, lambda: True), "event=mail_opened")
    try:
        assert mail_opened.emit is not None
        mail_opened.emit(Scope(), uid=1)
    finally:
        bus.unsubscribe(subscription)
    assert lines == []
