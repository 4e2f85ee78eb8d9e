"""A Postfix of our own on a loopback port, which passes mail of this host on to an LMTP port."""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import free_port, wait_for

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
tlsmgr unix - - n 1000? 1 tlsmgr
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
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.com
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
{options}
"""


class Postfix:
    """One Postfix: its port, and what it logged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def log(self) -> str:
        """What it logged so far."""
        path = self.folder / "maillog"
        return path.read_text(errors="replace") if path.exists() else "no log"

    def greets(self) -> bool:
        """Whether it serves."""
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as client:
                return client.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False


@contextlib.contextmanager
def postfix(lmtp_port: int, options: str = "") -> Iterator[Postfix]:
    """A Postfix for the length of a with block; skips the test where there is none."""
    if os.getuid() != 0 or shutil.which("postfix") is None:
        pytest.skip("needs root and Postfix")
    folder = Path(tempfile.mkdtemp(prefix="pillarbox-relay-"))
    folder.chmod(0o755)
    one = Postfix(folder)
    config = folder / "postfix"
    for path in (config, folder / "data", folder / "queue"):
        path.mkdir()
    shutil.chown(folder / "data", "postfix")
    (config / "master.cf").write_text(MASTER.format(port=one.port))
    (config / "main.cf").write_text(MAIN.format(folder=folder, lmtp=lmtp_port, options=options))
    try:
        subprocess.run(["postfix", "-c", str(config), "start"], check=True, capture_output=True)
        wait_for(one.greets, lambda: one.log)
        yield one
    finally:
        subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
