"""enotify (RFC 5435) with the method mailto (RFC 5436): tell somebody that mail has come.

The command makes a `Notify`.  A message that a program sent is never told of (``withheld``), so
that two notifications cannot feed each other.  Other methods than mailto are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from pillarbox.sieve import mailto
from pillarbox.sieve.addresses import bare_address
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    STRINGS,
    Added,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)
from pillarbox.sieve.result import Action

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.nodes import Node, TagUse
    from pillarbox.sieve.validator import Validator


@dataclass(slots=True, kw_only=True)
class Notify(Action):
    """Send a notification.  ``message`` is what ``:message`` gave, "" without; importance 1 is
    high, 3 is low; ``given`` are the ``:options`` as they stand."""

    name: ClassVar[str] = "notify"
    method: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    sender: str = ""
    message: str = ""
    subject: str = ""
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    importance: int = 2
    given: tuple[str, ...] = ()
    envelope_sender: str = ""
    withheld: str = ""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody it goes to, each once."""
        return tuple(dict.fromkeys(self.to + self.cc + self.bcc))

    def same(self, other: Action) -> bool:
        return isinstance(other, Notify) and (
            (other.recipients, other.message, other.body)
            == (self.recipients, self.message, self.body)
        )

    def describe(self) -> str:
        if self.withheld:
            return f"notify: nobody, because {self.withheld}"
        return "notify " + ", ".join(f"<{address}>" for address in self.recipients)


def _parsed(uri: str) -> mailto.MailTo:
    if not is_known(uri):
        raise ValueError(f"unsupported notification method '{uri[:80]}'")
    return mailto.parse(uri)


def is_known(uri: str) -> bool:
    """Whether the URI is of a method that can be used."""
    return uri.lower().startswith("mailto:")


def _said(run: Run, node: Node, tag: str) -> str:
    use = node.tags.get(tag)
    return "" if use is None else run.text(use.text())


def _withheld(run: Run) -> str:
    for field in run.message.fields("auto-submitted"):
        if field.text.partition(";")[0].strip().lower() != "no":
            return "the message was sent by a program"
    return ""


def _notify(run: Run, node: Node) -> None:
    method = run.text(node.text("method"))
    try:
        found = _parsed(method)
    except ValueError as error:
        raise SieveRunError(f"notify action: {error}", node.position) from None
    importance = _said(run, node, "importance") or "2"
    if importance not in ("1", "2", "3"):
        raise SieveRunError(f"notify action: invalid :importance '{importance[:20]}'")
    sender = _said(run, node, "from")
    if sender and bare_address(sender) is None:
        raise SieveRunError(f"notify action: invalid :from address '{sender[:80]}'")
    options = run.texts(node.tags["options"].value) if "options" in node.tags else []
    action = Notify(
        method=method,
        to=tuple(found.to),
        cc=tuple(found.cc),
        bcc=tuple(found.bcc),
        sender=sender,
        message=_said(run, node, "message"),
        subject=found.subject,
        body=found.body,
        headers=tuple(found.headers),
        importance=int(importance),
        given=tuple(options),
        withheld=_withheld(run),
    )
    run.add(action, node)


def _check_notify(v: Validator, node: Node) -> None:
    method = node.text("method")
    if method.constant is None:
        return
    try:
        found = _parsed(method.constant)
    except ValueError as error:
        v.error(method.position, f"notify command: {error}")
        return
    if not found.to and not found.cc and not found.bcc:
        v.warning(method.position, "notify command: the mailto URI has no recipients")
    for name in found.ignored:
        v.warning(
            method.position, f"notify command: the field '{name[:80]}' of the mailto URI is ignored"
        )


def _check_importance(v: Validator, node: Node, use: TagUse) -> None:
    given = use.text().constant
    if given is not None and given not in ("1", "2", "3"):
        v.error(use.position, f"invalid :importance '{given[:20]}' for notify: 1, 2 and 3 are")


def _check_from(v: Validator, node: Node, use: TagUse) -> None:
    given = use.text().constant
    if given is not None and bare_address(given) is None:
        v.error(use.position, f"specified :from address '{given[:80]}' is invalid for notify")


def _check_options(v: Validator, node: Node, use: TagUse) -> None:
    for text in use.value:
        if text.constant is not None and not text.constant.partition("=")[1]:
            v.error(text.position, f"the notify option '{text.constant[:80]}' has no value")
            return
    v.warning(use.position, "notify command: the method mailto takes no options")


def _valid_method(run: Run, node: Node) -> bool:
    for uri in run.texts(node.texts("uris")):
        try:
            _parsed(uri)
        except ValueError:
            return False
    return True


def _capability(run: Run, node: Node) -> list[str]:
    """RFC 5435 section 5: for mailto nobody knows whether the recipient is online."""
    wanted = run.text(node.text("capability")).lower()
    known = is_known(run.text(node.text("uri")))
    return ["maybe"] if known and wanted == "online" else []


def _encode_url(text: str) -> str:
    return quote(text, safe="-._~")


EXTENSION = Extension(
    "enotify",
    commands=(
        CommandSpec(
            "notify",
            _notify,
            (Positional("method", STRING),),
            tags=(
                TagSpec("from", STRING, validate=_check_from),
                TagSpec("importance", STRING, validate=_check_importance),
                TagSpec("options", STRINGS, validate=_check_options),
                TagSpec("message", STRING),
            ),
            validate=_check_notify,
        ),
    ),
    tests=(
        TestSpec("valid_notify_method", _valid_method, arguments=(Positional("uris", STRINGS),)),
        TestSpec(
            "notify_method_capability",
            values=_capability,
            arguments=(Positional("uri", STRING), Positional("capability", STRING), KEYS),
            keys="keys",
        ),
    ),
    added=(
        Added(
            ("set",),
            (
                TagSpec(
                    "encodeurl", group="modifier of precedence 15", order=15, modify=_encode_url
                ),
            ),
        ),
    ),
)
