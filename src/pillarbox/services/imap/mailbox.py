"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 6.3.3-6.3.7, RFC 6154 section 3).

A name that ends with the separator only says that children are to follow, and is created without
it.  Deleting the mailbox that is selected here leaves it first.
"""

from __future__ import annotations

from typing import cast

from pillarbox.mailstore.special_use import special_uses
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap.mailbox import Create, Mailbox, Rename
from pillarbox.wire.imap.response import No


async def create(run: Run) -> Ok:
    """CREATE."""
    mailboxes = run.session.user.mailboxes
    args = cast(Create, run.args)
    uses = special_uses(args.special_use)
    await mailboxes.create(args.mailbox.removesuffix(mailboxes.separator), uses)
    return Ok("Create completed.")


async def delete(run: Run) -> Ok:
    """DELETE."""
    session = run.session
    name = cast(Mailbox, run.args).mailbox
    mailboxes = session.user.mailboxes
    entry = mailboxes.get(name)
    selected = session.selected
    if entry is not None and selected is not None and selected.mailbox.guid == entry.guid:
        session.unselect()
        session.send(b"* OK [CLOSED] Selected mailbox is being deleted.\r\n")
    await session.user.delete_mailbox(name)
    return Ok("Delete completed.")


async def rename(run: Run) -> Ok:
    """RENAME."""
    args = cast(Rename, run.args)
    user = run.session.user
    separator = user.mailboxes.separator
    await user.rename_mailbox(args.old.removesuffix(separator), args.new.removesuffix(separator))
    return Ok("Rename completed.")


async def subscribe(run: Run) -> Ok:
    """SUBSCRIBE; the name must be one that LIST tells, be it only as a parent."""
    mailboxes = run.session.user.mailboxes
    name = cast(Mailbox, run.args).mailbox.removesuffix(mailboxes.separator)
    below = name + mailboxes.separator
    if mailboxes.get(name) is None and not any(
        entry.name.startswith(below) for entry in mailboxes.entries()
    ):
        raise No(f"Mailbox doesn't exist: {name}", b"NONEXISTENT")
    await mailboxes.subscribe(name)
    return Ok("Subscribe completed.")


async def unsubscribe(run: Run) -> Ok:
    """UNSUBSCRIBE."""
    mailboxes = run.session.user.mailboxes
    name = cast(Mailbox, run.args).mailbox
    await mailboxes.unsubscribe(name.removesuffix(mailboxes.separator))
    return Ok("Unsubscribe completed.")
