"""JSON lines of whole events, for exporters: the same bytes' meaning as `line`, at less cost.

A line is put together of pieces.  What the scopes say (categories, inherited fields, reason codes)
is encoded once for a scope and event and kept in ``Scope.memo`` until a field of the scope or of
one above it changes; only the event's own fields are encoded each time, by a struct made for the
event, and the two times.

An event whose parameters expand to fields of any name, one that gives a field which its scope has
too, and text that is no Unicode go the slow way, through `record` and `line`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from pillarbox.events.build import Build
from pillarbox.events.event import Event, Scope
from pillarbox.events.formats.line import formatter
from pillarbox.events.formats.record import HOSTNAME, categories_of, record

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_slow: Final = formatter("json")
_CLASH: Final = b""


@dataclass(frozen=True, slots=True)
class JsonLine:
    """A sink that gives ``put`` a line of every event, unless ``full()`` says there is no room."""

    put: Callable[[bytes], None]
    full: Callable[[], bool]

    def statements(self, build: Build) -> Sequence[str]:
        """Make the line of the event's own fields and the duration."""
        event = build.event
        duration = build.field("duration")
        full, put = build.const(self.full), build.const(self.put)
        if any(field.expand is not None for field in event.own.values()):
            make = build.const(_plain)
            own = build.own()
            call = f"{make}({build.const(event)}, scope, {own}, {duration})"
        else:
            own = ", ".join((*event.own, duration))
            call = f"{build.const(_writer(event))}(scope, {build.const(_struct(event))}({own}))"
        return [f"if not {full}(): {put}({call})"]


@cache
def _struct(event: Event[...]) -> Any:
    """The event's own fields, and the duration; absent ones are not encoded."""
    fields = [(name, Any, None) for name in event.own]
    return msgspec.defstruct(
        event.name, [*fields, ("duration", int, -1)], omit_defaults=True, gc=False
    )


@cache
def _writer(event: Event[...]) -> Callable[[Scope, Any], bytes]:
    """What makes a line of a scope and a struct of own fields."""
    names = (*event.own, "duration")
    begin = b'{"event":%b,"hostname":%b,"start_time":"' % (_encode(event.name), _encode(HOSTNAME))

    def write(scope: Scope, own: Any) -> bytes:
        visible = scope.visible()
        memo = scope.memo
        if memo is None or memo[0] is not visible:
            memo = scope.memo = (visible, {})
        end = time.time_ns() // 1000
        try:
            middle = memo[1].get(event)
            if middle is None:
                middle = memo[1][event] = _middle(event, names, scope)
            if middle is _CLASH:
                return _plain(event, scope, msgspec.structs.asdict(own), own.duration)
            told = _encode(own)
        except UnicodeEncodeError:
            return _plain(event, scope, msgspec.structs.asdict(own), own.duration)
        start = end - own.duration
        second, micros = divmod(start, 1_000_000)
        last, fraction = divmod(end, 1_000_000)
        return b'%b%b.%06dZ","end_time":"%b.%06dZ"%b%b}' % (
            begin,
            _second(second),
            micros,
            _second(last),
            fraction,
            middle,
            told[1:],
        )

    return write


def _middle(event: Event[...], names: tuple[str, ...], scope: Scope) -> bytes:
    """Categories and what the scopes say; `_CLASH` if the event itself says some of it too."""
    visible: dict[str, Any] = dict(scope.visible())
    if not visible.keys().isdisjoint(names):
        return _CLASH
    reasons = scope.all_reasons()
    if reasons:
        visible["reason_code"] = reasons
    categories = categories_of(event, scope)
    start = b',"categories":' + _encode(categories) if categories else b""
    fields = _encode(visible)[:-1]
    return start + b',"fields":' + fields + (b"," if visible else b"")


def _plain(event: Event[...], scope: Scope, own: dict[str, Any], duration: int) -> bytes:
    """The slow way."""
    fields = dict(scope.visible())
    fields.update((name, value) for name, value in own.items() if value is not None)
    return _slow(record(event, scope, fields, duration))


@lru_cache(maxsize=256)
def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
