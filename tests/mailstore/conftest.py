"""A user with real files, opened as often as a test likes (each time as another process would)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.events.event import Event, Scope
from pillarbox.mailstore.mailbox import Mailbox, NewMessage
from pillarbox.mailstore.user import MailUser, Users
from pillarbox.runtime.log import Line, log
from pillarbox.settings.model import Settings

OpenUser = Callable[..., AbstractAsyncContextManager[MailUser]]


@pytest.fixture
def open_user(tmp_path: Path) -> OpenUser:
    """``async with open_user(fields, setting=value) as user``."""

    @asynccontextmanager
    async def opened(
        fields: dict[str, str] | None = None, **settings: Any
    ) -> AsyncIterator[MailUser]:
        users = Users()
        chosen = msgspec.structs.replace(Settings(), **settings)
        user = await users.acquire("bob", {"home": str(tmp_path), **(fields or {})}, chosen)
        try:
            yield user
        finally:
            users.release(user)
            await users.close()

    return opened


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The log lines of the test instead of standard error."""
    lines: list[Line] = []
    monkeypatch.setattr(log, "sink", lines.append)
    return lines


@pytest.fixture
def watch_events() -> Iterator[Callable[[Event[...]], list[tuple[Any, dict[str, Any]]]]]:
    """Collect (scope, fields) of an event."""
    watched: list[Event[...]] = []

    def watch(event: Event[...]) -> list[tuple[Any, dict[str, Any]]]:
        seen: list[tuple[Any, dict[str, Any]]] = []
        event.emit = lambda scope, **fields: seen.append((scope, fields))
        watched.append(event)
        return seen

    yield watch
    for event in watched:
        event.emit = None


@pytest.fixture
def fill() -> Callable[..., Coroutine[Any, Any, list[int]]]:
    """Append small messages numbered from 0; their UIDs."""

    async def append(mailbox: Mailbox, count: int, **fields: Any) -> list[int]:
        new = [NewMessage(b"Subject: %d\r\n\r\nbody\r\n" % i, **fields) for i in range(count)]
        return (await mailbox.append(Scope(), new)).uids.tolist()

    return append
