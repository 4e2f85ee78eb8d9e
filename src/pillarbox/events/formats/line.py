"""The lines that exporters send: JSON objects, or tab-separated texts.

Both hold what ``exporter_include`` names: name, hostname, timestamps, categories, fields.  In JSON
the keys are ``event``, ``hostname``, ``start_time``, ``end_time``, ``categories`` and ``fields``;
in tab-text each item is ``key:value``, categories and fields one item each (``field:user=bob``),
with tab, newline, carriage return, NUL and the escape character written as in Dovecot's protocols
(``\\001t`` and so on).  Lines have no line end of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from pillarbox.events.formats.record import HOSTNAME, Record

TimeFormat = Literal["rfc3339", "unix"]
Formatter = Callable[[Record], bytes]

EVERYTHING: Final = ("name", "hostname", "timestamps", "categories", "fields")
_encode_json: Final = msgspec.json.Encoder(enc_hook=str).encode
_LAST_MICRO: Final = 999_999
_ESCAPES: Final = str.maketrans(
    {"\x01": "\x011", "\t": "\x01t", "\n": "\x01n", "\r": "\x01r", "\0": "\x010"}
)


class _Json(msgspec.Struct, omit_defaults=True, gc=False):
    """A JSON line; what is not to be included stays None."""

    event: str | None
    hostname: str | None
    start_time: str | float | None
    end_time: str | float | None
    categories: tuple[str, ...] | None
    fields: dict[str, Any] | None
    source: str | None = None


def rfc3339(seconds: float) -> str:
    """A time as ``2026-01-31T12:00:00.000001Z``.

    >>> rfc3339(0.5)
    '1970-01-01T00:00:00.500000Z'
    """
    whole = int(seconds)
    micros = round((seconds - whole) * 1_000_000)
    if micros > _LAST_MICRO:
        whole, micros = whole + 1, 0
    return "%s.%06dZ" % (_to_the_second(whole), micros)  # noqa: UP031 (faster)


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def formatter(
    kind: str, include: Collection[str] = EVERYTHING, time_format: TimeFormat = "rfc3339"
) -> Formatter:
    """The function that writes records as lines of a format.  Raises ValueError for others."""
    times: Callable[[float], Any] = rfc3339 if time_format == "rfc3339" else _unix
    unknown = set(include) - set(EVERYTHING)
    if unknown:
        raise ValueError(f"exporter_include knows no {', '.join(sorted(unknown))}")
    if kind == "json" and set(include) == set(EVERYTHING):
        return lambda record: _whole(record, times)
    if kind == "json":
        return lambda record: _encode(dict(_items(record, include, times)))
    if kind == "tab-text":
        return lambda record: _tab_text(record, include, times)
    raise ValueError(f"there is no event format {kind}")


def _whole(record: Record, times: Callable[[float], Any]) -> bytes:
    line = _Json(
        record.event,
        HOSTNAME,
        times(record.start_time),
        times(record.end_time),
        record.categories,
        record.fields,
        record.source or None,
    )
    return _encode(line)


def _encode(line: object) -> bytes:
    """JSON; text that is no Unicode (from bytes that were no UTF-8) is shown with ``?``."""
    try:
        return _encode_json(line)
    except UnicodeEncodeError:
        return _encode_json(_sane(msgspec.to_builtins(line, enc_hook=str)))


def _sane(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sane(k): _sane(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_sane(v) for v in value]
    return value


def _unix(seconds: float) -> float:
    return round(seconds, 6)


def _items(
    record: Record, include: Collection[str], times: Callable[[float], Any]
) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    if "name" in include:
        items.append(("event", record.event))
    if "hostname" in include:
        items.append(("hostname", HOSTNAME))
    if "timestamps" in include:
        items.append(("start_time", times(record.start_time)))
        items.append(("end_time", times(record.end_time)))
    if "categories" in include:
        items.append(("categories", record.categories))
    if "fields" in include:
        items.append(("fields", record.fields))
    if record.source:
        items.append(("source", record.source))
    return items


def _tab_text(record: Record, include: Collection[str], times: Callable[[float], Any]) -> bytes:
    parts: list[str] = []
    for key, value in _items(record, include, times):
        if key == "categories":
            parts.extend(f"category:{_escape(category)}" for category in value)
        elif key == "fields":
            parts.extend(f"field:{_escape(k)}={_escape(_text(v))}" for k, v in value.items())
        else:
            parts.append(f"{key}:{_escape(str(value))}")
    return "\t".join(parts).encode("utf-8", "surrogateescape")


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
