"""keep and fileinto: into a mailbox of the user's.

A mailbox may be meant by its id (RFC 9042), by its special use (RFC 8579) or by its name, tried in
that order.  One that is missing is made if the script or the settings say so; else the action fails
and the message is kept.  Flags that the mailbox cannot hold are left out with a word in the log.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.delivery.actions import FileInto as Target
from pillarbox.delivery.mailbox import open_target
from pillarbox.delivery.outcome import Outcome, stored
from pillarbox.delivery.sieve.actions.doing import ActionFailed, action_scope
from pillarbox.delivery.sieve.answers import by_id, by_use
from pillarbox.delivery.sieve.case import Case
from pillarbox.events.catalogue.sieve import sieve_action_finished
from pillarbox.mailstore.errors import (
    InvalidName,
    LimitExceeded,
    MailboxExists,
    NoSuchMailbox,
    TooManyKeywords,
)
from pillarbox.mailstore.flags import FLAG_BITS
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.result import FileInto, Keep


async def keep(case: Case, step: Step) -> Outcome:
    """Store in the default mailbox.  Raises MailError, StorageError, OSError."""
    action = step.action
    assert isinstance(action, Keep)
    data = step.result.message(action.version)
    return await _store(case, action, case.keep, data, action.flags or ())


async def file_into(case: Case, step: Step) -> Outcome:
    """Store where the script says.  Raises ActionFailed, and as `keep`."""
    action = step.action
    assert isinstance(action, FileInto)
    data = step.result.message(action.version)
    try:
        target = await find(
            case, action.mailbox, action.create, action.special_use, action.mailbox_id
        )
        return await _store(case, action, target, data, action.flags or ())
    except (NoSuchMailbox, InvalidName, LimitExceeded) as error:
        text = f"failed to store into mailbox '{action.mailbox}': {error.text}"
        raise ActionFailed(text) from None


async def find(
    case: Case, name: str, create: bool, special_use: str | None, mailbox_id: str | None
) -> Target:
    """Which mailbox is meant.  Raises MailError."""
    entry = by_id(case.user, mailbox_id) if mailbox_id else None
    if entry is None and special_use:
        entry = by_use(case.user, special_use)
        if entry is None and create:
            await _create_special(case, name, special_use)
    return Target(name if entry is None else entry.name, create=create, fallback=False)


async def _create_special(case: Case, name: str, special_use: str) -> None:
    try:
        await case.user.mailboxes.create(name, (special_use,))
    except MailboxExists:
        return
    if case.settings.lda_mailbox_autosubscribe:
        await case.user.mailboxes.subscribe(name)


async def append(case: Case, target: Target, data: bytes, flags: Sequence[str]) -> tuple[str, int]:
    """Add a message to a mailbox; the mailbox's name and the UID.  Raises MailError."""
    mailbox = await open_target(case.user, target, case.settings)
    system, keywords = split_flags(flags)
    try:
        new = NewMessage(data, system, keywords)
        try:
            appended = await mailbox.append(case.scope, [new], grace=True)
        except TooManyKeywords as error:
            case.log.warning(case.scope, f"sieve: flags are left out: {error.text}")
            new = NewMessage(data, system)
            appended = await mailbox.append(case.scope, [new], grace=True)
        return mailbox.name, int(appended.uids[0])
    finally:
        case.user.release_mailbox(mailbox)


async def _store(
    case: Case, action: Keep | FileInto, target: Target, data: bytes, flags: Sequence[str]
) -> Outcome:
    scope = case.scope if sieve_action_finished.emit is None else action_scope(case)
    mailbox, uid = await append(case, target, data, flags)
    if sieve_action_finished.emit is not None:
        sieve_action_finished.emit(
            scope,
            action_name=action.name,
            action_script_location=action.location,
            fileinto_mailbox=mailbox,
            message_id=case.message_id,
        )
    case.say(action, f"stored mail into mailbox '{mailbox}'", mailbox)
    return stored(mailbox, uid)


def split_flags(flags: Sequence[str]) -> tuple[int, tuple[bytes, ...]]:
    """System flags as bits, and keywords; what is neither is left out."""
    system = 0
    keywords: dict[bytes, None] = {}
    for flag in flags:
        name = flag.encode("ascii", "replace")
        if not name.startswith(b"\\"):
            keywords[name] = None
        else:
            system |= FLAG_BITS.get(name.lower(), 0)
    return system, tuple(keywords)
