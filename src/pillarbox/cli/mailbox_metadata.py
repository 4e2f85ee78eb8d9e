"""``pillarbox mailbox metadata``: annotations of mailboxes, and of the server (IMAP METADATA).

They are those that clients see, whether or not clients may use them (imap_metadata).  An empty name
of a mailbox means the server, as that user sees it.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pillarbox.cli.failure import DATA, CommandFailed
from pillarbox.cli.mail_user import with_user
from pillarbox.cli.options import ConfigOption, OverrideOption, UserOption, settings_of
from pillarbox.mailstore.errors import NoSuchMailbox
from pillarbox.mailstore.list import MailboxEntry
from pillarbox.mailstore.user import MailUser

app = typer.Typer(
    no_args_is_help=True, help="Annotations of mailboxes: list, show, set and remove them."
)

MailboxArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Mailbox; an empty name is the server.")
]
EntryArgument = Annotated[
    str, typer.Argument(metavar="ENTRY", help="Annotation, such as /private/comment.")
]


@app.command("list")
def list_(
    user: UserOption,
    name: MailboxArgument,
    below: Annotated[
        str | None, typer.Argument(metavar="[ENTRY]", help="Only this one and those below it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the values.")] = False,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """List the annotations of a mailbox."""

    async def work(user: MailUser) -> dict[str, bytes]:
        bases = ("/private", "/shared") if below is None else (below.rstrip("/"),)
        return await user.annotations.below(_meant(user, name), bases)

    found = with_user(settings_of(config, override), user, work)
    if as_json:
        values = {entry: value.decode("utf-8", "replace") for entry, value in found.items()}
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    for entry in found:
        typer.echo(entry)


@app.command()
def get(
    user: UserOption,
    name: MailboxArgument,
    entry: EntryArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Print the value of an annotation. Status 65 if there is none."""

    async def work(user: MailUser) -> bytes | None:
        return await user.annotations.get(_meant(user, name), entry)

    value = with_user(settings_of(config, override), user, work)
    if value is None:
        raise CommandFailed(f"there is no annotation {entry}", DATA)
    typer.echo(value)


@app.command("set")
def set_(
    user: UserOption,
    name: MailboxArgument,
    entry: EntryArgument,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="Its value; - reads standard input.")
    ],
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Set an annotation."""
    octets = sys.stdin.read().encode() if value == "-" else value.encode()

    async def work(user: MailUser) -> None:
        await user.annotations.set(_meant(user, name), {entry: octets})

    with_user(settings_of(config, override), user, work)


@app.command()
def unset(
    user: UserOption,
    name: MailboxArgument,
    entry: EntryArgument,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Remove an annotation; one that is not there is no error."""

    async def work(user: MailUser) -> None:
        await user.annotations.set(_meant(user, name), {entry: None})

    with_user(settings_of(config, override), user, work)


def _meant(user: MailUser, name: str) -> MailboxEntry | None:
    """The mailbox of that name; None for the server.  Raises NoSuchMailbox."""
    if not name:
        return None
    entry = user.mailboxes.get(name)
    if entry is None:
        raise NoSuchMailbox(f"Mailbox doesn't exist: {name}")
    return entry
