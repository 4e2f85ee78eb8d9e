"""GETMETADATA and SETMETADATA (RFC 5464), and the METADATA replies of LIST (RFC 9590).

An entry that was asked for and has no value is answered with NIL, as the client spelled it; with
DEPTH only what is there is told.  Other sessions are not told of changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pillarbox.mailstore.errors import AnnotationTooLarge, InvalidAnnotation, NoSuchMailbox
from pillarbox.mailstore.list import MailboxEntry
from pillarbox.services.imap.run import Ok, Run
from pillarbox.wire.imap.metadata import GetMetadata, SetMetadata, metadata
from pillarbox.wire.imap.response import Bad, No

if TYPE_CHECKING:
    from pillarbox.services.imap.session import ImapSession


def require_metadata(session: ImapSession) -> None:
    """Raises Bad where annotations are turned off."""
    if not session.settings.imap_metadata:
        raise Bad("METADATA is not enabled.")


async def get_metadata(run: Run) -> Ok:
    """GETMETADATA."""
    session = run.session
    require_metadata(session)
    args = cast(GetMetadata, run.args)
    of = _meant(session, args.mailbox)
    annotations = session.user.annotations.within(run.scope)
    values: dict[str, bytes | None]
    if args.depth == 0:
        found = await annotations.values(of, args.entries)
        values = {name: found.get(name.lower()) for name in args.entries}
    else:
        values = {**await annotations.below(of, args.entries, args.depth)}
    most = args.max_size
    too_long = [] if most is None else [v for v in values.values() if v and len(v) > most]
    told = [(name, value) for name, value in values.items() if value not in too_long]
    if told:
        await session.send_slowly(metadata(args.mailbox, told))
    code = None
    if too_long:
        code = b"METADATA LONGENTRIES %d" % max(map(len, too_long))
    return Ok("Getmetadata completed.", code)


async def set_metadata(run: Run) -> Ok:
    """SETMETADATA."""
    session = run.session
    require_metadata(session)
    args = cast(SetMetadata, run.args)
    of = _meant(session, args.mailbox)
    try:
        await session.user.annotations.within(run.scope).set(of, dict(args.values))
    except AnnotationTooLarge as error:
        limit = session.user.settings.mail_attribute_max_value_size
        raise No(error.text, b"METADATA MAXSIZE %d" % limit) from None
    except InvalidAnnotation as error:
        raise Bad(error.text) from None
    return Ok("Setmetadata completed.")


async def metadata_line(run: Run, name: str, entries: tuple[str, ...]) -> bytes:
    """The reply for one mailbox of a LIST.  Raises NoSuchMailbox, Temporary."""
    of = _meant(run.session, name)
    values = await run.session.user.annotations.within(run.scope).values(of, entries)
    return metadata(name, [(entry, values.get(entry.lower())) for entry in entries])


def _meant(session: ImapSession, name: str) -> MailboxEntry | None:
    """The mailbox of that name; None for the server."""
    if not name:
        return None
    entry = session.user.mailboxes.get(name)
    if entry is None:
        raise NoSuchMailbox(f"Mailbox doesn't exist: {name}")
    return entry
