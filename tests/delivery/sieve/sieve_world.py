"""A user with real mailboxes and scripts, and a way out for mail that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from pillarbox.delivery.deliver import Delivery
from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Outcome
from pillarbox.delivery.sieve.filter import Filter
from pillarbox.delivery.submit import Submitted
from pillarbox.drivers.storage.api import Location
from pillarbox.events.event import Scope
from pillarbox.mailstore.flags import flag_names
from pillarbox.mailstore.user import MailUser, Users
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import Settings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings
from pillarbox.wire.smtp.address import NULL, Address

T = TypeVar("T")

MAIL = (
    b"From: Ann <ann@example.net>\r\nTo: bob@example.com\r\nSubject: Hello\r\n"
    b"Message-ID: <1@example.net>\r\n\r\nHow are you?\r\n"
)
BOB = Address("bob", "example.com")
ANN = Address("ann", "example.net")


@dataclass(frozen=True)
class Sent:
    sender: str
    recipients: tuple[str, ...]
    data: bytes
    options: dict[str, str]


@dataclass
class Outbox:
    """Takes what is sent; ``kind`` is how it says that it went."""

    sent: list[Sent] = field(default_factory=list)
    kind: Literal["sent", "refused", "temporary"] = "sent"

    async def send(
        self,
        scope: Scope,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        **options: str | None,
    ) -> Submitted:
        given = {name: value for name, value in options.items() if value is not None}
        if self.kind == "sent":
            self.sent.append(Sent(sender, tuple(recipients), message, given))
            return Submitted("sent", None, None)
        return Submitted(self.kind, "The relay says no", None)


class World:
    """Bob's mail in a folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "bob"
        self.folder = folder
        self.outbox = Outbox()
        self.lines: list[Line] = []
        self.changes: dict[str, Any] = {}
        self.scripts: dict[str, SieveScriptSettings] = {
            "personal": SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve")
        }

    def settings(self, **changes: Any) -> None:
        self.changes.update(changes)

    def script(self, text: str, name: str = "main", *, active: bool = True) -> None:
        """A personal script."""
        folder = self.home / "sieve"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.sieve").write_text(text)
        link = self.home / ".dovecot.sieve"
        if active:
            link.unlink(missing_ok=True)
            link.symlink_to(f"sieve/{name}.sieve")

    def place(self, name: str, kind: Any, text: str) -> None:
        """A script of the administrator's."""
        file = self.folder / f"{name}.sieve"
        file.write_text(text)
        self.scripts[name] = SieveScriptSettings(type=kind, path=str(file))

    def do(self, work: Any) -> Any:
        """Run ``work(user, delivery)`` with both open."""

        async def main() -> Any:
            settings = msgspec.structs.replace(
                Settings(),
                sieve_script=self.scripts,
                hostname="mx.example.com",
                mail_home=str(self.folder / "%{username}"),
                **self.changes,
            )
            log = Log("test", self.lines.append)
            users = Users()
            user = await users.acquire("bob@example.com", {"home": str(self.home)}, settings)
            delivery = Delivery(log, settings, Filter(log, self.outbox))
            try:
                return await work(user, delivery)
            finally:
                await delivery.close()
                users.release(user)
                await users.close()

        return asyncio.run(main())

    def deliver(
        self,
        text: bytes = MAIL,
        sender: Address | None = ANN,
        recipient: Address = BOB,
        **fields: str,
    ) -> Outcome:
        """Deliver one message."""

        async def work(user: MailUser, delivery: Delivery) -> Outcome:
            return await one(user, delivery, text, sender, recipient, **fields)

        outcome: Outcome = self.do(work)
        return outcome

    def mail(self) -> dict[str, list[tuple[bytes, tuple[str, ...]]]]:
        """What is in the mailboxes: text and flags of each message."""

        async def work(user: MailUser, delivery: Delivery) -> Any:
            found: dict[str, list[tuple[bytes, tuple[str, ...]]]] = {}
            for entry in user.mailboxes.entries():
                mailbox = user.open_mailbox(entry.name)
                records = mailbox.records
                for record in records:
                    location = Location(int(record["container"]), int(record["offset"]))
                    data = bytes(await user.store.read(location))
                    names = flag_names(
                        int(record["flags"]), int(record["keywords"]), mailbox.keywords
                    )
                    flags = tuple(name.decode() for name in names)
                    found.setdefault(entry.name, []).append((data, flags))
                user.release_mailbox(mailbox)
            return found

        found: dict[str, list[tuple[bytes, tuple[str, ...]]]] = self.do(work)
        return found

    def counts(self) -> dict[str, int]:
        """How many messages there are where."""
        return {name: len(messages) for name, messages in self.mail().items()}

    def log(self) -> str:
        return "\n".join(line.text for line in self.lines)


async def one(
    user: MailUser,
    delivery: Delivery,
    text: bytes,
    sender: Address | None = ANN,
    recipient: Address = BOB,
    **fields: str,
) -> Outcome:
    """Deliver one message."""
    message = IncomingMessage(1 << 20)
    message.write(text)
    mail_from = None if sender is None else str(sender) or "<>"
    scope = Scope(None, (), rcpt_to=str(recipient), mail_from=mail_from, session="S", **fields)
    envelope = Envelope(recipient, sender, data_size=len(text))
    trace = Trace("mx", "LMTP", "S:1", "client.example.net", "192.0.2.1")
    try:
        return await delivery.deliver(user, envelope, message, scope, trace=trace)
    finally:
        message.close()


NOBODY = NULL
