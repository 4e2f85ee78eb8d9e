"""A real Postfix: it asks the auth socket who may send, and delivers to the LMTP listener."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import PASSWORD, USERS, Running, free_port, running, wait_for

pytestmark = pytest.mark.e2e

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.com
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that Postfix's own user can enter."""
    path = Path(tempfile.mkdtemp(prefix="pillarbox-postfix-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """Ours, with an auth socket that Postfix may use."""
    if os.getuid() != 0 or shutil.which("postfix") is None:
        pytest.skip("needs root and Postfix")
    listener = f"""
[service.auth.unix_listener.auth-client]
path = "{folder}/postfix-auth"
mode = "0666"
"""
    with running(folder / "server", blocks=listener) as one:
        yield one


@pytest.fixture(scope="module")
def smtp_port(folder: Path, server: Running) -> Iterator[int]:
    """A Postfix of our own on a loopback port."""
    port = free_port()
    config = folder / "postfix"
    config.mkdir()
    (folder / "data").mkdir()
    (folder / "queue").mkdir()
    shutil.chown(folder / "data", "postfix")
    (config / "master.cf").write_text(MASTER.format(port=port))
    (config / "main.cf").write_text(
        MAIN.format(folder=folder, lmtp=server.lmtp_port, auth=f"{folder}/postfix-auth")
    )
    subprocess.run(["postfix", "-c", str(config), "start"], check=True, capture_output=True)
    try:
        wait_for(lambda: _greets(port), lambda: _log(folder))
        yield port
    finally:
        subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True)


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _log(folder: Path) -> str:
    path = folder / "maillog"
    return path.read_text() if path.exists() else "no log"


def test_mail_goes_in_after_a_login_and_arrives(
    server: Running, smtp_port: int, folder: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
        client.ehlo()
        assert "PLAIN" in client.esmtp_features["auth"]
        client.login(USERS[0], PASSWORD)
        client.sendmail(USERS[0], [USERS[1]], b"Subject: through postfix\r\n\r\nhello\r\n")

    def arrived() -> bool:
        imap = server.imap(USERS[1])
        count = imap.select("INBOX")[1]
        imap.logout()
        return count == [b"1"]

    wait_for(arrived, lambda: _log(folder) + server.explain())
    events = server.wait_events("auth_request_finished", success="yes", service="smtp")
    assert events[-1]["fields"]["user"] == USERS[0]


def test_a_wrong_password_is_refused_by_postfix(server: Running, smtp_port: int) -> None:
    with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login(USERS[0], "wrong")
        assert caught.value.smtp_code == 535
