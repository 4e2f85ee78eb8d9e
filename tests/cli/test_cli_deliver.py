"""``pillarbox deliver`` into real mailboxes."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pillarbox.cli.mail_user import mail_user
from pillarbox.cli.main import run
from pillarbox.cli.options import settings_of
from pillarbox.events import coverage
from pillarbox.events.event import Scope

MAIL = b"From: ann@x\nSubject: Hi\n\nHello\n"
STORED = b"From: ann@x\r\nSubject: Hi\r\n\r\nHello\r\n"


@pytest.fixture
def deliver(config: Path, pillarbox: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Run the command with a message; a user bob exists."""
    assert pillarbox("user", "add", "bob", stdin="secret\n").status == 0

    def call(*arguments: str, mail: bytes = MAIL) -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(mail)))
        capsys.readouterr()
        status = run(["deliver", *arguments])
        return SimpleNamespace(status=status, err=capsys.readouterr().err)

    return call


def mails(name: str = "bob", mailbox: str = "INBOX") -> list[bytes]:
    """What is in a mailbox."""

    async def read() -> list[bytes]:
        async with mail_user(settings_of(None), name) as user:
            opened = user.open_mailbox(mailbox)
            view = opened.view(readonly=True)
            found = [bytes(await view.read(Scope(), i)) for i in range(view.exists)]
            view.close()
            user.release_mailbox(opened)
            return found

    return asyncio.run(read())


def test_delivered(deliver: Any) -> None:
    result = deliver("-d", "bob")
    assert (result.status, result.err) == (0, "")
    assert mails() == [b"Delivered-To: bob\r\n" + STORED]


def test_envelope(deliver: Any) -> None:
    assert deliver("-d", "BOB", "-a", "sales@example.com", "-f", "ann@x").status == 0
    assert deliver("-d", "bob", "-f", "", mail=b"From ann Mon Nov 23\n" + MAIL).status == 0
    assert mails() == [
        b"Return-Path: <ann@x>\r\nDelivered-To: sales@example.com\r\n" + STORED,
        b"Return-Path: <>\r\nDelivered-To: bob\r\n" + STORED,
    ]


def test_mailbox(deliver: Any) -> None:
    assert deliver("-d", "bob", "-m", "Junk").status == 0
    assert len(mails(mailbox="Junk")) == 1
    assert deliver("-d", "bob", "-m", "none").status == 0
    assert len(mails()) == 1
    assert deliver("-d", "bob", "-m", "made", "-o", "lda_mailbox_autocreate=yes").status == 0
    assert len(mails(mailbox="made")) == 1


def test_detail(deliver: Any) -> None:
    option = ("-o", "lmtp_save_to_detail_mailbox=yes")
    assert deliver("-d", "bob", "-a", "bob+Junk@example.com", *option).status == 0
    assert len(mails(mailbox="Junk")) == 1


def test_no_such_user(deliver: Any) -> None:
    result = deliver("-d", "nobody")
    assert result.status == 67
    assert "nobody" in result.err


def test_no_room(deliver: Any, pillarbox: Any) -> None:
    assert pillarbox("user", "add", "carl", "--quota", "1B", stdin="secret\n").status == 0
    strict = ("-o", "quota_storage_grace=0")
    result = deliver("-d", "carl", *strict)
    assert result.status == 77
    assert "Quota exceeded" in result.err
    assert deliver("-d", "carl", *strict, "-o", "quota_full_tempfail=yes").status == 75
    assert mails("carl") == []


def test_a_bad_address(deliver: Any) -> None:
    assert deliver("-d", "bob", "-f", "two words").status == 64


def test_too_big(deliver: Any) -> None:
    assert deliver("-d", "bob", "-o", "mail_max_size=10").status == 65
    assert mails() == []


def test_mail_that_cannot_be_opened(deliver: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "bob").write_text("no folder")
    assert deliver("-d", "bob", "-o", f"mail_path={tmp_path}/home/bob/mail").status == 75


def test_an_auth_service_that_does_not_answer(
    deliver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox.cli.deliver.LOOKUP_TIMEOUT", 0.05)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(run_dir / "auth-master"))
    result = deliver("-d", "bob", "-o", f"base_dir={run_dir}")
    assert result.status == 75
    assert "user database" in result.err


def test_events_reach_the_agent(
    deliver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "coverage"
    folder.mkdir()
    monkeypatch.setenv("PILLARBOX_EVENT_COVERAGE", str(folder))
    assert deliver("-d", "bob", "-f", "ann@x").status == 0
    seen = coverage.read(folder)
    assert seen["mail_user_session_finished"].times == 1
    for name in ("mail_delivery_started", "mail_delivery_finished"):
        fields = {field for field, times in seen[name].fields.items() if times}
        assert fields >= {
            "mail_from", "message_from", "message_size", "message_subject", "rcpt_to", "session",
        }  # fmt: skip
