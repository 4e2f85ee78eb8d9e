"""Users and mailboxes in memory, and watched events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pillarbox.events.event import Event, Scope
from pillarbox.mailstore import quota
from pillarbox.mailstore.errors import MailboxExists, NoSuchMailbox
from pillarbox.mailstore.list import normalize, validate
from pillarbox.mailstore.mailbox import Appended, NewMessage
from pillarbox.settings.model import Settings


class MemoryMailbox:
    """Keeps what is appended; ``error`` is raised instead, ``gate`` is awaited before."""

    def __init__(self, name: str, user: MemoryUser) -> None:
        self.name = name
        self.user = user
        self.messages: list[bytes] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.appending = 0
        self.most_appending = 0
        self.scopes: list[Scope] = []

    async def append(
        self, scope: Scope, messages: Sequence[NewMessage], *, grace: bool = False
    ) -> Appended:
        self.appending += 1
        self.most_appending = max(self.most_appending, self.appending)
        self.scopes.append(scope)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
            size = sum(len(m.data) for m in messages)
            quota.check(self.user, size, len(messages), size, grace=grace)  # type: ignore[arg-type]
            self.messages += [bytes(m.data) for m in messages]
        finally:
            self.appending -= 1
        return Appended(1, np.array([len(self.messages)], dtype=np.uint32))

    def status(self) -> Any:
        return SimpleNamespace(size=sum(len(m) for m in self.messages), messages=len(self.messages))


class MemoryUser:
    """A user with an INBOX."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = Settings()
        self.fields: Mapping[str, str] = {}
        self.boxes = {"INBOX": MemoryMailbox("INBOX", self)}
        self.subscribed: set[str] = set()
        self.mailboxes = self
        self.open = 0

    @property
    def quota(self) -> quota.Quota:
        return quota.quota_of(self.fields, self.settings)

    def entries(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.boxes]

    async def create(self, name: str) -> None:
        name = validate(name)
        await asyncio.sleep(0)
        if name in self.boxes:
            raise MailboxExists
        self.boxes[name] = MemoryMailbox(name, self)

    async def subscribe(self, name: str) -> None:
        self.subscribed.add(name)

    def open_mailbox(self, name: str) -> MemoryMailbox:
        box = self.boxes.get(normalize(name))
        if box is None:
            raise NoSuchMailbox
        self.open += 1
        return box

    def release_mailbox(self, mailbox: MemoryMailbox) -> None:
        self.open -= 1


class MemoryUsers:
    """The registry."""

    def __init__(self) -> None:
        self.users: dict[str, MemoryUser] = {}
        self.acquired = 0
        self.error: Exception | None = None

    def __getitem__(self, name: str) -> MemoryUser:
        return self.users.setdefault(name, MemoryUser(name))

    async def acquire(self, name: str, fields: Mapping[str, str], settings: Settings) -> MemoryUser:
        if self.error is not None:
            raise self.error
        user = self[name]
        user.settings, user.fields = settings, fields
        self.acquired += 1
        return user

    def release(self, user: MemoryUser) -> None:
        self.acquired -= 1


Seen = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def users() -> MemoryUsers:
    """The users of one process."""
    return MemoryUsers()


@pytest.fixture
def watch() -> Iterator[Callable[..., Seen]]:
    """``watch(event, ...)`` gives the list that (name, all fields) of what is emitted go to."""
    seen: Seen = []
    watched: list[Event[Any]] = []

    def start(*events: Event[Any]) -> Seen:
        for event in events:
            watched.append(event)

            def emit(scope: Scope, /, *, _event: Event[Any] = event, **own: Any) -> None:
                fields = scope.all_fields()
                fields.update({k: v for k, v in own.items() if v is not None})
                fields["reason_code"] = scope.all_reasons()
                fields["categories"] = scope.all_categories()
                assert set(own) <= set(_event.own)
                assert scope.elapsed_usecs() >= 0
                seen.append((_event.name, fields))

            event.emit = emit
        return seen

    yield start
    for event in watched:
        event.emit = None
