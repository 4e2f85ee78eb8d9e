"""Writes the emit function of one event: what its subscriptions need, and nothing else.

Subscriptions add statements to a `Build`; what they ask of it (fields, the duration, the place of
the emitter) is loaded once, at the top if everybody needs it, else inside the condition that
guards it.  The result is one Python function whose parameters are the event's own fields::

    def emit(scope, /, tagged_reply_state=None, ...):
        try:
            k2[0] += 1
            if (tagged_reply_state == k3 or ...):
                duration = (now() - scope.started) // 1000
                ...
        except Exception as error:
            failed(error)

Every value gets into the code as a named constant.  A subscription that fails is reported and
never disturbs the work that emits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from pillarbox.events.event import REMOVED, Event, Scope
from pillarbox.events.filter import runtime
from pillarbox.events.filter.compile import FALSE, TRUE, expression
from pillarbox.events.filter.filter import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

Emit = Callable[..., None]
Failed = Callable[[Exception], None]


class Sink(Protocol):
    """Who does something when an event happens."""

    def statements(self, build: Build) -> Sequence[str]:
        """Python statements to run; ask ``build`` for the names that they use."""


class Build:
    """The emit function of one event while it is written."""

    def __init__(self, event: Event[...]) -> None:
        self.event: Event[...] = event
        self._constants: dict[str, object] = {
            "now": time.monotonic_ns,
            "lookup": Scope.get,
            "removed": REMOVED,
        }
        self._names: dict[int, str] = {}
        self._top: list[str] = []
        self._top_loaded: dict[str, str] = {}
        self._block: list[str] | None = None
        self._block_loaded: dict[str, str] = {}
        self._serial = 0

    # What filters and sinks ask for.

    def const(self, value: object) -> str:
        """A name for a value; the same object has the same name."""
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"k{len(self._constants)}"
            self._constants[name] = value
        return name

    def local(self) -> str:
        """A fresh local variable."""
        self._serial += 1
        return f"v{self._serial}"

    def scope(self) -> str:
        """The scope."""
        return "scope"

    def name(self) -> str:
        """The event's name, as a constant."""
        return self.const(self.event.name)

    def category(self) -> str:
        """The event's own category, as a constant."""
        return self.const(self.event.category)

    def location(self) -> str:
        """The variable with ``file:line`` of the emitter; taking it costs a microsecond."""
        return self._load("source_location", self._location_code)

    def field(self, name: str) -> str:
        """The variable with a field's value or None: own fields first, then the scope chain."""
        return self._load(name, self._field_code)

    def own(self) -> str:
        """An expression: dict of the own fields, absent ones being None."""
        items = [
            f"{name!r}: {name}" for name, field in self.event.own.items() if field.expand is None
        ]
        spread = [f"**{self._expanded(name)}" for name in self._expandable()]
        return "{" + ", ".join(items + spread) + "}"

    def put_own(self, target: str) -> list[str]:
        """Statements that put the own fields that are present into a dict."""
        lines = [
            f"if {name} is not None: {target}[{name!r}] = {name}"
            for name, field in self.event.own.items()
            if field.expand is None
        ]
        expanded = (self._expanded(name) for name in self._expandable())
        return lines + [f"{target}.update({fields})" for fields in expanded]

    # How it is put together.

    def add(self, sink: Sink, wanted: Filter) -> None:
        """Let a sink do its part when a filter matches."""
        test = TRUE if wanted.tree is None else expression(wanted.tree, self)
        if test == FALSE:
            return
        if test == TRUE:
            self._top.extend(sink.statements(self))
            return
        with self._inside() as block:
            block.extend(sink.statements(self))
            self._top.append(f"if {test}:")
            self._top.extend("    " + line for line in block)

    @property
    def scoped(self) -> bool:
        """Whether anything that was added looks at the scope."""
        return any(_SCOPE.search(line) for line in self._top)

    def compile(self, failed: Failed) -> Emit:
        """The finished function."""
        parameters = "".join(f", {name}=None" for name in self.event.own)
        lines = [f"def emit(scope, /{parameters}):", "    try:"]
        lines.extend("        " + line for line in self._top)
        lines += ["    except Exception as error:", f"        {self.const(failed)}(error)"]
        namespace = dict(self._constants)
        exec(compile("\n".join(lines), f"<emit {self.event.name}>", "exec"), namespace)  # noqa: S102
        emit: Any = namespace["emit"]
        return emit  # type: ignore[no-any-return]

    @contextmanager
    def _inside(self) -> Iterator[list[str]]:
        self._block, self._block_loaded = [], {}
        try:
            yield self._block
        finally:
            self._block = None

    def _load(self, name: str, code: Callable[[str], tuple[str, list[str]]]) -> str:
        known = self._top_loaded.get(name) or self._block_loaded.get(name)
        if known is not None and (self._block is not None or name in self._top_loaded):
            return known
        variable, lines = code(name)
        if self._block is None:
            self._top_loaded[name] = variable
            self._top.extend(lines)
        else:
            self._block_loaded[name] = variable
            self._block.extend(lines)
        return variable

    def _location_code(self, name: str) -> tuple[str, list[str]]:
        variable = self.local()
        return variable, [f"{variable} = {self.const(runtime.caller_location)}()"]

    def _field_code(self, name: str) -> tuple[str, list[str]]:
        own = self.event.own.get(name)
        if own is not None and own.expand is None:
            return name, [f"if {name} is None: {name} = lookup(scope, {name!r})"]
        variable = self.local()
        if name == "duration":
            return variable, [f"{variable} = (now() - scope.started) // 1000"]
        if name == "reason_code":
            return variable, [f"{variable} = scope.all_reasons() or None"]
        key = self.const(name)
        lines = [
            f"{variable} = scope.fields.get({key})",
            f"if {variable} is None or {variable} is removed: {variable} = lookup(scope, {key})",
        ]
        for mapping in self._expandable():
            expanded = f"{self._expanded(mapping)}.get({key})"
            lines.append(f"if {variable} is None: {variable} = {expanded}")
        return variable, lines

    def _expandable(self) -> list[str]:
        return [name for name, field in self.event.own.items() if field.expand is not None]

    def _expanded(self, name: str) -> str:
        """An expression: the fields that a mapping parameter stands for."""
        return f"{self.const(self.event.own[name].expand)}({name} or {self.const(_EMPTY)})"


_EMPTY: Final[dict[str, str]] = {}
_SCOPE: Final = re.compile(r"\bscope\b")
