"""Scripts that run when IMAP commands change a mailbox (RFC 6785).

First the script of the user's own that the annotation /shared/imapsieve/script names, that of the
mailbox or else that of the server, where the setting imapsieve_url allows it; an empty one names
none.  Then those of the administrator, by the rules of `imapsieve`.

They run when the command has done its work and before its tagged reply.  The command's success does
not depend on them: what goes wrong is logged.  What a script files elsewhere starts no scripts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal

from pillarbox.drivers.storage.api import StorageError
from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.services.imap.run import Run
from pillarbox.settings.model import ImapSieveSettings, Settings

if TYPE_CHECKING:
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve_storage.storage import ScriptStorage

Cause = Literal["append", "copy", "flag"]

SCRIPT: Final = "/shared/imapsieve/script"

_SPECIAL: Final = re.compile(r"([\[\]])")


@dataclass(frozen=True, slots=True)
class Change:
    """What a command did to which messages of which mailbox; the flags as the client gave them."""

    cause: Cause
    mailbox: Mailbox
    uids: Sequence[int]
    flags: Sequence[bytes]


def reacts(settings: Settings) -> bool:
    """Whether there can be scripts to run."""
    return bool(settings.imapsieve or settings.imapsieve_url)


async def run_scripts(
    run: Run,
    cause: Cause,
    mailbox: Mailbox,
    uids: Sequence[int],
    *,
    source: str = "",
    flags: Sequence[bytes] = (),
) -> None:
    """Run what the mailbox's annotation and the rules say for these messages of it."""
    settings = run.session.settings
    if not reacts(settings) or not len(uids):
        return
    change = Change(cause, mailbox, uids, flags)
    if settings.imapsieve_url:
        await _react(run, change, _own(run, mailbox))
    for rule in settings.imapsieve.values():
        if _meant(rule, cause, mailbox.name, source):
            await _react(run, change, _of_rule(run, rule))


def _meant(rule: ImapSieveSettings, cause: Cause, mailbox: str, source: str) -> bool:
    return (
        cause in rule.causes
        and _matches(mailbox, rule.mailbox)
        and (cause != "copy" or _matches(source, rule.source_mailbox))
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, _SPECIAL.sub(r"[\1]", pattern))


async def _react(run: Run, change: Change, found: Awaitable[Sequence[Ready]]) -> None:
    """Run the scripts that are found; what goes wrong is logged."""
    from pillarbox.delivery.sieve_storage.errors import ScriptRefused

    try:
        scripts = await found
        if scripts:
            await _run(run, scripts, change)
    except (MailError, StorageError, ScriptRefused, OSError, ValueError) as error:
        run.session.ctx.log.error(run.scope, f"imapsieve: {error}")


async def _own(run: Run, mailbox: Mailbox) -> Sequence[Ready]:
    """The user's script for this mailbox, if there is to be one.

    Raises ValueError, ScriptRefused, Temporary.
    """
    session = run.session
    user = session.user
    entry = user.mailboxes.by_guid(mailbox.guid)
    if entry is None:
        return ()
    annotations = user.annotations.within(run.scope)
    name = await annotations.get(entry, SCRIPT)
    if name is None:
        name = await annotations.get(None, SCRIPT)
    if not name:
        return ()
    personal = (await session.worker.sieve.places(user, session.settings)).personal()
    storages = [] if personal is None else [personal]
    return [await _ready(run, name.decode("utf-8", "replace"), "personal", storages)]


async def _of_rule(run: Run, rule: ImapSieveSettings) -> Sequence[Ready]:
    """The scripts of the administrator that a rule names.  Raises ValueError, ScriptRefused."""
    session = run.session
    places = await session.worker.sieve.places(session.user, session.settings)
    return [await _ready(run, name, "global", places.of("global")) for name in rule.scripts]


async def _ready(run: Run, name: str, kind: str, storages: Sequence[ScriptStorage]) -> Ready:
    """The script of that name, compiled.  Raises ValueError."""
    from pillarbox.delivery.sieve.execution import Ready
    from pillarbox.delivery.sieve.stored import ready
    from pillarbox.delivery.sieve_storage.errors import NonExistent, ScriptRefused

    for storage in storages:
        try:
            found = await ready(storage, run.scope, name)
        except NonExistent:
            continue
        except ScriptRefused as error:
            raise ValueError(f"{name}: {error.text}") from None
        if isinstance(found, Ready):
            return found
        raise ValueError(f"{name}: it has errors")
    raise ValueError(f"{name}: there is no such {kind} script")


async def _run(run: Run, scripts: Sequence[Ready], change: Change) -> None:
    """Run scripts for each message."""
    from pillarbox.delivery.sieve.delivering import user_address

    session = run.session
    items = {
        "imap.user": session.user.name,
        "imap.email": user_address(session.user, session.settings, None),
        "imap.cause": change.cause.upper(),
        "imap.mailbox": change.mailbox.name,
        "imap.changedflags": b" ".join(change.flags).decode("ascii", "replace"),
    }
    stored = session.worker.sieve.stored(session.user, session.settings)
    view = change.mailbox.view(True)
    view.readonly = False  # it changes messages, but claims none as \Recent
    try:
        for uid in change.uids:
            await stored.apply(view, uid, scripts, run.scope, items)
    finally:
        view.close()
