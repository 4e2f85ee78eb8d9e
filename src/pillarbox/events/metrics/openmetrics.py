"""Metrics as OpenMetrics 1.0 text.

A metric ``imap_command`` is the counter ``pillarbox_imap_command_total`` with its groups as labels.
Of its fields, ``duration`` is the histogram ``..._duration_seconds``; other times are counters in
seconds, everything else counters of the sum (``..._net_in_bytes_total``).  Groups that were refused
are counted under the label value ``_other`` and in ``pillarbox_metric_refused_total``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pillarbox.events.metrics.distribution import Distribution
from pillarbox.events.metrics.snapshot import Group, Snapshot

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OTHER: Final = "_other"

# Microseconds: 100 µs to 1 minute, in steps that people read.
DURATION_BOUNDS: Final = tuple(
    int(step * 10**power) for power in range(2, 8) for step in (1, 2.5, 5)
)

_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
_LIKE_OTHER: Final = re.compile(r"_+other\Z")
_TIMES: Final = frozenset(("duration", "utime", "stime"))
_USECS: Final = "_usecs"


def render(
    snapshots: Iterable[Snapshot],
    info: Mapping[str, str] | None = None,
    gauges: Mapping[str, tuple[str, float]] | None = None,
    counters: Mapping[str, tuple[str, float]] | None = None,
) -> str:
    """The whole page, ``# EOF`` included.

    ``info`` are the labels of build_info; ``gauges`` and ``counters`` are further values by name
    (without ``pillarbox_`` and ``_total``), each with its description.
    """
    lines: list[str] = []
    if info is not None:
        lines += _family("pillarbox_build", "info", "The server's build")
        lines.append(f"pillarbox_build_info{_labels(info.items())} 1")
    for name, (text, value) in (gauges or {}).items():
        lines += _family(f"pillarbox_{name}", "gauge", text)
        lines.append(f"pillarbox_{name} {_number(value)}")
    for name, (text, value) in (counters or {}).items():
        lines += _family(f"pillarbox_{name}", "counter", text)
        lines.append(f"pillarbox_{name}_total {_number(value)}")
    reserved = {"build", "metric_refused", *(gauges or ()), *(counters or ())}
    chosen = sorted(_distinct(snapshots, reserved).items())
    for name, snapshot in chosen:
        lines += _metric(f"pillarbox_{name}", snapshot)
    if chosen:
        lines += _family("pillarbox_metric_refused", "counter", "Events whose group was refused")
        for _, snapshot in chosen:
            labels = _labels([("metric", snapshot.name)])
            lines.append(f"pillarbox_metric_refused_total{labels} {snapshot.refused.count}")
    return "\n".join([*lines, "# EOF", ""])


def _distinct(snapshots: Iterable[Snapshot], reserved: Collection[str]) -> dict[str, Snapshot]:
    """By their name as OpenMetrics allows it, made unlike every name that is taken."""
    named: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        name = _NAME.sub("_", snapshot.name)
        while name in named or name in reserved:
            name += "_"
        named[name] = snapshot
    return named


def _metric(name: str, snapshot: Snapshot) -> Iterator[str]:
    text = snapshot.description or snapshot.name
    groups = [(_group_labels(snapshot, g), g) for g in snapshot.groups]
    if snapshot.refused.count:
        others = [(label, OTHER) for label in _label_names(snapshot.group_by)]
        groups.append((others, snapshot.refused))
    groups.sort(key=lambda pair: pair[0])
    yield from _family(name, "counter", text)
    for labels, group in groups:
        yield f"{name}_total{_labels(labels)} {group.count}"
    for field in snapshot.fields:
        if field == "duration":
            yield from _histogram(f"{name}_duration_seconds", text, groups)
            continue
        seconds = field in _TIMES or field.endswith(_USECS)
        unit = _NAME.sub("_", field.removesuffix(_USECS)) + ("_seconds" if seconds else "")
        yield from _family(f"{name}_{unit}", "counter", f"{text}: {field}")
        for labels, group in groups:
            total = group.fields[field].sum if field in group.fields else 0
            value = max(0, total) / 1_000_000 if seconds else max(0, total)
            yield f"{name}_{unit}_total{_labels(labels)} {_number(value)}"


def _histogram(
    name: str, text: str, groups: Sequence[tuple[list[tuple[str, str]], Group]]
) -> Iterator[str]:
    yield from _family(name, "histogram", f"{text}: how long it took", unit="seconds")
    for labels, group in groups:
        seen = group.fields.get("duration") or Distribution()
        for bound, count in zip(DURATION_BOUNDS, seen.cumulative(DURATION_BOUNDS)):
            le = _number(bound / 1_000_000)
            yield f"{name}_bucket{_labels([*labels, ('le', le)])} {count}"
        yield f"{name}_bucket{_labels([*labels, ('le', '+Inf')])} {seen.count}"
        yield f"{name}_count{_labels(labels)} {seen.count}"
        yield f"{name}_sum{_labels(labels)} {_number(max(0, seen.sum) / 1_000_000)}"


def _family(name: str, kind: str, text: str, unit: str | None = None) -> list[str]:
    lines = [f"# TYPE {name} {kind}"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    return [*lines, f"# HELP {name} {_escape(text)}"]


def _group_labels(snapshot: Snapshot, group: Group) -> list[tuple[str, str]]:
    return [
        (name, f"_{value}" if _LIKE_OTHER.match(value) else value)
        for name, value in zip(_label_names(snapshot.group_by), group.labels)
        if value is not None
    ]


def _label_names(fields: Sequence[str]) -> list[str]:
    """The label of each field; the second group by the same field gets a number."""
    names: list[str] = []
    for field in fields:
        name = _NAME.sub("_", field)
        if name in ("le", "quantile") or name[:1].isdigit():
            name = f"field_{name}"
        names.append(name if name not in names else f"{name}_{len(names) + 1}")
    return names


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    inner = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
    return f"{{{inner}}}" if inner else ""


def _escape(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value)) if isinstance(value, int) else f"{value:.1f}"
    return repr(value)
