"""Reload: new settings for new sessions, nothing lost for those that are there.

The server of this module is reloaded again and again; each test changes its settings and
leaves it serving.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import pytest
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running, free_port, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, _ = USERS
BLOCKS = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 2
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server"), blocks=BLOCKS) as one:
        yield one


@contextlib.contextmanager
def changed(server: Running, *replacements: tuple[str, str], top: str = "") -> Iterator[None]:
    """The settings file with replacements, and with settings at its top, for a while."""
    old = server.config.read_text()
    text = old
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after, 1)
    server.config.write_text(top + text)
    try:
        yield
    finally:
        server.config.write_text(old)


def reload(server: Running) -> None:
    done = server.cli("reload")
    assert done.returncode == 0, done.stderr


def test_idle_sessions_stay_and_settings_change(server: Running) -> None:
    with Imap(server.imap_port) as idle, Imap(server.imap_port) as before:
        idle.login().ok("SELECT INBOX")
        tag = idle.idle()
        with changed(
            server, top='login_greeting = "Fresh."\nlmtp_max_recipients = 1\nmail_max_size = 5000\n'
        ):
            reload(server)
            with Imap(server.imap_port) as new:
                assert new.greeting.endswith(b"Fresh.")
                new.login()
                reply = new.append("INBOX", message("big", b"x" * 6000))
                assert (reply.state, "5000" in reply.text) == ("NO", True)
                assert new.append("INBOX", message("small")).state == "OK"
            assert idle.response().endswith(b" EXISTS")
            with Lmtp(server.lmtp_port) as lmtp:
                replies = lmtp.envelope(ALICE, BOB)
                assert [r[:3] for r in replies] == ["250", "452"]
            before.login().ok("SELECT INBOX")  # was greeted by a process that is now retired
            idle.done(tag)
            idle.ok("NOOP")
    reload(server)
    with Imap(server.imap_port) as client:
        assert client.greeting.endswith(b"Pillarbox ready.")


def test_users_and_passwords_change_without_a_reload(server: Running) -> None:
    users = server.folder / "users"
    old = users.read_text()
    users.write_text(old.replace(f"{BOB}:{{PLAIN}}secret", f"{BOB}:{{PLAIN}}changed"))
    try:
        with Imap(server.imap_port) as client:
            assert client.do(f"LOGIN {BOB} {PASSWORD}").state == "NO"
            client.login(BOB, "changed")
    finally:
        users.write_text(old)


@pytest.mark.parametrize(
    ("top", "says"),
    [
        ("imap_max_nesting = = 3\n", b"pillarbox.toml:1"),
        ('imap_max_line_lenght = "1 KB"\n', b"imap_max_line_length"),
        ('mail_max_size = "many"\n', b"mail_max_size"),
        ('ssl_server_cert_file = "/nonexistent.pem"\n', b"/nonexistent.pem"),
        ('mail_uid = "nobody-at-all"\n', b"nobody-at-all"),
        ('base_dir = "/elsewhere"\n', b"base_dir"),
    ],
)
def test_broken_settings_are_refused(server: Running, top: str, says: bytes) -> None:
    processes = server.processes()
    old = server.config.read_text()
    instead = {"base_dir": "base_dir", "ssl_server_cert_file": "ssl ="}.get(top.split(" =")[0])
    lines = old.splitlines(keepends=True)
    without = "".join(x for x in lines if instead is None or not x.startswith(instead))
    with Imap(server.imap_port) as client:
        client.login().ok("SELECT INBOX")
        server.config.write_text(top + without)
        try:
            if "base_dir" in top:
                # The command could not even find the server.
                assert server.process is not None
                server.process.send_signal(signal.SIGHUP)
                wait_for(lambda: "base_dir cannot change" in (server.folder / "log").read_text())
            else:
                done = server.cli("reload")
                assert done.returncode != 0
                assert says in done.stderr
        finally:
            server.config.write_text(old)
        client.ok("NOOP")
    assert server.processes() == processes
    with Imap(server.imap_port) as client:
        client.login().ok("SELECT INBOX")
    server.deliver(message("goes on"), ALICE)


def test_a_port_that_is_taken(server: Running) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with changed(server, (f"port = {server.lmtp_port}", f"port = {port}")):
            done = server.cli("reload")
            assert done.returncode != 0
            assert str(port).encode() in done.stderr
            server.deliver(message("on the old port"), ALICE)


def test_listeners_move_and_workers_come_and_go(server: Running) -> None:
    port = free_port()
    count = "[service.imap]\nprocess_limit = "
    with Imap(server.imap_port) as old:
        old.login().ok("SELECT INBOX")
        tag = old.idle()
        with changed(
            server,
            (f"port = {server.imap_port}", f"port = {port}"),
            (f"{count}2", f"{count}3"),
        ):
            reload(server)
            assert len(server.processes("imap")) >= 3  # and those that only serve old sessions
            for user in USERS:
                with Imap(port) as new:
                    new.login(user).ok("SELECT INBOX")
            with pytest.raises(ConnectionRefusedError):
                Imap(server.imap_port)
            server.deliver(message("to the idle one"), ALICE)
            assert old.response().endswith(b" EXISTS")
        reload(server)
        old.done(tag)
        old.ok("NOOP")
        with Imap(server.imap_port) as client:
            client.login()
    wait_for(lambda: len(server.processes("imap")) == 2)


def test_sighup_opens_the_log_again(server: Running) -> None:
    log = server.folder / "log"
    log.rename(server.folder / "log.1")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: log.exists() and "reloaded" in log.read_text().lower())
    with Imap(server.imap_port) as client:
        client.login()
    wait_for(lambda: "Login: user=" in log.read_text())


def test_reloads_while_clients_work(server: Running) -> None:
    """Nothing fails while the server is reloaded over and over."""
    with Imap(server.imap_port) as steady:
        steady.login().ok("SELECT INBOX")
        assert server.process is not None
        for number in range(6):
            if number % 3 == 1:
                server.process.send_signal(signal.SIGHUP)
            with Imap(server.imap_port) as client:
                client.login(BOB).ok("SELECT INBOX")
                assert client.append("INBOX", message(f"{number}")).state == "OK"
            server.deliver(message(f"lmtp {number}"), ALICE)
            steady.ok("NOOP")
        reload(server)
        assert steady.ok("STATUS INBOX (MESSAGES)").state == "OK"
    log = (server.folder / "log").read_text()
    assert "Traceback" not in log
