"""The reference page of events, categories and reason codes, made from the declarations.

``python -m pillarbox.events.reference`` prints it as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pillarbox.events.catalogue.categories import CATEGORIES
from pillarbox.events.catalogue.load import registry
from pillarbox.events.catalogue.reasons import REASONS
from pillarbox.events.event import COMMON, Event
from pillarbox.events.field import Field

_INTRO = """\
# Events

Everything that matters in the server is an event: a name, categories, and typed fields. Fields
marked *inherited* come from the work that the event is nested in (the session, the command, the
transaction); the others are given by the event itself. A field without a value is absent.
Events can be counted (`metric`), exported (`event_exporter`), watched (`pillarbox events tail`)
and chosen with [filters](filters.md).
"""


def markdown() -> str:
    """The whole page."""
    events = registry()
    parts = [_INTRO, "## Fields of every event\n", _field_table(COMMON, ())]
    for family, members in _families(events).items():
        parts.append(f"## {family.replace('_', ' ').capitalize()}\n")
        parts.extend(_event(event) for event in members)
    parts.append("## Categories\n")
    parts.append("A filter on a category matches the categories below it as well.\n")
    parts.append(
        _table(
            ("Category", "Below", "What belongs to it"),
            (
                (f"`{c.name}`", f"`{c.parent}`" if c.parent else "", c.doc)
                for c in CATEGORIES.values()
            ),
        )
    )
    parts.append("## Reason codes\n")
    parts.append("The field `reason_code` lists why work was done, from the outside in.\n")
    parts.append(_table(("Code", "Why"), ((f"`{c}`", text) for c, text in REASONS.items())))
    return "\n".join(parts)


def _families(events: Mapping[str, Event[...]]) -> dict[str, list[Event[...]]]:
    families: dict[str, list[Event[...]]] = {}
    for name in sorted(events):
        event = events[name]
        families.setdefault(event.module.rpartition(".")[2], []).append(event)
    return dict(sorted(families.items()))


def _event(event: Event[...]) -> str:
    category = f"Category `{event.category}`. " if event.category else ""
    fields = {name: field for name, field in event.fields.items() if name not in COMMON}
    head = f"### {event.name}\n\n{category}{' '.join(event.doc.split())}\n"
    return f"{head}\n{_field_table(fields, event.inherited)}" if fields else head


def _field_table(fields: Mapping[str, Field], inherited: Iterable[str]) -> str:
    taken = set(inherited)
    rows = (
        (f"`{name}`", _type(field), _meaning(field) + (" *inherited*" if name in taken else ""))
        for name, field in fields.items()
    )
    return _table(("Field", "Type", "Meaning"), rows)


def _type(field: Field) -> str:
    return f"{field.type}, {field.unit}" if field.unit else field.type


def _meaning(field: Field) -> str:
    if not field.values:
        return field.doc
    return f"{field.doc} One of: {', '.join(f'`{v}`' for v in field.values)}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(_lines(head, rows)) + "\n"


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' for _ in head)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    print(markdown())  # noqa: T201
