"""``pillarbox import``: mail from mbox files and Maildirs, with dates, flags and folders.

An import can be broken off and repeated: each message gets a GUID that follows from its content
(see `foreign_mail.Identities`), and what the mailbox already has is skipped.  Messages are saved in
batches, each durable and all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from pillarbox.cli.failure import DATA, NO_INPUT, CommandFailed
from pillarbox.cli.foreign_mail import ForeignMail, Identities
from pillarbox.cli.mail_user import command_scope, with_user
from pillarbox.cli.maildir import is_maildir, maildir_folders, maildir_size, read_maildir
from pillarbox.cli.mbox import read_mbox
from pillarbox.cli.options import ConfigOption, OverrideOption, UserOption, settings_of
from pillarbox.events.event import Scope
from pillarbox.mailstore.index.records import guid_bytes
from pillarbox.mailstore.mailbox import Mailbox, NewMessage
from pillarbox.mailstore.user import MailUser

app = typer.Typer()

BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One foreign mailbox: what it will be called here, where it is, what it is, its size."""

    name: str
    path: Path
    kind: Literal["mbox", "maildir"]
    size: int

    def mails(self) -> Iterator[ForeignMail]:
        """All messages.  Raises OSError, ValueError."""
        return read_mbox(self.path) if self.kind == "mbox" else read_maildir(self.path)


@dataclass(slots=True)
class Tally:
    """What an import did."""

    imported: int = 0
    skipped: int = 0


@app.command("import")
def import_(
    user: UserOption,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="mbox files, Maildirs, or folders of mbox files."),
    ],
    mailbox: Annotated[
        str,
        typer.Option(
            "--mailbox",
            "-m",
            metavar="NAME",
            help="Where to: an mbox goes into it, a Maildir's folders below it.",
        ),
    ] = "",
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Import mail, keeping dates, flags and folders; what is there already is skipped."""
    settings = settings_of(config, override)
    sources = [source for path in paths for source in find_sources(path, mailbox)]
    if not sources:
        raise CommandFailed("there is no mail to import", NO_INPUT)
    tally = Tally()

    async def work(user: MailUser) -> None:
        with _progress() as progress:
            for source in sources:
                task = progress.add_task(source.name, total=source.size)
                await import_source(user, source, tally, progress, task)

    with_user(settings, user, work)
    skipped = f", skipped {tally.skipped} that were there already" if tally.skipped else ""
    typer.echo(
        f"Imported {tally.imported} messages into {len({s.name for s in sources})} "
        f"mailboxes{skipped}."
    )


def find_sources(path: Path, mailbox: str) -> list[Source]:
    """The foreign mailboxes at a path.  Raises CommandFailed when there is nothing."""
    if path.is_file():
        return [Source(mailbox or "INBOX", path, "mbox", path.stat().st_size)]
    if not path.is_dir():
        raise CommandFailed(f"{path} does not exist", NO_INPUT)
    if is_maildir(path) or any(is_maildir(child) for child in path.iterdir() if child.is_dir()):
        return [
            Source(_below(mailbox, name), folder, "maildir", maildir_size(folder))
            for name, folder in maildir_folders(path)
        ]
    files = sorted(p for p in path.rglob("*") if p.is_file() and _looks_like_mbox(p))
    return [Source(_below(mailbox, _relative(p, path)), p, "mbox", p.stat().st_size) for p in files]


def _below(parent: str, name: str) -> str:
    if not parent:
        return name
    return parent if name == "INBOX" else f"{parent}/{name}"


def _relative(path: Path, root: Path) -> str:
    """A mailbox name from the path of an mbox file; ``Work.sbd/Reports.mbox`` is Work/Reports."""
    parts = [part.removesuffix(".sbd") for part in path.relative_to(root).parts]
    name = "/".join([*parts[:-1], parts[-1].removesuffix(".mbox")])
    return "INBOX" if name.upper() == "INBOX" else name


def _looks_like_mbox(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(5) == b"From "


async def import_source(
    user: MailUser, source: Source, tally: Tally, progress: Progress, task: TaskID
) -> None:
    """Import one foreign mailbox, making its target when it is missing."""
    if user.mailboxes.get(source.name) is None:
        await user.mailboxes.create(source.name)
        await user.mailboxes.subscribe(source.name)
    scope = command_scope(user)
    target = user.open_mailbox(source.name)
    try:
        target.refresh()
        present = set(guid_bytes(target.records["guid"]))
        identities = Identities()
        batch: list[NewMessage] = []
        size = 0
        for mail in _reading(source):
            guid = identities.guid(mail)
            if guid in present:
                tally.skipped += 1
            else:
                batch.append(NewMessage(mail.data, mail.flags, mail.keywords, mail.date, guid))
                size += len(mail.data)
            if len(batch) >= BATCH_MESSAGES or size >= BATCH_BYTES:
                await _save(scope, target, batch, tally)
                size = 0
                progress.update(task, completed=mail.at)
        await _save(scope, target, batch, tally)
        progress.update(task, completed=source.size)
    finally:
        user.release_mailbox(target)


def _reading(source: Source) -> Iterator[ForeignMail]:
    try:
        yield from source.mails()
    except ValueError as error:
        raise CommandFailed(str(error), DATA) from None


async def _save(scope: Scope, target: Mailbox, batch: list[NewMessage], tally: Tally) -> None:
    if batch:
        await target.append(scope, batch)
        tally.imported += len(batch)
        batch.clear()


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar per mailbox on a terminal's standard error; silence elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
