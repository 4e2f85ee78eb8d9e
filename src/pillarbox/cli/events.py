"""``pillarbox events``: list the catalogue, explain an event, watch events, show coverage."""

from __future__ import annotations

import asyncio
import difflib
import fnmatch
from pathlib import Path
from typing import Annotated

import typer

from pillarbox.cli.failure import NO_INPUT, NOT_RUNNING, USAGE, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.events.catalogue.categories import lineage
from pillarbox.events.catalogue.load import registry
from pillarbox.events.coverage import Table, read
from pillarbox.events.event import COMMON, Event
from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.filter import Filter
from pillarbox.events.formats.line import formatter
from pillarbox.events.render import one_line
from pillarbox.runtime import stats_client

app = typer.Typer(help="List, explain and watch events.", no_args_is_help=True)


@app.command("list")
def list_events(
    pattern: Annotated[str, typer.Argument(help="Names to list, with * and ?.")] = "*",
    category: Annotated[
        str, typer.Option("--category", help="Only events of this category or below it.")
    ] = "",
) -> None:
    """List events with what they mean."""
    chosen = [
        event
        for name, event in sorted(registry().items())
        if fnmatch.fnmatchcase(name, pattern)
        and (not category or category in lineage(event.category or ""))
    ]
    width = max((len(event.name) for event in chosen), default=0)
    for event in chosen:
        typer.echo(f"{event.name:{width}}  {_first_line(event)}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of the event.")]) -> None:
    """Explain one event: category, fields, types, values."""
    event = registry().get(name)
    if event is None:
        near = difflib.get_close_matches(name, registry(), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CommandFailed(f"there is no event {name}{hint}", NO_INPUT)
    typer.echo(f"{event.name}: {_first_line(event)}")
    if event.category:
        typer.echo(f"category: {' < '.join(lineage(event.category))}")
    width = max(len(field) for field in event.fields)
    for heading, names in (
        ("fields of its own", [n for n in event.fields if n not in (*COMMON, *event.inherited)]),
        ("fields from what it is nested in", list(event.inherited)),
        ("fields of every event", list(COMMON)),
    ):
        if names:
            typer.echo(f"\n{heading}:")
        for field_name in names:
            field = event.fields[field_name]
            kind = f"{field.type} ({field.unit})" if field.unit else field.type
            typer.echo(f"  {field_name:{width}}  {kind:15}  {field.doc}")
            if field.values:
                typer.echo(f"  {'':{width}}  {'':15}  one of: {', '.join(field.values)}")


@app.command()
def tail(
    config: ConfigOption = None,
    override: OverrideOption = None,
    wanted: Annotated[
        str, typer.Option("--filter", "-f", help="Event filter; without it, all events.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Every field, however dull.")] = False,
    source: Annotated[
        bool, typer.Option("--source", help="Where in the code it happened.")
    ] = False,
    count: Annotated[int, typer.Option("--count", "-n", help="End after so many events.")] = 0,
) -> None:
    """Show the events of the running server as they happen."""
    try:
        warnings = Filter.parse(wanted).warnings()
    except FilterError as error:
        raise CommandFailed(f"filter: {error}\n{error.pointer()}", USAGE) from None
    for warning in warnings:
        typer.echo(f"warning: filter: {warning}", err=True)
    base_dir = Path(settings_of(config, override).base_dir)
    try:
        asyncio.run(_tail(base_dir, wanted, source, as_json, full, count))
    except stats_client.StatsError as error:
        raise CommandFailed(str(error), NOT_RUNNING) from None


async def _tail(
    base_dir: Path, wanted: str, source: bool, as_json: bool, full: bool, count: int
) -> None:
    to_json = formatter("json")
    shown = 0
    async for record, lost in stats_client.tail(base_dir, wanted, source):
        if lost:
            typer.echo(f"… {lost} events lost", err=True)
        if record is not None:
            typer.echo(to_json(record).decode() if as_json else one_line(record, full))
            shown += 1
            if shown == count:
                return


@app.command()
def coverage(
    folder: Annotated[
        Path,
        typer.Argument(help="The folder that PILLARBOX_EVENT_COVERAGE named.", exists=True),
    ],
    seen_only: Annotated[
        bool, typer.Option("--seen", help="Leave out events that were never seen.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
) -> None:
    """Print which events servers emitted, how often, and with which of their fields."""
    typer.echo(coverage_table(read(folder), seen_only, markdown))


def coverage_table(table: Table, seen_only: bool = False, markdown: bool = False) -> str:
    """One line per event: times seen, fields seen of fields declared, and the fields not seen."""
    events = registry()
    rows: list[tuple[str, str, str, str]] = []
    for name in sorted(events):
        seen = table.get(name)
        if seen is None and seen_only:
            continue
        fields = events[name].fields
        missing = [f for f in fields if seen is None or f not in seen.fields]
        listed = ", ".join(missing) if seen is not None else ""
        ratio = f"{len(fields) - len(missing)}/{len(fields)}"
        rows.append((name, str(seen.times if seen else 0), ratio, listed))
    emitted = sum(name in events for name in table)
    end = f"{emitted} of {len(events)} events seen"
    head = ("event", "times", "fields", "fields never seen")
    if markdown:
        lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * 4, *rows)]
    else:
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
        lines = [
            f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip()
            for a, b, c, d in (head, *rows)
        ]
    return "\n".join([*lines, "", end])


def _first_line(event: Event[...]) -> str:
    return " ".join(event.doc.split())
