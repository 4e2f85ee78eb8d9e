"""mailboxid (RFC 9042): ``:mailboxid`` on fileinto, and the mailboxidexists test.

The mailbox with the id comes first; the name is used if there is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.questions import MailboxIdExists
from pillarbox.sieve.registry import (
    STRING,
    STRINGS,
    Added,
    Asking,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)
from pillarbox.sieve.result import FileInto

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")


def _exists(run: Run, node: Node) -> Asking[bool]:
    for mailbox_id in run.texts(node.texts("ids")):
        if not (yield MailboxIdExists(mailbox_id)):
            return False
    return True


def _into(run: Run, node: Node, use: TagUse, action: Action) -> None:
    mailbox_id = run.text(use.text())
    if isinstance(action, FileInto) and _ID.match(mailbox_id):
        action.mailbox_id = mailbox_id


def _check(v: Validator, node: Node, use: TagUse) -> None:
    mailbox_id = use.text().constant
    if mailbox_id is not None and not _ID.match(mailbox_id):
        v.warning(use.position, f"fileinto :mailboxid: invalid mailbox id '{mailbox_id[:80]}'")


MAILBOX_ID = TagSpec(
    "mailboxid", STRING, group="way to find a mailbox", validate=_check, apply=_into
)

EXTENSION = Extension(
    "mailboxid",
    tests=(TestSpec("mailboxidexists", _exists, arguments=(Positional("ids", STRINGS),)),),
    added=(Added(("fileinto",), (MAILBOX_ID,)),),
)
