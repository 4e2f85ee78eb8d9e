"""Quota: by the settings and by the userdb, for deliveries and for clients."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
SETTING = 40_000
GRACE = 10_000
OWN = 100_000
OPTIONS = f"""
quota_storage_size = {SETTING}
quota_storage_grace = {GRACE}
quota_mail_size = 30000
quota_exceeded_message = "No room at the inn"
"""
BLOCKS = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 1
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Alice has the settings' quota, Bob more, Carol counts messages."""
    server = Running(tmp_path_factory.mktemp("server"), options=OPTIONS, blocks=BLOCKS)
    own = {BOB: f"userdb_quota_storage_size={OWN}", CAROL: "userdb_quota_message_count=3"}
    ids = f"{os.getuid()}:{os.getgid()}"
    (server.folder / "users").write_text(
        "".join(
            f"{user}:{{PLAIN}}{PASSWORD}:{ids}::{server.folder}/home/{user}::{own.get(user, '')}\n"
            for user in USERS
        )
    )
    try:
        yield server.start()
    finally:
        server.stop()


def text(number: int, size: int = 9_000) -> bytes:
    """A message of about this size."""
    return message(f"quota {number}", b"x" * 78 + b"\r\n" + b"y" * 76 * (size // 76))


def fill(server: Running, user: str, size: int = 9_000) -> tuple[int, str]:
    """Append until there is no room: how many fitted, and the refusal."""
    with Imap(server.imap_port) as client:
        client.login(user).ok("SELECT INBOX")
        before = len(client.uids())
        for number in range(100):
            reply = client.append("INBOX", text(number, size))
            if reply.state != "OK":
                assert len(client.uids()) == before + number
                return number, reply.text
    raise AssertionError("there is room without end")


def deliver(server: Running, user: str, data: bytes) -> str:
    with Lmtp(server.lmtp_port) as client:
        assert client.envelope(user)[0].startswith("250")
        return client.data(data)


def test_the_settings_quota(server: Running) -> None:
    count, refusal = fill(server, ALICE)
    assert count == SETTING // 9_300
    assert refusal.startswith("[OVERQUOTA] No room at the inn")
    # A delivery may exceed it by the grace, and then no more.
    assert deliver(server, ALICE, text(1)).startswith("250")
    refused = deliver(server, ALICE, text(2))
    assert refused.startswith("552 5.2.2")
    assert "No room at the inn" in refused
    server.wait_events("mail_delivery_finished", rcpt_to=ALICE, error="No room at the inn")
    with Imap(server.imap_port) as client:
        client.login(ALICE).ok("SELECT INBOX")
        reply = client.do("COPY 1 INBOX")
        assert reply.text.startswith("[OVERQUOTA]")
        client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)")
        client.ok("EXPUNGE")
        assert client.append("INBOX", text(3)).state == "OK"
        assert client.ok("COPY 1 INBOX").state == "OK"


def test_the_userdbs_quota(server: Running) -> None:
    count, refusal = fill(server, BOB)
    assert count == OWN // 9_300
    assert refusal.startswith("[OVERQUOTA]")


def test_a_number_of_messages(server: Running) -> None:
    count, refusal = fill(server, CAROL, 10)
    assert count == 3
    assert refusal.startswith("[OVERQUOTA]")
    assert deliver(server, CAROL, message("one more")).startswith("552 5.2.2")
    done = server.cli("deliver", "-d", CAROL, stdin=message("by hand"))
    assert done.returncode == 77
    assert b"No room at the inn" in done.stderr


def test_the_size_of_a_message(server: Running) -> None:
    with Imap(server.imap_port) as client:
        client.login(BOB).ok("SELECT INBOX")
        client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        client.ok("EXPUNGE")
        reply = client.append("INBOX", text(1, 31_000))
        assert reply.state == "NO"
        assert "quota_mail_size (30000 bytes)" in reply.text
    refused = deliver(server, BOB, text(1, 31_000))
    assert refused.startswith("552")
    assert deliver(server, BOB, text(1, 20_000)).startswith("250")


def test_one_full_recipient_does_not_keep_the_others_from_their_mail(server: Running) -> None:
    fill(server, ALICE)
    deliver(server, ALICE, text(8))
    with Lmtp(server.lmtp_port) as client:
        client.envelope(ALICE, BOB)
        assert client.data(text(9)).startswith("552 5.2.2")
        assert client.reply().startswith("250")


def test_a_reload_changes_it(server: Running) -> None:
    """The last test of this module: a larger quota, and temporary refusals."""
    config = server.config.read_text()
    larger = re.sub(r"quota_storage_size = \d+", "quota_storage_size = 60000", config)
    server.config.write_text("quota_full_tempfail = true\nlmtp_rcpt_check_quota = true\n" + larger)
    assert server.cli("reload").returncode == 0
    assert deliver(server, ALICE, text(10)).startswith("250")
    fill(server, ALICE)
    with Lmtp(server.lmtp_port) as client:
        assert client.envelope(ALICE)[0].startswith("250")
        assert client.data(text(11)).startswith("250")  # into the grace
        assert client.envelope(ALICE)[0].startswith("452 4.2.2")
        assert client.envelope(BOB)[0].startswith("250")
