"""``pillarbox export``: mail out to Maildirs or mbox files, with dates, flags and folders.

A Maildir export can be repeated: messages that are there are kept and their flags brought up to
date.  An mbox file is written beside its place and put there when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pillarbox.cli.failure import CANNOT_CREATE, DATA, CommandFailed
from pillarbox.cli.foreign_mail import ForeignMail
from pillarbox.cli.mail_user import command_scope, with_user
from pillarbox.cli.maildir import MaildirWriter, maildir_name
from pillarbox.cli.mbox import write_mbox
from pillarbox.cli.options import ConfigOption, OverrideOption, UserOption, settings_of
from pillarbox.mailstore.flags import ALL
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.user import MailUser

app = typer.Typer()


class Format(StrEnum):
    """What to write."""

    MAILDIR = "maildir"
    MBOX = "mbox"


@app.command("export")
def export(
    user: UserOption,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made if missing.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = (
        Format.MAILDIR
    ),
    mailbox: Annotated[
        list[str] | None,
        typer.Option("--mailbox", "-m", metavar="NAME", help="Only these; otherwise all."),
    ] = None,
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Export mail to a Maildir, or to a folder with an mbox file for each mailbox."""
    settings = settings_of(config, override)
    count = 0

    async def work(user: MailUser) -> int:
        nonlocal count
        entries = user.mailboxes.entries()
        names = mailbox or [entry.name for entry in entries]
        for name in names:
            opened = user.open_mailbox(name)
            try:
                count += await export_mailbox(user, opened, target, format)
            except FileExistsError as error:
                text = f"{error.filename} is in the way of mailbox {name}"
                raise CommandFailed(text, CANNOT_CREATE) from None
            finally:
                user.release_mailbox(opened)
        return len(names)

    mailboxes = with_user(settings, user, work)
    typer.echo(f"Exported {count} messages of {mailboxes} mailboxes to {target}.")


async def export_mailbox(user: MailUser, mailbox: Mailbox, target: Path, format: Format) -> int:
    """Write one mailbox; how many messages it has."""
    count = 0
    if format is Format.MAILDIR:
        writer = MaildirWriter(target / maildir_name(mailbox.name), mailbox.keywords)
        async for mail, guid in messages(user, mailbox):
            writer.write(mail, guid)
            count += 1
        return count
    path = target / f"{mailbox.name}.mbox"
    if ".." in path.parts:
        raise CommandFailed(f"a mailbox named {mailbox.name} cannot be a file", DATA)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        async for mail, _ in messages(user, mailbox):
            write_mbox(file, mail)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return count


async def messages(user: MailUser, mailbox: Mailbox) -> AsyncIterator[tuple[ForeignMail, bytes]]:
    """Every message of a mailbox, in the order of UIDs, with its GUID."""
    view = mailbox.view(readonly=True)
    scope = command_scope(user)
    try:
        for position in range(view.exists):
            record = view.records[position]
            bits = int(record["keywords"])
            keywords = tuple(k for i, k in enumerate(mailbox.keywords) if bits >> i & 1)
            data = bytes(await view.read(scope, position))
            flags, date = int(record["flags"]) & ALL, int(record["internal_date"])
            yield ForeignMail(data, flags, keywords, date), record["guid"].tobytes()
    finally:
        view.close()
