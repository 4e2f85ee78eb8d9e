"""Scripts that run when IMAP commands change a mailbox (RFC 6785), by the rules of `imapsieve`.

They run when the command has done its work and before its tagged reply.  The command's success does
not depend on them: what goes wrong is logged.  What a script files elsewhere starts no scripts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal

from pillarbox.drivers.storage.api import StorageError
from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.services.imap.run import Run
from pillarbox.settings.model import ImapSieveSettings

Cause = Literal["append", "copy", "flag"]

_SPECIAL: Final = re.compile(r"([\[\]])")


async def run_scripts(
    run: Run,
    cause: Cause,
    mailbox: Mailbox,
    uids: Sequence[int],
    *,
    source: str = "",
    flags: Sequence[bytes] = (),
) -> None:
    """Run what the rules say for these messages of a mailbox."""
    session = run.session
    if not session.settings.imapsieve or not len(uids):
        return
    for rule in session.settings.imapsieve.values():
        if _meant(rule, cause, mailbox.name, source):
            try:
                await _run(run, rule, cause, mailbox, uids, flags)
            except (MailError, StorageError, OSError, ValueError) as error:
                session.ctx.log.error(run.scope, f"imapsieve: {error}")


def _meant(rule: ImapSieveSettings, cause: Cause, mailbox: str, source: str) -> bool:
    return (
        cause in rule.causes
        and _matches(mailbox, rule.mailbox)
        and (cause != "copy" or _matches(source, rule.source_mailbox))
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, _SPECIAL.sub(r"[\1]", pattern))


async def _run(
    run: Run,
    rule: ImapSieveSettings,
    cause: Cause,
    mailbox: Mailbox,
    uids: Sequence[int],
    flags: Sequence[bytes],
) -> None:
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve.stored import ready
    from pillarbox.delivery.sieve_storage.errors import NonExistent, ScriptRefused

    session = run.session
    sieve = session.worker.sieve
    scripts: list[Ready] = []
    for name in rule.scripts:
        found = None
        for storage in (await sieve.places(session.user, session.settings)).of("global"):
            try:
                found = await ready(storage, run.scope, name)
                break
            except NonExistent:
                continue
            except ScriptRefused as error:
                raise ValueError(f"{name}: {error.text}") from None
        if not isinstance(found, Ready):
            why = "there is no such global script" if found is None else "it has errors"
            raise ValueError(f"{name}: {why}")
        scripts.append(found)
    items = {
        "imap.user": session.user.name,
        "imap.cause": cause.upper(),
        "imap.mailbox": mailbox.name,
        "imap.changedflags": b" ".join(flags).decode("ascii", "replace"),
    }
    stored = sieve.stored(session.user, session.settings)
    view = mailbox.view(True)
    view.readonly = False  # it changes messages, but claims none as \Recent
    try:
        for uid in uids:
            await stored.apply(view, uid, scripts, run.scope, items)
    finally:
        view.close()
