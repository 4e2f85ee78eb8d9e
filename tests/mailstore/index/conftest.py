"""Mailbox indexes on files of their own, without a message store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.events.event import Scope
from pillarbox.mailstore.index import opening
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.runtime.log import Line, log

GUID = bytes(range(16))


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing, for tests that sync very often."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a new, empty mailbox with UIDVALIDITY 77."""
    path = tmp_path / "mailbox"
    opening.create(path, GUID, 77)
    return path


@pytest.fixture
def open_index(folder: Path) -> Iterator[Callable[..., MailboxIndex]]:
    """Open another index object on the folder, as another process would."""
    opened: list[MailboxIndex] = []

    def open_one(**options: object) -> MailboxIndex:
        chosen = Options(**{"lock_timeout": 5.0, **options})  # type: ignore[arg-type]
        index = MailboxIndex(folder, GUID, Scope(), chosen)
        opened.append(index)
        return index

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The log lines of the test instead of standard error."""
    lines: list[Line] = []
    monkeypatch.setattr(log, "sink", lines.append)
    return lines
