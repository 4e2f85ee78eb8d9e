"""``pillarbox deliver``: one message from standard input into a user's mailbox.

For mail servers that run a program for each message.  What LMTP tells by reply codes is told by
the exit status (sysexits.h): 67 no such user, 75 try again later, 77 the user has no room or a
script refuses the message, 0 only when the message is on disk or a script has done with it.  The
user is looked up by the auth service of the running server; when there is none, by the same
databases directly.

Senders of the envelope come by ``-f``; without it no Return-Path is written.  The "From " line
that some programs put in front is dropped.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pillarbox.cli.failure import DATA, NO_PERMISSION, NO_USER, TEMPORARY, USAGE, CommandFailed
from pillarbox.cli.mail_user import become, userdb_fields
from pillarbox.cli.options import ConfigOption, OverrideOption, settings_of
from pillarbox.cli.telling import telling
from pillarbox.delivery.actions import FileInto
from pillarbox.delivery.deliver import Delivery
from pillarbox.delivery.envelope import Envelope
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Kind, Outcome
from pillarbox.delivery.sieve.filter import Filter
from pillarbox.delivery.submit import Submitter
from pillarbox.drivers.storage.api import StorageError
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.session import UserSession
from pillarbox.mailstore.user import Users
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import AuthMasterClient
from pillarbox.runtime.log import log
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.session_id import new_session_id
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import Address, parse_path, split_detail
from pillarbox.wire.smtp.reply import Refused

PIECE: Final = 64 * 1024
SERVICE: Final = "lda"
LOOKUP_TIMEOUT = 60.0

app = typer.Typer()


@app.command()
def deliver(
    user: Annotated[
        str, typer.Option("--user", "-d", metavar="USER", help="Whose mail; otherwise yours.")
    ] = "",
    recipient: Annotated[
        str,
        typer.Option(
            "--recipient", "-a", metavar="ADDRESS", help="Envelope recipient, if not the user."
        ),
    ] = "",
    sender: Annotated[
        str | None,
        typer.Option(
            "--sender", "-f", metavar="ADDRESS", help="Envelope sender; '' or '<>': none."
        ),
    ] = None,
    mailbox: Annotated[
        str, typer.Option("--mailbox", "-m", metavar="NAME", help="Where to, if not to INBOX.")
    ] = "",
    config: ConfigOption = None,
    override: OverrideOption = None,
) -> None:
    """Deliver a message from standard input.  Exit status as sysexits.h has it."""
    settings = settings_of(config, override)
    name = user or getpass.getuser()
    envelope = make_envelope(settings, name, recipient, sender)
    log.service = SERVICE
    log.set_level("error")
    outcome = asyncio.run(counted(settings, name, envelope, mailbox))
    if outcome.kind is Kind.OVER_QUOTA:
        status = TEMPORARY if settings.quota_full_tempfail else NO_PERMISSION
        raise CommandFailed(outcome.text, status)
    if outcome.kind is Kind.REFUSED:
        raise CommandFailed(outcome.text, NO_PERMISSION)
    if outcome.kind is not Kind.STORED:
        raise CommandFailed(outcome.text, TEMPORARY)


def make_envelope(settings: Settings, name: str, recipient: str, sender: str | None) -> Envelope:
    """The envelope that the options describe.  Raises CommandFailed."""
    to = _address(recipient or name)
    detail = split_detail(to.local, settings.recipient_delimiter)[2] if recipient else ""
    return Envelope(to, None if sender is None else _address(sender), detail)


def _address(text: str) -> Address:
    try:
        return parse_path(f"<{text.removeprefix('<').removesuffix('>')}>".encode(), null=True)[0]
    except Refused as refused:
        raise CommandFailed(f"{text}: {refused.reply.text}", USAGE) from None


async def counted(settings: Settings, name: str, envelope: Envelope, mailbox: str) -> Outcome:
    """`deliver_to`, with its events going to the stats service of a running server."""
    async with telling(settings, SERVICE) as ctx:
        return await deliver_to(ctx, name, envelope, mailbox)


async def deliver_to(ctx: ServiceContext, name: str, envelope: Envelope, mailbox: str) -> Outcome:
    """Read the message and deliver it.  Raises CommandFailed."""
    settings = ctx.settings
    scope = Scope(
        ctx.scope,
        (SERVICE,),
        session=new_session_id(),
        service=SERVICE,
        rcpt_to=str(envelope.recipient),
        mail_from=None if envelope.sender is None else str(envelope.sender) or "<>",
    )
    found, fields = await look_up(settings, name, scope)
    become(settings, fields)
    os.umask(0o077)
    message = IncomingMessage(settings.lmtp_spool_size, settings.mail_temp_dir)
    users = Users()
    try:
        read_message(message, settings.mail_max_size)
        opened = await users.acquire(found, fields, settings)
        session = UserSession(Scope(scope, user=found))
        submitter = Submitter(log, settings)
        delivery = Delivery(log, settings, Filter(log, submitter))
        try:
            return await delivery.deliver(
                opened,
                envelope,
                message,
                session.scope,
                actions=[FileInto(mailbox)] if mailbox else None,
            )
        finally:
            session.close()
            await delivery.close()
            await submitter.close()
            users.release(opened)
    except (MailError, StorageError, OSError) as error:
        raise CommandFailed(str(error), TEMPORARY) from None
    finally:
        message.close()
        await users.close()


async def look_up(settings: Settings, name: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """The user's final name and userdb fields.  Raises CommandFailed."""
    socket = Path(settings.base_dir) / "auth-master"
    if not socket.exists():
        return await userdb_fields(settings, name)
    auth = AuthMasterClient(socket, timeout=LOOKUP_TIMEOUT)
    try:
        info = await auth.userdb(name.lower(), scope, SERVICE)
    except AuthTemporaryError as error:
        raise CommandFailed(f"the user database cannot be asked now: {error}", TEMPORARY) from None
    finally:
        auth.close()
    if info is None:
        raise CommandFailed(f"there is no user {name}", NO_USER)
    return info.user, dict(info.fields)


def read_message(message: IncomingMessage, limit: int) -> None:
    """Take standard input to its end.  Raises CommandFailed (too big), OSError."""
    source = sys.stdin.buffer
    first = source.readline()
    if not first.startswith(b"From "):
        message.write(first)
    while piece := source.read(PIECE):
        message.write(piece)
        if limit and message.received > limit:
            raise CommandFailed(f"the message is larger than mail_max_size ({limit} bytes)", DATA)
