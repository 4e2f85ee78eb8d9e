"""Scopes: inheritance, replacement, removal, reasons; declarations."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.events.event import REGISTRY, REMOVED, Scope, declare
from pillarbox.events.field import own_fields

ROOT = Scope(None, ("service:imap",), service="imap", x=1)
SESSION = Scope(ROOT, ("imap",), user="bob", x=REMOVED)
COMMAND = Scope(SESSION, ("imap",), ("imap:cmd_fetch",), user=None, cmd_name="FETCH")
MAIL = Scope(COMMAND, ("mailbox",), ("mail:date", "imap:cmd_fetch"), x=2)


def test_fields_are_inherited_replaced_and_removed() -> None:
    assert MAIL.get("user") == "bob"
    assert (ROOT.get("x"), SESSION.get("x"), COMMAND.get("x"), MAIL.get("x")) == (1, None, None, 2)
    assert COMMAND.all_fields() == {"service": "imap", "user": "bob", "cmd_name": "FETCH"}
    assert MAIL.all_fields()["x"] == 2


def test_categories_and_reasons_of_the_chain() -> None:
    assert MAIL.all_categories() == ["mailbox", "imap", "service:imap"]
    assert MAIL.all_reasons() == ["imap:cmd_fetch", "mail:date"]


def test_nested_work_sees_what_is_set_later() -> None:
    outer = Scope(None, a=1)
    middle = Scope(outer)
    inner = Scope(middle, b=2)
    assert inner.visible() == {"a": 1, "b": 2}
    assert inner.visible() is inner.visible()
    outer.set(a=3, c=4)
    assert inner.visible() == {"a": 3, "b": 2, "c": 4}
    middle.set(c=REMOVED)
    assert inner.visible() == {"a": 3, "b": 2}
    assert outer.visible() == {"a": 3, "c": 4}


values = st.sampled_from([None, REMOVED, 1, 2])
steps = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), values), max_size=12)


@given(steps)
def test_visible_is_what_get_finds(changes: list[tuple[int, str, int | None]]) -> None:
    chain = [Scope(None)]
    for _ in range(3):
        chain.append(Scope(chain[-1]))
    for depth, name, value in changes:
        chain[depth].set(**{name: value})
        for scope in chain:
            found = {n: scope.get(n) for n in "ab"}
            assert scope.visible() == {n: v for n, v in found.items() if v is not None}


def test_time_passes() -> None:
    assert Scope(None).elapsed_usecs() >= 0


def test_a_name_is_declared_once() -> None:
    def test_event(scope: Scope, /) -> None:
        """An event."""

    try:
        declare()(test_event)
        with pytest.raises(ValueError, match="declared twice"):
            declare()(test_event)
    finally:
        REGISTRY.pop("test_event", None)


def test_fields_need_a_description() -> None:
    def bare(scope: Scope, /, *, x: int | None = None) -> None: ...

    def odd(scope: Scope, /, *, x: Annotated[int | None, "text"] = None) -> None: ...

    for function in (bare, odd):
        with pytest.raises(TypeError, match="field x has no"):
            own_fields(function)
