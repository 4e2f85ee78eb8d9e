"""Debian's Dovecot as a neighbour: with its own folder, on free ports, as long as a with block.

It trusts 127.0.0.1 to say whom it acts for, takes the password of `running.PASSWORD` for every user
of its users file, and knows a master user ``proxy`` with the password ``master``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import PASSWORD, USERS, free_port

ID = 1000
PROTOCOLS = ("imap", "pop3", "lmtp", "sieve")

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = {protocols}
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_master_user_separator = *
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_uid = {id}
mail_gid = {id}
first_valid_uid = 1
login_trusted_networks = 127.0.0.1/32
recipient_delimiter = +
login_log_format_elements = {elements}
passdb {{
  driver = passwd-file
  master = yes
  args = {folder}/masters
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
{sieve_service}
namespace inbox {{
  inbox = yes
}}
"""
ELEMENTS = "user=<%u> rip=%r lip=%l lport=%{lport} session=<%{session}> method=%m"
SIEVE = """
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
}}
"""


class DovecotServer:
    """A running one: ``ports`` by protocol, and its log."""

    def __init__(
        self, folder: Path, users: dict[str, str] | None, options: str, mechanisms: str
    ) -> None:
        """``users`` gives passdb fields by user."""
        self._options = options
        self._mechanisms = mechanisms
        self.folder = folder
        modules = Path("/usr/lib/dovecot")
        binaries = {"sieve": "managesieve-login", "lmtp": "lmtp"}
        self.protocols = [
            p for p in PROTOCOLS if (modules / binaries.get(p, f"{p}-login")).exists()
        ]
        self.ports = {protocol: free_port() for protocol in PROTOCOLS}
        self._process: subprocess.Popen[bytes] | None = None
        self._users = users if users is not None else dict.fromkeys(USERS, "")

    def start(self) -> DovecotServer:
        """Start, and wait for greetings."""
        self.folder.chmod(0o755)
        lines = []
        for number, (user, fields) in enumerate(self._users.items()):
            home = self.folder / "home" / str(number)
            home.mkdir(parents=True)
            os.chown(home, ID, ID)
            lines.append(f"{user}:{{PLAIN}}{PASSWORD}:{ID}:{ID}::{home}:: {fields}".strip())
        (self.folder / "users").write_text("\n".join(lines) + "\n")
        (self.folder / "masters").write_text("proxy:{PLAIN}master\n")
        config = self.folder / "dovecot.conf"
        sieve = SIEVE.format(**self.ports) if "sieve" in self.protocols else ""
        config.write_text(
            self._options
            + CONFIG.format(
                folder=self.folder, id=ID, sieve_service=sieve, mechanisms=self._mechanisms,
                elements=ELEMENTS,
                protocols=" ".join(self.protocols), **self.ports,
            )
        )  # fmt: skip
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["dovecot", "-F", "-c", str(config)],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not all(self._greets(self.ports[p]) for p in self.protocols):
            assert self._process.poll() is None, (self.folder / "output").read_text()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Stop it and all that it started."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log(self) -> str:
        """What it logged so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @staticmethod
    def _greets(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                return bool(probe.recv(64))
        except OSError:
            return False


@contextlib.contextmanager
def dovecot(
    users: dict[str, str] | None = None, options: str = "", mechanisms: str = "plain login"
) -> Iterator[DovecotServer]:
    """One for the length of a with block; the test is skipped where it cannot run."""
    if shutil.which("dovecot") is None or os.getuid() != 0:
        pytest.skip("dovecot is not installed, or we are not root")
    # Not in the folder of the tests, which its users may not enter.
    with tempfile.TemporaryDirectory(prefix="pillarbox-dovecot-") as folder:
        server = DovecotServer(Path(folder), users, options, mechanisms)
        try:
            yield server.start()
        finally:
            server.stop()
