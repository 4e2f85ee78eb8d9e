"""Which function carries out which command, and what the client is told before its tagged reply.

`SYNC` names the commands that do not bring the whole truth: FETCH, STORE and SEARCH by sequence
number must not be answered with EXPUNGE (RFC 3501 section 7.4.1), and those that enter or leave a
mailbox, or end the session, have nothing to tell.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from pillarbox.services.imap import (
    append,
    basic,
    copy,
    expunge,
    fetch,
    filter,
    id,
    idle,
    mailbox,
    metadata,
    search,
    select,
    status,
    store,
)
from pillarbox.services.imap import list as listing
from pillarbox.services.imap.run import Handler


class Sync(Enum):
    """How far the client's picture of the mailbox is brought up to date."""

    NONE = 0
    NO_EXPUNGE = 1
    FULL = 2


SYNC: Final = {
    "FETCH": Sync.NO_EXPUNGE,
    "FILTER": Sync.NO_EXPUNGE,
    "STORE": Sync.NO_EXPUNGE,
    "SEARCH": Sync.NO_EXPUNGE,
    "SELECT": Sync.NONE,
    "EXAMINE": Sync.NONE,
    "CLOSE": Sync.NONE,
    "UNSELECT": Sync.NONE,
    "LOGOUT": Sync.NONE,
}

HANDLERS: Final[dict[str, Handler]] = {
    "APPEND": append.append,
    "CAPABILITY": basic.capability,
    "CHECK": basic.check,
    "CLOSE": select.close,
    "COMPRESS": basic.compress,
    "COPY": copy.copy,
    "CREATE": mailbox.create,
    "DELETE": mailbox.delete,
    "ENABLE": basic.enable,
    "EXAMINE": select.examine,
    "EXPUNGE": expunge.expunge,
    "FETCH": fetch.fetch,
    "FILTER": filter.filter_messages,
    "GETMETADATA": metadata.get_metadata,
    "ID": id.identify,
    "IDLE": idle.idle,
    "LIST": listing.list_mailboxes,
    "LOGOUT": basic.logout,
    "LSUB": listing.lsub,
    "MOVE": copy.move,
    "NAMESPACE": basic.namespace,
    "NOOP": basic.noop,
    "RENAME": mailbox.rename,
    "SEARCH": search.search,
    "SELECT": select.select,
    "SETMETADATA": metadata.set_metadata,
    "STATUS": status.status,
    "STORE": store.store,
    "SUBSCRIBE": mailbox.subscribe,
    "UID COPY": copy.copy,
    "UID EXPUNGE": expunge.expunge,
    "UID FETCH": fetch.fetch,
    "UID FILTER": filter.filter_messages,
    "UID MOVE": copy.move,
    "UID SEARCH": search.search,
    "UID STORE": store.store,
    "UNSELECT": basic.unselect,
    "UNSUBSCRIBE": mailbox.unsubscribe,
}
