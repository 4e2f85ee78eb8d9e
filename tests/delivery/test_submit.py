"""Mail that we send ourselves: to a server and to a program, and every way to fail."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from fake_relay import FakeRelay

from pillarbox.delivery.submit import Submitted, Submitter
from pillarbox.events.catalogue.smtp_submit import smtp_submit_finished, smtp_submit_started
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.reply import reply

MESSAGE = b"Subject: hello\r\n\r\n.dot\r\n"


@pytest.fixture
def lines() -> list[Line]:
    return []


@pytest.fixture
def submit(lines: list[Line]) -> Callable[..., Submitted]:
    """Send one message with these settings."""

    def send(settings: dict[str, Any], *what: Any, times: int = 1, **more: Any) -> Submitted:
        async def scenario() -> Submitted:
            log = Log("test", lines.append)
            submitter = Submitter(log, msgspec.structs.replace(Settings(), **settings))
            for _ in range(times):
                done = await submitter.send(Scope(None, (), (), user="alice"), *what, **more)
            await submitter.close()
            return done

        return asyncio.run(scenario())

    return send


@pytest.fixture
def seen() -> Any:
    """The events that come out."""
    found: list[tuple[str, dict[str, Any]]] = []
    smtp_submit_started.emit = lambda scope: found.append(("started", {}))
    smtp_submit_finished.emit = lambda scope, **own: found.append(
        ("finished", {**scope.all_fields(), **own, "categories": scope.all_categories()})
    )
    yield found
    smtp_submit_started.emit = smtp_submit_finished.emit = None


def host(relay: FakeRelay, **more: Any) -> dict[str, Any]:
    return {"submission_host": f"127.0.0.1:{relay.port}", "submission_timeout": 10.0, **more}


def test_to_a_server(submit: Callable[..., Submitted], seen: Any) -> None:
    with FakeRelay() as relay:
        done = submit(host(relay), "a@example.com", ["b@example.org"], MESSAGE)
    assert done == Submitted("sent", None, reply(250, "2.0.0", "queued as 4711"))
    (mail,) = relay.mails
    assert (mail.sender, mail.recipients, mail.data) == (
        "a@example.com",
        ["b@example.org"],
        MESSAGE,
    )
    assert mail.parameters == f" SIZE={len(MESSAGE)}"
    assert seen == [
        ("started", {}),
        (
            "finished",
            {
                "user": "alice",
                "mail_from": "a@example.com",
                "error": None,
                "recipients": 1,
                "data_size": len(MESSAGE),
                "categories": ["smtp-submit"],
            },
        ),
    ]


def test_dsn_deliverby_and_eight_bits(submit: Callable[..., Submitted]) -> None:
    message = "Subject: grün\r\n\r\nü\r\n".encode()
    more = {"notify": "NEVER", "ret": "HDRS", "envid": "x=1", "by_time": "120;N"}
    capabilities = ("DSN", "8BITMIME", "SMTPUTF8", "DELIVERBY")
    with FakeRelay(capabilities=capabilities) as relay:
        assert submit(host(relay), "", ["b@example.org"], message, **more).kind == "sent"
        assert relay.mails[0].sender == ""
        assert relay.mails[0].parameters == (
            " BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+3D1 BY=120;N NOTIFY=NEVER"
        )
    with FakeRelay(capabilities=()) as relay:
        assert submit(host(relay), "", ["b@example.org"], message, **more).kind == "sent"
        assert relay.mails[0].parameters == ""


def test_addresses_that_the_server_cannot_take(submit: Callable[..., Submitted]) -> None:
    with FakeRelay(capabilities=()) as relay:
        done = submit(host(relay), "", ["jörg@example.org"], MESSAGE)
        assert (done.kind, done.reply and done.reply.code) == ("refused", 550)
        assert relay.commands("MAIL") == []
    with FakeRelay() as relay:
        assert submit(host(relay), "", ["jörg@example.org"], MESSAGE).kind == "sent"
        assert "SMTPUTF8" in relay.mails[0].parameters


@pytest.mark.parametrize(
    ("answers", "kind", "error"),
    [
        ({"MAIL": "550 5.7.1 not you"}, "refused", "550 5.7.1 not you"),
        ({"MAIL": "451 4.3.0 later"}, "temporary", "451 4.3.0 later"),
        ({"RCPT": "550 5.1.1 unknown"}, "refused", "550 5.1.1 unknown"),
        ({"RCPT": "450 4.2.0 grey"}, "temporary", "450 4.2.0 grey"),
        (
            {"RCPT": ["450 4.2.0 grey", "550 5.1.1 unknown"]},
            "refused",
            "550 5.1.1 unknown",
        ),
        ({"DATA": "554 5.5.1 no"}, "refused", "554 5.5.1 no"),
        ({"BODY": "554 5.7.1 spam"}, "refused", "554 5.7.1 spam"),
        ({"BODY": "452 4.3.1 full"}, "temporary", "452 4.3.1 full"),
        ({"GREETING": "554 5.7.1 away"}, "temporary", "554 5.7.1 away"),
        ({"BODY": None}, "temporary", "Connection closed"),
    ],
)
def test_failures_at_the_server(
    submit: Callable[..., Submitted], seen: Any, answers: Any, kind: str, error: str
) -> None:
    with FakeRelay(answers=answers) as relay:
        done = submit(host(relay), "a@x", ["b@example.org", "c@example.org"], MESSAGE)
        assert relay.mails == []
    assert done.kind == kind
    assert error in (done.error or "")
    assert error in seen[-1][1]["error"]


def test_no_server(submit: Callable[..., Submitted], lines: list[Line]) -> None:
    with FakeRelay() as relay:
        settings = host(relay)
    done = submit(settings, "a@x", ["b@example.org"], MESSAGE)
    assert done.kind == "temporary"
    assert "Connecting to 127.0.0.1" in lines[-1].text


def test_a_connection_is_kept_and_a_stale_one_is_no_failure(
    submit: Callable[..., Submitted],
) -> None:
    with FakeRelay() as relay:
        assert submit(host(relay), "a@x", ["b@example.org"], MESSAGE, times=3).kind == "sent"
        assert len(relay.talks) == 1
    with FakeRelay(answers={"MAIL": ["250 ok", None]}) as relay:
        assert submit(host(relay), "a@x", ["b@example.org"], MESSAGE, times=2).kind == "sent"
        assert len(relay.talks) == 2
        assert len(relay.mails) == 2


@pytest.mark.parametrize("bad", [["b\r\nc@x"], ["b@x>"], []])
def test_bad_recipients(submit: Callable[..., Submitted], bad: list[str]) -> None:
    with FakeRelay() as relay:
        assert submit(host(relay), "a@x", bad, MESSAGE).kind == "refused"
        assert relay.talks == []


def program(folder: Path, script: str) -> dict[str, Any]:
    path = folder / "sendmail"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"sendmail_path": str(path), "submission_timeout": 10.0}


def test_to_a_program(submit: Callable[..., Submitted], tmp_path: Path) -> None:
    settings = program(tmp_path, f'cat > {tmp_path}/mail; printf "%s\\n" "$@" > {tmp_path}/args')
    done = submit(settings, "", ["-x@example.org", "`id`$HOME@example.org"], MESSAGE)
    assert done == Submitted("sent")
    assert (tmp_path / "mail").read_bytes() == MESSAGE.replace(b"\r\n", b"\n")
    assert (tmp_path / "args").read_text().split("\n")[:-1] == [
        "-i",
        "-f",
        "<>",
        "--",
        "-x@example.org",
        "`id`$HOME@example.org",
    ]


@pytest.mark.parametrize(
    ("script", "kind", "error"),
    [
        ("exit 75", "temporary", "exit status 75"),
        ("exit 64", "temporary", "exit status 64"),
        ("cat > /dev/null; echo no such user >&2; exit 67", "refused", "67: no such user"),
        ("kill -9 $$", "temporary", "signal 9"),
    ],
)
def test_failures_of_a_program(
    submit: Callable[..., Submitted], tmp_path: Path, script: str, kind: str, error: str
) -> None:
    done = submit(program(tmp_path, script), "a@x", ["b@x"], b"x" * 1_000_000)
    assert done.kind == kind
    assert error in (done.error or "")


def test_a_program_that_hangs_is_killed(submit: Callable[..., Submitted], tmp_path: Path) -> None:
    settings = program(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 100 & wait")
    done = submit({**settings, "submission_timeout": 0.2}, "a@x", ["b@x"], MESSAGE)
    assert (done.kind, "longer than 0.2 s" in (done.error or "")) == ("temporary", True)
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_in_the_background_is_not_waited_for(
    submit: Callable[..., Submitted], tmp_path: Path
) -> None:
    settings = program(tmp_path, f"cat > /dev/null; sleep 60 & echo $! > {tmp_path}/pid")
    assert submit(settings, "a@x", ["b@x"], MESSAGE) == Submitted("sent")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_no_program_and_no_way(submit: Callable[..., Submitted], tmp_path: Path) -> None:
    done = submit({"sendmail_path": str(tmp_path / "none")}, "a@x", ["b@x"], MESSAGE)
    assert done.kind == "temporary"
    assert submit({"sendmail_path": ""}, "a@x", ["b@x"], MESSAGE).kind == "temporary"
