"""special-use (RFC 8579): ``:specialuse`` on fileinto, and the specialuse_exists test.

The mailbox with the special use comes first; the name is used, and with ``:create`` made and
marked, if there is none.  Whether a mailbox that exists has the use is asked of the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.questions import SpecialUseExists
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
    from pillarbox.sieve.nodes import Node, TagUse, Text
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator

_USE: Final = re.compile(r"\\[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+\Z")


def _refuse(v: Validator, text: Text) -> None:
    if text.constant is not None and not _USE.match(text.constant):
        v.error(text.position, f"invalid special-use flag '{text.constant[:80]}'")


def _check_exists(v: Validator, node: Node) -> None:
    for use in node.texts("uses"):
        _refuse(v, use)


def _exists(run: Run, node: Node) -> Asking[bool]:
    mailbox = run.text(node.text("mailbox")) if "mailbox" in node.arguments else None
    uses = tuple(run.texts(node.texts("uses")))
    if not all(_USE.match(use) for use in uses):
        return False
    return bool((yield SpecialUseExists(mailbox, uses)))


def _check_tag(v: Validator, node: Node, use: TagUse) -> None:
    _refuse(v, use.text())


def _into(run: Run, node: Node, use: TagUse, action: Action) -> None:
    special_use = run.text(use.text())
    if not _USE.match(special_use):
        raise SieveRunError(f"invalid special-use flag '{special_use[:80]}'", use.position)
    if isinstance(action, FileInto):
        action.special_use = special_use


SPECIAL_USE = TagSpec(
    "specialuse", STRING, group="way to find a mailbox", validate=_check_tag, apply=_into
)

EXTENSION = Extension(
    "special-use",
    tests=(
        TestSpec(
            "specialuse_exists",
            _exists,
            arguments=(
                Positional("mailbox", STRING, optional=True),
                Positional("uses", STRINGS),
            ),
            validate=_check_exists,
        ),
    ),
    added=(Added(("fileinto",), (SPECIAL_USE,)),),
)
