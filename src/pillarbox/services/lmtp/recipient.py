"""From the address in RCPT to a user: delimiter, lower case, user database, quota.

The database is asked for every recipient, every time, so a user deleted a moment ago is unknown
now.  "No such user" is 550 5.1.1 and final; "could not find out" is 451 4.3.0, and the two are
never mixed up.
"""

from __future__ import annotations

from pillarbox.drivers.storage.api import StorageError
from pillarbox.mailstore import quota
from pillarbox.mailstore.errors import MailError, OverQuota
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import LookupImpossible, UserInfo
from pillarbox.runtime.smtp_server.transaction import because
from pillarbox.services.lmtp import replies
from pillarbox.services.lmtp.backend import Backend
from pillarbox.services.lmtp.transaction import Recipient
from pillarbox.wire.smtp.address import Address, split_detail
from pillarbox.wire.smtp.reply import Refused


def user_of(address: Address, delimiters: str) -> tuple[str, str]:
    """(user name in lower case, detail as given) of a recipient."""
    local, _, detail = split_detail(address.local, delimiters)
    name = f"{local}@{address.domain}" if address.domain else local
    return name.lower(), detail


async def look_up(backend: Backend, recipient: Recipient) -> None:
    """Find the recipient's user.  Raises Refused."""
    settings = backend.settings
    name, recipient.detail = user_of(recipient.address, settings.recipient_delimiter)
    scope = because(recipient.scope, "lmtp:cmd_rcpt")
    try:
        found = await backend.auth.userdb(name, scope, "lmtp", forward=recipient.forward)
    except AuthTemporaryError as error:
        backend.ctx.log.error(scope, f"User lookup of {name} failed: {error}")
        raise Refused(replies.temporary(recipient.address)) from error
    if found is None:
        raise Refused(replies.unknown_user(recipient.address))
    if settings.lmtp_rcpt_check_quota:
        await _check_quota(backend, recipient, found)
    recipient.user = found


async def passdb_fields(backend: Backend, recipient: Recipient) -> dict[str, str]:
    """What the passdb says of a recipient; nothing of one that it does not know, or cannot tell.

    Raises Refused.
    """
    name, _ = user_of(recipient.address, backend.settings.recipient_delimiter)
    scope = because(recipient.scope, "lmtp:cmd_rcpt")
    try:
        found = await backend.auth.passdb(name, scope, "lmtp", forward=recipient.forward)
    except LookupImpossible:
        return {}
    except AuthTemporaryError as error:
        backend.ctx.log.error(scope, f"Password database lookup of {name} failed: {error}")
        raise Refused(replies.temporary(recipient.address)) from error
    return {} if found is None else found.fields


async def _check_quota(backend: Backend, recipient: Recipient, found: UserInfo) -> None:
    settings = backend.settings
    try:
        user = await backend.users.acquire(found.user, found.fields, settings)
        try:
            quota.check(user, 1, 1, 1, grace=False)
        finally:
            backend.users.release(user)
    except OverQuota as error:
        later = settings.quota_full_tempfail
        raise Refused(replies.over_quota(recipient.address, error.text, later)) from error
    except (MailError, StorageError, OSError, ValueError) as error:
        backend.ctx.log.error(recipient.scope, f"Quota check of {found.user} failed: {error}")
        raise Refused(replies.temporary(recipient.address)) from error
