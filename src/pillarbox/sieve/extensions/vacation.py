"""vacation (RFC 5230) and vacation-seconds (RFC 6131): answer the sender once in a while.

The command makes a `Vacation`, complete but for date and Message-ID.  Whether the sender must not
be answered at all (RFC 5230 section 4.6: lists, robots, mail not for this user) is worked out here
and told in ``withheld``; whether the sender was answered under this ``handle`` in the last
``seconds`` is for the caller's memory.  Settings: `sieve_vacation_min_period`, `_max_period`,
`_default_period`, `_default_subject`, `_dont_check_recipient`, `_send_from_recipient`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from pillarbox.sieve.addresses import bare_address, field_addresses, is_address
from pillarbox.sieve.durations import setting_seconds
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.extensions.subaddress import split_local
from pillarbox.sieve.registry import (
    NUMBER,
    STRING,
    STRINGS,
    Added,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
)
from pillarbox.sieve.result import Action, Reject

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator

DAY: Final = 86_400
_DEFAULT: Final = 7 * DAY
_ROBOT: Final = re.compile(
    r"(?:mailer-daemon|listserv|majordomo|owner-.*|.*-request|.*-owner|.*-bounces?)\Z",
    re.IGNORECASE,
)
_TO_FIELDS: Final = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_SUPPRESS: Final = frozenset({"all", "oof", "autoreply"})


@dataclass(slots=True, kw_only=True)
class Vacation(Action):
    """Answer ``recipient``.  ``mime``: the reason has a MIME header of its own."""

    name: ClassVar[str] = "vacation"
    responds: ClassVar[bool] = True
    recipient: str
    reason: str
    subject: str
    sender: str
    seconds: int
    handle: str
    mime: bool = False
    withheld: str = ""  # why nobody is answered

    def same(self, other: Action) -> bool:
        """Of several scripts for one message the first one's answer counts."""
        return isinstance(other, Vacation) and (
            other.script != self.script or (other.line, other.column) == (self.line, self.column)
        )

    def conflict(self, other: Action) -> str | None:
        if isinstance(other, Vacation) and not self.same(other):
            return "the vacation action is used more than once"
        if isinstance(other, Reject):
            return "reject and vacation would both answer the sender"
        return None

    def describe(self) -> str:
        if self.withheld:
            return f"vacation: no answer, because {self.withheld}"
        return f"vacation answer to <{self.recipient}>: {self.subject}"


def _flag(run: Run, name: str) -> bool:
    return run.environment.settings.get(name, "").lower() in ("yes", "true", "1", "y")


def _period(run: Run, node: Node) -> int:
    settings = run.environment.settings
    least = setting_seconds(settings, "sieve_vacation_min_period", DAY)
    most = setting_seconds(settings, "sieve_vacation_max_period", 0)
    use = node.group("period")
    if use is None:
        wanted = setting_seconds(settings, "sieve_vacation_default_period", _DEFAULT)
    elif use.spec.name == "days":
        wanted = max(int(use.value), 1) * DAY
    else:
        wanted = int(use.value)
    wanted = max(wanted, least)
    return min(wanted, most) if most else wanted


def _said(run: Run, node: Node, tag: str) -> str | None:
    use = node.tags.get(tag)
    return None if use is None else run.text(use.text())


def _subject(run: Run, given: str | None) -> str:
    if given:
        return given
    default = run.environment.settings.get("sieve_vacation_default_subject", "")
    fields = run.message.fields("subject")
    if default:
        return default
    return f"Auto: {fields[0].text.strip()}" if fields else "Automated reply"


def _own_addresses(run: Run, node: Node) -> list[str]:
    found = list(run.environment.addresses)
    envelope = run.envelope
    found += [address for address in (envelope.recipient, envelope.original_recipient) if address]
    use = node.tags.get("addresses")
    if use is not None:
        found += run.texts(use.value)
    return [address for given in found if (address := bare_address(given)) is not None]


def _is_own(run: Run, address: str, own: list[str]) -> bool:
    """Whether an address is one of the user's, with or without a detail."""
    local, _, domain = address.rpartition("@")
    plain = split_local(local, run.environment.recipient_delimiter)[0]
    known = {item.lower() for item in own}
    return address.lower() in known or f"{plain}@{domain}".lower() in known


def _withheld(run: Run, own: list[str]) -> str:
    """Why the sender must not be answered, or "" (RFC 5230 section 4.6, RFC 3834 section 2)."""
    sender = run.envelope.sender
    if not sender:
        return "the message has no sender to answer"
    if _is_own(run, sender, own):
        return "the message comes from the user"
    if _ROBOT.match(sender.partition("@")[0]):
        return f"<{sender}> is no person"
    message = run.message
    if any(field.name.startswith("LIST-") for field in message.all_fields):
        return "the message comes from a mailing list"
    for field in message.fields("auto-submitted"):
        if field.text.partition(";")[0].strip().lower() != "no":
            return "the message was sent by a program"
    for field in message.fields("precedence"):
        if field.text.strip().lower() in ("bulk", "junk", "list"):
            return "the message is bulk mail"
    for field in message.fields("x-auto-response-suppress"):
        if _SUPPRESS & {word.strip().lower() for word in field.text.split(",")}:
            return "the sender wants no automatic answers"
    if _flag(run, "sieve_vacation_dont_check_recipient"):
        return ""
    return "" if _written_to(run, own) else "the message is not addressed to the user"


def _written_to(run: Run, own: list[str]) -> str | None:
    """Which of the user's addresses the message names, as the user writes it."""
    known = {item.lower(): item for item in reversed(own)}
    for name in _TO_FIELDS:
        for field in run.message.fields(name):
            for local, domain in field_addresses(field.raw):
                address = f"{local}@{domain}"
                if _is_own(run, address, own):
                    return known.get(address.lower(), address)
    return None


def _sender(run: Run, given: str | None, own: list[str]) -> str:
    """Who answers: whom the script says, or the address that the sender wrote to."""
    if given:
        if bare_address(given) is None:
            raise SieveRunError(f"specified :from address '{given[:80]}' is invalid")
        return given
    if _flag(run, "sieve_vacation_send_from_recipient") and run.envelope.recipient:
        return run.envelope.recipient
    written = _written_to(run, own)
    if written is not None and is_address(written):
        return written
    return own[0] if own else run.environment.postmaster


def _vacation(run: Run, node: Node) -> None:
    reason = run.text(node.text("reason"))
    subject = _said(run, node, "subject")
    sender = _said(run, node, "from")
    mime = "mime" in node.tags
    handle = _said(run, node, "handle")
    if handle is None:  # RFC 5230 section 4.2: another text is another answer
        content = "\0".join((reason, subject or "", sender or "", "mime" if mime else ""))
        handle = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    own = _own_addresses(run, node)
    action = Vacation(
        recipient=run.envelope.sender or "",
        reason=reason,
        subject=_subject(run, subject),
        sender=_sender(run, sender, own),
        seconds=_period(run, node),
        handle=handle,
        mime=mime,
        withheld=_withheld(run, own),
    )
    run.add(action, node)


def _check_from(v: Validator, node: Node, use: TagUse) -> None:
    given = use.text().constant
    if given is not None and bare_address(given) is None:
        v.error(use.position, f"specified :from address '{given[:80]}' is invalid for vacation")


def _check_addresses(v: Validator, node: Node, use: TagUse) -> None:
    for text in use.value:
        if text.constant is not None and bare_address(text.constant) is None:
            v.warning(
                text.position,
                f"specified :addresses item '{text.constant[:80]}' is invalid and ignored",
            )


def _check_mime(v: Validator, node: Node) -> None:
    reason = node.text("reason").constant
    if "mime" not in node.tags or reason is None:
        return
    head, _, _ = reason.replace("\r\n", "\n").partition("\n\n")
    if any(ord(character) > 126 for character in head):
        v.error(node.text("reason").position, "the MIME header of the reason must be ASCII")
    elif "content-type:" not in head.lower():
        v.warning(node.text("reason").position, "the reason has no Content-Type for :mime")


EXTENSIONS = (
    Extension(
        "vacation",
        commands=(
            CommandSpec(
                "vacation",
                _vacation,
                (Positional("reason", STRING),),
                tags=(
                    TagSpec("days", NUMBER, group="period"),
                    TagSpec("subject", STRING),
                    TagSpec("from", STRING, validate=_check_from),
                    TagSpec("addresses", STRINGS, validate=_check_addresses),
                    TagSpec("mime"),
                    TagSpec("handle", STRING),
                ),
                validate=_check_mime,
            ),
        ),
    ),
    Extension(
        "vacation-seconds",
        added=(Added(("vacation",), (TagSpec("seconds", NUMBER, group="period"),)),),
        implies=("vacation",),
    ),
)
