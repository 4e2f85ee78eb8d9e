"""Events of mails in a mailbox: opened, looked at, expunged."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import MAILBOX
from pillarbox.events.catalogue.own import Seq, Uid
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="mailbox", inherits=MAILBOX)
def mail_opened(
    scope: Scope,
    /,
    *,
    reason: Annotated[str | None, F("What the mail was opened for, if that was told.")] = None,
    seq: Seq = None,
    uid: Uid = None,
) -> None:
    """A mail's body was opened for reading."""


@declare(category="mailbox", inherits=MAILBOX)
def mail_metadata_accessed(scope: Scope, /, *, seq: Seq = None, uid: Uid = None) -> None:
    """A mail was opened, but only for what the cache should have had: headers, dates, sizes."""


@declare(category="mailbox", inherits=MAILBOX)
def mail_expunge_requested(scope: Scope, /, *, seq: Seq = None, uid: Uid = None) -> None:
    """A mail is marked to be expunged; the transaction may yet be rolled back."""


@declare(category="mailbox", inherits=MAILBOX)
def mail_expunged(scope: Scope, /, *, uid: Uid = None) -> None:
    """A mail is gone from its mailbox."""
