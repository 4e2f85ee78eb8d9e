"""fileinto (RFC 5228 section 4.1): store in a named mailbox.

Names are UTF-8 with "/" between levels, as the caller knows them; whether the mailbox exists is
the business of whoever carries the action out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import STRING, CommandSpec, Extension, Positional
from pillarbox.sieve.result import FileInto

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator

_LONGEST: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # RFC 5198: not in net-unicode


def is_mailbox_name(name: str) -> bool:
    """Whether a mailbox may have this name at all."""
    return bool(name) and len(name) <= _LONGEST and not _CONTROL.search(name)


def _fileinto(run: Run, node: Node) -> None:
    mailbox = run.text(node.text("mailbox"))
    if not is_mailbox_name(mailbox):
        raise SieveRunError(f"invalid mailbox name '{mailbox[:80]}' for the fileinto command")
    run.add(FileInto(mailbox=mailbox), node)


def check_mailbox(v: Validator, node: Node) -> None:
    """Refuse a constant name that no mailbox can have."""
    mailbox = node.text("mailbox")
    if mailbox.constant is not None and not is_mailbox_name(mailbox.constant):
        shown = mailbox.constant[:80]
        v.error(mailbox.position, f"invalid mailbox name '{shown}' for the {node.name} command")


EXTENSION = Extension(
    "fileinto",
    commands=(
        CommandSpec(
            "fileinto", _fileinto, (Positional("mailbox", STRING),), validate=check_mailbox
        ),
    ),
)
