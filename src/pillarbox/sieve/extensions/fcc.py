"""fcc (RFC 8580): ``:fcc`` on vacation and notify keeps a copy of the message that is sent.

With it come ``:create``, ``:flags``, ``:specialuse`` and ``:mailboxid``, each if the script
required its extension.  The action's ``options["fcc"]`` is a `FileCopy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.extensions.fileinto import is_mailbox_name
from pillarbox.sieve.extensions.imap4flags import check_flags, parse_flags
from pillarbox.sieve.registry import STRING, STRINGS, Added, Extension, TagSpec

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.result import Action
    from pillarbox.sieve.validator import Validator


@dataclass(slots=True)
class FileCopy:
    """Where the copy goes; as for fileinto, id and special use come before the name."""

    mailbox: str
    create: bool = False
    flags: tuple[str, ...] = ()
    special_use: str | None = None
    mailbox_id: str | None = None


def _fcc(run: Run, node: Node, use: TagUse, action: Action) -> None:
    mailbox = run.text(use.text())
    if not is_mailbox_name(mailbox):
        raise SieveRunError(f"invalid mailbox name '{mailbox[:80]}' for :fcc", use.position)
    copy = FileCopy(mailbox, create="create" in node.tags)
    if "flags" in node.tags:
        copy.flags = tuple(parse_flags(run, run.texts(node.tags["flags"].value)))
    if "specialuse" in node.tags:
        copy.special_use = run.text(node.tags["specialuse"].text())
    if "mailboxid" in node.tags:
        copy.mailbox_id = run.text(node.tags["mailboxid"].text())
    action.options["fcc"] = copy


def _check_fcc(v: Validator, node: Node, use: TagUse) -> None:
    name = use.text().constant
    if name is not None and not is_mailbox_name(name):
        v.error(use.position, f"invalid mailbox name '{name[:80]}' for :fcc")


def _of(capability: str) -> Callable[[Validator, Node, TagUse], None]:
    def check(v: Validator, node: Node, use: TagUse) -> None:
        if not v.enabled(capability):
            v.error(
                use.position,
                f"the tag ':{use.spec.name}' with ':fcc' needs require \"{capability}\"",
            )
        elif use.spec.name == "flags":
            check_flags(v, use.value)

    return check


_GROUP = "way to find a mailbox"

EXTENSION = Extension(
    "fcc",
    added=(
        Added(
            ("vacation", "notify"),
            (
                TagSpec("fcc", STRING, validate=_check_fcc, apply=_fcc),
                TagSpec("create", needs="fcc", validate=_of("mailbox")),
                TagSpec("flags", STRINGS, needs="fcc", validate=_of("imap4flags")),
                TagSpec(
                    "specialuse", STRING, group=_GROUP, needs="fcc", validate=_of("special-use")
                ),
                TagSpec("mailboxid", STRING, group=_GROUP, needs="fcc", validate=_of("mailboxid")),
            ),
        ),
    ),
)
