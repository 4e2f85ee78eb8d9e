"""APPEND, of one or several messages at once (RFC 3501 6.3.11, RFC 3502, RFC 4315 APPENDUID).

All messages of a command are saved together or not at all.  Appending to the selected mailbox
is told by EXISTS in the update before the tagged reply.  What can be refused before a client has
sent a message is refused then, by `check_ahead`.
"""

from __future__ import annotations

from typing import cast

from pillarbox.mailstore import errors, quota
from pillarbox.mailstore.mailbox import Mailbox, NewMessage
from pillarbox.services.imap.flag_text import split_flags
from pillarbox.services.imap.imapsieve import run_scripts
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap import sequence
from pillarbox.wire.imap.append import Append
from pillarbox.wire.imap.response import No


def check_ahead(run: Run, size: int) -> None:
    """Refuse before the client sends a message of ``size`` octets, the last one of the command.

    A message may be larger once its line ends are CRLF, so the quota is looked at again later.
    """
    session = run.session
    args = cast(Append, run.args)
    _messages(run)
    session.user.release_mailbox(_open(run))
    sizes = [*(len(message.data) for message in args.messages), size]
    quota.check(session.user, sum(sizes), len(args.messages), max(sizes), grace=False)


def _messages(run: Run) -> list[NewMessage]:
    longest = run.session.settings.mail_max_keyword_length
    messages: list[NewMessage] = []
    for message in cast(Append, run.args).messages:
        flags, keywords = split_flags(message.flags, longest)
        messages.append(NewMessage(message.data, flags, keywords, message.date))
    return messages


def _open(run: Run) -> Mailbox:
    try:
        return run.session.user.open_mailbox(cast(Append, run.args).mailbox)
    except errors.NoSuchMailbox as error:
        raise No(error.text, b"TRYCREATE") from None


async def append(run: Run) -> Ok:
    """APPEND."""
    session = run.session
    messages = _messages(run)
    if not all(message.data for message in messages):
        raise No("Can't save a zero byte message.", b"CANNOT")
    mailbox = _open(run)
    try:
        appended = await mailbox.append(run.scope, messages)
        await run_scripts(run, "append", mailbox, appended.uids.tolist())
    except errors.MailboxDeleted as error:
        raise No(error.text, b"TRYCREATE") from None
    finally:
        session.user.release_mailbox(mailbox)
    session.counts.appended += len(messages)
    uids = sequence.render([int(uid) for uid in appended.uids])
    return Ok("Append completed.", b"APPENDUID %d %b" % (appended.uidvalidity, uids))
