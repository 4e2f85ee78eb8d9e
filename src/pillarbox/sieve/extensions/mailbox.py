"""mailbox (RFC 5490 section 3): mailboxexists, and ``:create`` on fileinto."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.sieve.questions import MailboxExists
from pillarbox.sieve.registry import (
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


def _exists(run: Run, node: Node) -> Asking[bool]:
    for name in run.texts(node.texts("mailboxes")):
        if not (yield MailboxExists(name)):
            return False
    return True


def _create(run: Run, node: Node, use: TagUse, action: Action) -> None:
    if isinstance(action, FileInto):
        action.create = True


CREATE = TagSpec("create", apply=_create)

EXTENSION = Extension(
    "mailbox",
    tests=(TestSpec("mailboxexists", _exists, arguments=(Positional("mailboxes", STRINGS),)),),
    added=(Added(("fileinto",), (CREATE,)),),
)
