"""``pillarbox stats``: show the metrics of the running server, and change them while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from pillarbox.cli.failure import NOT_RUNNING, USAGE, CommandFailed
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.filter import Filter
from pillarbox.events.metrics.distribution import Distribution
from pillarbox.events.metrics.snapshot import Row, Snapshot, rows
from pillarbox.runtime import stats_client
from pillarbox.settings.model import GroupBySettings, MetricSettings

app = typer.Typer(help="Show and change the metrics of the running server.", no_args_is_help=True)

T = TypeVar("T")
NamesArgument = Annotated[list[str] | None, typer.Argument(help="Names of metrics.")]


@app.command()
def dump(
    names: NamesArgument = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    openmetrics: Annotated[
        bool, typer.Option("--openmetrics", help="The page that Prometheus reads.")
    ] = False,
    percentile: Annotated[
        list[float] | None, typer.Option("--percentile", "-p", help="Which percentiles to show.")
    ] = None,
) -> None:
    """Print metrics: count, and sum, min, max, avg, median, stddev, percentiles of their fields."""
    dumped = _ask(stats_client.dump(_base_dir(config, override)))
    if names:
        dumped.snapshots = [s for s in dumped.snapshots if s.name in names]
    if openmetrics:
        typer.echo(stats_client.page(dumped), nl=False)
        return
    percents = percentile or [95.0, 99.0]
    lines = [line for s in dumped.snapshots for line in _lines(s, percents)]
    if as_json:
        for line in lines:
            typer.echo(msgspec.json.encode(line).decode())
        return
    _print_table(lines, percents)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the metric.")],
    wanted: Annotated[str, typer.Argument(metavar="FILTER", help="Event filter: what counts.")],
    config: ConfigOption = None,
    override: OverrideOption = None,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="A numeric field to measure.")
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by",
            metavar="FIELD[:METHOD[:A:B:C]]",
            help="discrete:MODIFIER, exponential:BASE:MIN:MAX or linear:MIN:MAX:STEP.",
        ),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="What it means.")] = "",
) -> None:
    """Add a metric, or replace one, until the server is stopped."""
    try:
        warnings = Filter.parse(wanted).warnings()
        groups = tuple(parse_group(text) for text in group_by or [])
    except FilterError as error:
        raise CommandFailed(f"filter: {error}\n{error.pointer()}", USAGE) from None
    except ValueError as error:
        raise CommandFailed(str(error), USAGE) from None
    for warning in warnings:
        typer.echo(f"warning: filter: {warning}", err=True)
    metric = MetricSettings(
        filter=wanted, fields=tuple(fields or ()), group_by=groups, description=description
    )
    _ask(stats_client.change(_base_dir(config, override), add={name: metric}))


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Names of metrics.")],
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Take metrics away until the server is stopped."""
    _ask(stats_client.change(_base_dir(config, override), remove=names))


@app.command()
def reset(
    names: NamesArgument = None, config: ConfigOption = None, override: OverrideOption = None
) -> None:
    """Start metrics from nothing; without names, all of them."""
    _ask(stats_client.change(_base_dir(config, override), reset=names or []))


def parse_group(text: str) -> GroupBySettings:
    """A group_by element from the command line.  Raises ValueError.

    >>> parse_group("net_out_bytes:exponential:10:0:6").exponential_max_magnitude
    6
    """
    field, _, rest = text.partition(":")
    method, _, arguments = rest.partition(":")
    if not field:
        raise ValueError("--group-by needs a field")
    if not method:
        return GroupBySettings(field=field)
    if method == "discrete":
        return GroupBySettings(field=field, discrete_modifier=arguments)
    try:
        first, second, third = (int(number) for number in arguments.split(":"))
    except ValueError:
        raise ValueError(f"--group-by {text}: {method} needs three numbers") from None
    if method == "exponential":
        return GroupBySettings(
            field=field,
            method="exponential",
            exponential_base=first,
            exponential_min_magnitude=second,
            exponential_max_magnitude=third,
        )
    if method == "linear":
        return GroupBySettings(
            field=field, method="linear", linear_min=first, linear_max=second, linear_step=third
        )
    raise ValueError(f"--group-by {text}: the methods are discrete, exponential and linear")


def _base_dir(config: Path | None, override: list[str] | None) -> Path:
    return Path(settings_of(config, override).base_dir)


def _ask(question: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(question)
    except stats_client.StatsError as error:
        raise CommandFailed(str(error), NOT_RUNNING) from None


def _lines(snapshot: Snapshot, percents: list[float]) -> list[dict[str, Any]]:
    return [_line(row, snapshot, percents) for row in rows(snapshot)]


def _line(row: Row, snapshot: Snapshot, percents: list[float]) -> dict[str, Any]:
    line: dict[str, Any] = {"metric": row.name, "count": row.group.count}
    for field in snapshot.fields:
        seen = row.group.fields.get(field) or Distribution()
        line[field] = {
            "sum": seen.sum,
            "min": seen.minimum,
            "max": seen.maximum,
            "avg": round(seen.average, 2),
            "median": seen.median,
            "stddev": round(seen.stddev, 2),
            **{f"p{percent:g}": seen.percentile(percent) for percent in percents},
        }
    return line


def _print_table(lines: list[dict[str, Any]], percents: list[float]) -> None:
    figures = ("sum", "min", "max", "avg", "median", "stddev", *(f"p{p:g}" for p in percents))
    table = [["metric", "field", "count", *figures]]
    for line in lines:
        fields = [(k, v) for k, v in line.items() if isinstance(v, dict)]
        table.append([line["metric"], "", str(line["count"]), *("" for _ in figures)])
        for name, values in fields:
            table.append(["", name, "", *(f"{values[f]}" for f in figures)])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = [f"{row[0]:{widths[0]}}", f"{row[1]:{widths[1]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:])]
        typer.echo("  ".join(cells).rstrip())
