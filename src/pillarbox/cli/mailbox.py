"""``pillarbox mailbox``: a user's mailboxes, looked at and mended from the command line.

All commands work beside a running server: the mail store is safe between processes, and sessions
see what changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pillarbox.cli.failure import DATA, CommandFailed
from pillarbox.cli.mail_user import with_user
from pillarbox.cli.mailbox_check import check_line, rebuild_line
from pillarbox.cli.mailbox_dump import dump_mailbox
from pillarbox.cli.mailbox_metadata import app as metadata_app
from pillarbox.cli.options import ConfigOption, OverrideOption, UserOption, settings_of
from pillarbox.drivers.storage.api import PurgeResult
from pillarbox.mailstore import rebuild as mending
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.units import format_size

app = typer.Typer(no_args_is_help=True, help="A user's mailboxes: list, make, rename, check, mend.")
app.add_typer(metadata_app, name="metadata")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Mailbox, such as Work/Reports.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Mailboxes; otherwise all.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("list")
def list_(
    user: UserOption,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the mailboxes; * marks those that are subscribed."""

    async def work(user: MailUser) -> list[dict[str, Any]]:
        subscribed = user.mailboxes.subscriptions()
        return [
            {
                "name": entry.name,
                "subscribed": entry.name in subscribed,
                "special_use": list(user.mailboxes.special_use(entry)),
                "guid": entry.guid.hex(),
            }
            for entry in user.mailboxes.entries()
        ]

    rows = with_user(settings_of(config, override), user, work)
    if as_json:
        _json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        mark = "*" if row["subscribed"] else " "
        typer.echo(f"{mark} {row['name']:<{width}}  {' '.join(row['special_use'])}".rstrip())


@app.command()
def status(
    user: UserOption,
    names: NamesArgument = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Show the counters of mailboxes."""

    async def work(user: MailUser) -> list[dict[str, Any]]:
        return [_status(user, name) for name in _names(user, names)]

    rows = with_user(settings_of(config, override), user, work)
    if as_json:
        _json(rows)
        return
    heads = ["name", "messages", "unseen", "size", "uidnext", "uidvalidity", "highestmodseq"]
    _table(heads, [[_cell(head, row[head]) for head in heads] for row in rows])


@app.command()
def create(
    user: UserOption,
    name: NameArgument,
    subscribe: Annotated[
        bool, typer.Option("--subscribe", "-s", help="Subscribe it, too.")
    ] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Make a mailbox."""

    async def work(user: MailUser) -> None:
        await user.mailboxes.create(name)
        if subscribe:
            await user.mailboxes.subscribe(name)

    with_user(settings_of(config, override), user, work)
    typer.echo(f"Created {name}.")


@app.command()
def delete(
    user: UserOption,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Delete a mailbox with all its mail; its children stay."""
    settings = settings_of(config, override)

    async def count(user: MailUser) -> int:
        return int(_status(user, name)["messages"])

    messages = with_user(settings, user, count)
    if messages and not yes:
        typer.confirm(f"Delete {name} with its {messages} messages?", abort=True)

    async def work(user: MailUser) -> None:
        await user.delete_mailbox(name)

    with_user(settings, user, work)
    typer.echo(f"Deleted {name}.")


@app.command()
def rename(
    user: UserOption,
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="New name.")],
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Rename a mailbox and its children; INBOX gives its mail away and stays."""

    async def work(user: MailUser) -> None:
        await user.rename_mailbox(name, new)

    with_user(settings_of(config, override), user, work)
    typer.echo(f"Renamed {name} to {new}.")


@app.command()
def check(
    user: UserOption,
    names: NamesArgument = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Read everything and say what is damaged; opening mends indexes. Status 65 if mail is lost."""

    async def work(user: MailUser) -> list[mending.Report]:
        return [await mending.check(user, name) for name in _names(user, names)]

    reports = with_user(settings_of(config, override), user, work)
    for report in reports:
        typer.echo(check_line(report))
        for problem in report.problems:
            typer.echo(f"  {problem}")
    damaged = [report.name for report in reports if report.problems]
    if damaged:
        raise CommandFailed(f"damaged: {', '.join(damaged)}", DATA)


@app.command()
def rebuild(
    user: UserOption,
    names: NamesArgument = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Make indexes again from what is left of them and of the mail; take off what is lost."""

    async def work(user: MailUser) -> list[mending.Rebuilt]:
        return [await mending.rebuild(user, name) for name in _names(user, names)]

    for rebuilt in with_user(settings_of(config, override), user, work):
        typer.echo(rebuild_line(rebuilt))


@app.command()
def purge(user: UserOption, config: ConfigOption = None, override: OverrideOption = None) -> None:
    """Give the space of expunged mail back to the disk."""

    async def work(user: MailUser) -> PurgeResult:
        return await user.purge()

    result = with_user(settings_of(config, override), user, work)
    typer.echo(
        f"Removed {result.containers_removed} containers, freed {result.bytes_freed} bytes: "
        f"{result.messages_dropped} messages dropped, {result.messages_moved} moved."
    )


@app.command()
def dump(
    user: UserOption,
    name: NameArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Print the index of a mailbox: its header as comments, then a line per message."""

    async def work(user: MailUser) -> list[str]:
        mailbox = user.open_mailbox(name)
        try:
            return list(dump_mailbox(mailbox))
        finally:
            user.release_mailbox(mailbox)

    for line in with_user(settings_of(config, override), user, work):
        typer.echo(line)


def _names(user: MailUser, names: Sequence[str] | None) -> list[str]:
    return list(names) if names else [entry.name for entry in user.mailboxes.entries()]


def _status(user: MailUser, name: str) -> dict[str, Any]:
    mailbox = user.open_mailbox(name)
    try:
        status = mailbox.status()
    finally:
        user.release_mailbox(mailbox)
    names = (
        "messages",
        "recent",
        "unseen",
        "deleted",
        "size",
        "uidnext",
        "uidvalidity",
        "highestmodseq",
    )
    return {"name": mailbox.name, **{n: int(getattr(status, n)) for n in names}}


def _cell(head: str, value: object) -> str:
    if head == "size" and isinstance(value, int):
        return format_size(value) if value < 1024 else f"{value / (1 << 20):.1f}MB"
    return str(value)


def _table(heads: list[str], rows: list[list[str]]) -> None:
    """Columns, the first to the left and the rest to the right."""
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:]))]
        typer.echo("  ".join(cells).rstrip())


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
