"""Scopes and events: the two things every part of the server touches.

A *scope* is what is true while some piece of work goes on: a session, a command, a mail.  It has
a parent, categories, fields and reason codes, all of which nested work inherits; a child may
replace a field or remove it (`REMOVED`).  An *event* is declared once, in
``events/catalogue/<family>.py``, by a function whose signature is the typed list of the fields
that its emitter must give; the fields that it finds in the scope are named as ``inherits``.

The one trick: ``Event.emit`` is ``None`` until somebody subscribes.  `events.bus` compiles the
subscriptions of each event to one function and puts it there, so the guard
``if EV.emit is not None`` is all that an unwatched event costs.  Because `declare` keeps the
signature (PEP 612), an unknown or ill-typed field is a type error at the call site.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, ParamSpec, final

from pillarbox.events.field import Field, FieldValue, own_fields

P = ParamSpec("P")


@final
class _Removed:
    """The value that hides an inherited field."""

    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Final = _Removed()

ScopeValue = FieldValue | _Removed | None
Visible = Mapping[str, FieldValue]


class Scope:
    """What nested work inherits: fields, categories, reason codes, and a starting time.

    ``fields`` holds only what this scope adds; `get` walks to the parents.  A value of None means
    "not present here, ask the parent"; `REMOVED` means "not present, do not ask".  ``memo`` is
    for `formats.json_line`: what it made of the mapping that `visible` gave.
    """

    __slots__ = ("_visible", "categories", "fields", "memo", "parent", "reasons", "started")

    def __init__(
        self,
        parent: Scope | None = None,
        categories: tuple[str, ...] = (),
        reasons: tuple[str, ...] = (),
        /,
        **fields: ScopeValue,
    ) -> None:
        self.parent = parent
        self.categories = categories
        self.reasons = reasons
        self.fields = fields
        self.started = time.monotonic_ns()
        self._visible: tuple[Visible | None, Visible] | None = None
        self.memo: tuple[Visible, dict[Any, bytes]] | None = None

    def get(self, name: str) -> FieldValue | None:
        """The value of a field here or at the nearest parent that has it, else None."""
        scope: Scope | None = self
        while scope is not None:
            value = scope.fields.get(name)
            if value is not None:
                return None if isinstance(value, _Removed) else value
            scope = scope.parent
        return None

    def set(self, **fields: ScopeValue) -> None:
        """Add or replace fields of this scope; what is nested in it sees them from now on.

        This is the only way to change them: `visible` remembers what it has put together.
        """
        self.fields.update(fields)
        self._visible = None

    def chain(self) -> Iterator[Scope]:
        """This scope, its parent, and so on to the root."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def visible(self) -> Visible:
        """Every visible field, the nearest value winning; kept for next time, so not to be changed.

        What is kept is of use as long as the parent's is the very same mapping.
        """
        above = self.parent.visible() if self.parent is not None else None
        kept = self._visible
        if kept is not None and kept[0] is above:
            return kept[1]
        merged: dict[str, ScopeValue] = dict(above or ())
        merged.update((k, v) for k, v in self.fields.items() if v is not None)
        seen = {k: v for k, v in merged.items() if v is not None and not isinstance(v, _Removed)}
        self._visible = (above, seen)
        return seen

    def all_fields(self) -> dict[str, FieldValue]:
        """Every visible field, the nearest value winning, in a dict of the caller's own."""
        return dict(self.visible())

    def all_categories(self) -> list[str]:
        """The categories of the whole chain, nearest first, without doubles."""
        return list(dict.fromkeys(c for scope in self.chain() for c in scope.categories))

    def all_reasons(self) -> list[str]:
        """The reason codes of the whole chain, outermost first, without doubles."""
        scopes = reversed(list(self.chain()))
        return list(dict.fromkeys(r for scope in scopes for r in scope.reasons))

    def elapsed_usecs(self) -> int:
        """Microseconds since this scope was created."""
        return (time.monotonic_ns() - self.started) // 1000


class Event(Generic[P]):
    """One event of the catalogue.

    ``emit`` is None while nobody watches.  ``scoped`` tells whether any of those who watch looks at
    the scope: where it is False an emitter may give another one, to save itself the making of the
    right one.  ``own`` are the fields that the emitter gives, in the
    order of its signature; ``inherited`` those that come from the scope chain; ``fields`` both,
    with ``duration`` and ``reason_code``, which every event has.
    """

    __slots__ = (
        "category",
        "doc",
        "emit",
        "fields",
        "inherited",
        "module",
        "name",
        "own",
        "scoped",
    )

    def __init__(
        self,
        name: str,
        category: str | None,
        doc: str,
        own: Mapping[str, Field],
        inherited: Mapping[str, Field],
        module: str,
    ) -> None:
        self.name = name
        self.category = category
        self.doc = doc
        self.own = dict(own)
        self.inherited = dict(inherited)
        self.fields = {**COMMON, **self.inherited}
        for parameter, field in own.items():
            self.fields.update(field.declared(parameter))
        self.module = module
        self.emit: Callable[P, None] | None = None
        self.scoped = True

    def __repr__(self) -> str:
        return f"<Event {self.name}>"


COMMON: Final[Mapping[str, Field]] = {
    "duration": Field(
        "integer", "Time since the work began, that is, since its scope was created.", unit="µs"
    ),
    "reason_code": Field(
        "list", "Why it happened: the reason codes of all the work it is nested in."
    ),
}

REGISTRY: Final[dict[str, Event[...]]] = {}

ON_DECLARE: Final[list[Callable[[Event[...]], None]]] = []
"""Called with every event declared from now on: families are imported when they are needed."""


def declare(
    *, category: str | None = None, inherits: Mapping[str, Field] | None = None
) -> Callable[[Callable[P, None]], Event[P]]:
    """Turn a signature into an event of the catalogue.

    The first parameter is the scope, positional; the others are keyword-only, annotated with
    ``Annotated[type | None, Field-making F(...)]`` and default to None, which means absent.
    Raises ValueError for a name that is declared twice.
    """

    def make(function: Callable[P, None]) -> Event[P]:
        name = function.__name__
        if name in REGISTRY:
            raise ValueError(f"event {name} is declared twice")
        doc = (function.__doc__ or "").strip()
        event: Event[P] = Event(
            name, category, doc, own_fields(function), inherits or {}, function.__module__
        )
        REGISTRY[name] = event
        for hook in ON_DECLARE:
            hook(event)
        return event

    return make
