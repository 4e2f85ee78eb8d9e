"""Submission under TLS with a real Postfix as the relay, and back into mailboxes."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from certificates import Authority
from postfix_relay import Postfix, postfix
from running import PASSWORD, USERS, free_port, wait_for
from submission_server import Submitting, submitting

pytestmark = pytest.mark.e2e

ALICE, BOB, _ = USERS


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    """An authority whose files Postfix's own user can read."""
    folder = Path(tempfile.mkdtemp(prefix="pillarbox-tls-"))
    folder.chmod(0o755)
    yield Authority(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def both(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Submitting, Postfix]]:
    """Ours and Postfix, each the other's next stop."""
    certificate = authority.make("localhost")
    folder = tmp_path_factory.mktemp("submission")
    lmtp_port = free_port()
    tls = f"""
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
smtpd_tls_security_level = may
smtpd_authorized_xclient_hosts = 127.0.0.0/8
message_size_limit = 300000
"""
    options = f"""
ssl = "yes"
ssl_server_cert_file = "{certificate}"
ssl_client_ca_file = "{authority.file}"
submission_relay_ssl = "starttls"
submission_relay_trusted = true
"""
    with postfix(lmtp_port, tls) as relay:
        blocks = f"[service.lmtp.inet_listener.postfix]\nport = {lmtp_port}\n"
        with submitting(
            folder, relay.port, host="localhost", options=options, blocks=blocks
        ) as server:
            yield server, relay


def message(subject: str) -> EmailMessage:
    one = EmailMessage()
    one["From"], one["To"], one["Subject"] = ALICE, BOB, subject
    one.set_content("hello\n")
    return one


def arrived(server: Submitting, subject: str) -> bytes | None:
    imap = server.imap(BOB)
    imap.select("INBOX")
    _, found = imap.search(None, "SUBJECT", f'"{subject}"')
    numbers = found[0].split()
    data = imap.fetch(numbers[-1].decode(), "(BODY.PEEK[])")[1] if numbers else None
    imap.logout()
    return None if data is None else bytes(data[0][1])  # type: ignore[index]


def test_starttls_to_the_mailbox(both: tuple[Submitting, Postfix], authority: Authority) -> None:
    server, relay = both
    context = authority.context()
    with smtplib.SMTP("localhost", server.submission_port, "me.example.com", timeout=30) as client:
        client.ehlo()
        assert "starttls" in client.esmtp_features
        client.starttls(context=context)
        client.login(ALICE, PASSWORD)
        features = client.esmtp_features
        assert features["size"] == "298976"
        assert {"8bitmime", "dsn", "smtputf8"} <= set(features)
        client.send_message(message("by starttls"))
        assert client.docmd("VRFY", "nobody@example.com")[0] in (250, 252, 454, 550)
        code, text = client.docmd("MAIL", f"FROM:<{ALICE}> SIZE=400000")
        assert (code, text[:5]) == (552, b"5.3.4")
        assert client.docmd("MAIL", f"FROM:<{ALICE}>") == (250, b"2.1.0 Ok")
        assert client.docmd("RCPT", "TO:<@@>")[0] == 501
    wait_for(lambda: arrived(server, "by starttls") is not None, lambda: relay.log)
    got = arrived(server, "by starttls") or b""
    assert b"with ESMTPSA\r\n" in got
    assert b"using TLSv1.3" in got
    assert "sasl_username=" + ALICE in relay.log
    assert b"hello\r\n" in got


def test_implicit_tls_with_curl(
    both: tuple[Submitting, Postfix], authority: Authority, tmp_path: Path
) -> None:
    server, relay = both
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "mail").write_bytes(message("by curl").as_bytes())
    done = subprocess.run(
        [
            "curl", "-sS", f"smtps://localhost:{server.submissions_port}", "-u",
            f"{ALICE}:{PASSWORD}", "--cacert", str(authority.file), "--mail-from", ALICE,
            "--mail-rcpt", BOB, "--upload-file", str(tmp_path / "mail"),
        ],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    wait_for(lambda: arrived(server, "by curl") is not None, lambda: relay.log)


def test_swaks_with_starttls(both: tuple[Submitting, Postfix], authority: Authority) -> None:
    server, relay = both
    if shutil.which("swaks") is None:
        pytest.skip("swaks is not installed")
    done = subprocess.run(
        [
            "swaks", "--server", f"localhost:{server.submission_port}", "--tls", "--auth",
            "PLAIN", "--auth-user", ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to",
            BOB, "--header", "Subject: by swaks",
        ],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    wait_for(lambda: arrived(server, "by swaks") is not None, lambda: relay.log)


def test_commands_sent_along_with_starttls_are_dropped(both: tuple[Submitting, Postfix]) -> None:
    server, _ = both
    with server.raw() as say:
        say("EHLO me")
        answer = say(b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
        assert answer.startswith("503 5.5.1")
        assert say("NOOP") == ""
